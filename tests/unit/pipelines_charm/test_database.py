"""Where the charm has the database kept: on the storage, or in PostgreSQL by relation."""

from __future__ import annotations

import dataclasses
import json

import ops
import pytest
from ops import testing

from toolkit_database import Login
from toolkit_pipelines import settings as workload_settings

from ..postgresql_charm import ENDPOINT, USER, related

CHAIN = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"


@pytest.fixture
def storage(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def container(container, storage):
    mount = testing.Mount(location="/state", source=storage)
    return dataclasses.replace(container, mounts={**container.mounts, "state": mount})


def login(etc):
    path = etc / "database"
    assert path.stat().st_mode & 0o777 == 0o600
    return Login.read(path)


def test_it_asks_as_the_interface_has_it(context, state, container):
    found = context.run(context.on.pebble_ready(container), related(state, {}, None))
    (relation,) = found.get_relations("database")
    assert relation.local_app_data["database"] == "ml_pipelines"
    assert "password" in json.loads(relation.local_app_data["requested-secrets"])
    assert found.unit_status == ops.WaitingStatus("postgresql-k8s has not given a database yet")
    # Nothing begins on the storage meanwhile.
    assert not found.get_container("pipelines").plan.services


def test_a_database(context, state, container, settings, etc):
    found = context.run(context.on.pebble_ready(container), related(state))
    assert found.unit_status == ops.ActiveStatus()
    assert login(etc) == Login(
        host="postgresql-k8s-primary.ml.svc.cluster.local",
        port=5432,
        database="ml_pipelines",
        **USER,
    )
    given = settings()
    assert given["database_file"] == "/etc/toolkit-pipelines/database"
    workload_settings.from_data(given)
    password = USER["password"]
    assert password not in (etc / "settings.yaml").read_text()
    assert password not in str(found.get_container("pipelines").plan.to_dict())
    for relation in found.relations:
        for data in (relation.local_unit_data, getattr(relation, "local_app_data", {})):
            assert password not in json.dumps(dict(data))
    assert all(password not in entry.message for entry in context.juju_log)


def test_with_tls_and_another_name(context, state, container, etc, monkeypatch):
    monkeypatch.setattr(Login, "context", lambda self: None)
    data = {"endpoints": "[fd00::7]:6432,10.0.0.8:6432", "database": "theirs"}
    tls = {"tls": "True", "tls-ca": CHAIN}
    context.run(context.on.pebble_ready(container), related(state, data, tls=tls))
    found = login(etc)
    assert (found.host, found.port, found.database) == ("fd00::7", 6432, "theirs")
    assert (found.tls, found.certificates) == (True, CHAIN)


def test_a_new_password_restarts_the_service(context, state, container, etc):
    found = context.run(context.on.pebble_ready(container), related(state))
    (secret,) = [each for each in found.secrets if each.latest_content == USER]
    other = {**USER, "password": "another"}
    changed = dataclasses.replace(secret, latest_content=other)
    secrets = [changed if each.id == secret.id else each for each in found.secrets]
    context.run(context.on.secret_changed(changed), dataclasses.replace(found, secrets=secrets))
    assert login(etc).password == "another"


def test_the_first_login_restarts_the_service(context, state, container, monkeypatch):
    """The plan changes as well, and not what it says of the service."""
    found = context.run(context.on.pebble_ready(container), state)
    restarted = []
    monkeypatch.setattr(ops.Container, "restart", lambda self, *names: restarted.append(names))
    (relation,) = (known := related(found)).get_relations("database")
    found = context.run(context.on.relation_changed(relation), known)
    assert "leads" in found.get_container("pipelines").plan.checks
    assert restarted == [("pipelines",)]
    context.run(context.on.update_status(), found)
    assert restarted == [("pipelines",)]


@pytest.mark.parametrize(
    ("data", "content", "status"),
    [
        ({"endpoints": "nowhere"}, USER, "relation database: postgresql-k8s names no HOST:PORT"),
        ({"endpoints": "a:99999"}, USER, "relation database: postgresql-k8s names no HOST:PORT"),
        (ENDPOINT, {"username": "u"}, "relation database: the secret of postgresql-k8s has no"),
    ],
)
def test_what_cannot_be_read(context, state, container, data, content, status):
    found = context.run(context.on.pebble_ready(container), related(state, data, content))
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert found.unit_status.message.startswith(status)


def test_a_secret_that_is_not_granted_yet(context, state, container):
    data = {**ENDPOINT, "secret-user": "secret:d6dnpdvmp25c7s3e4o5g"}
    found = context.run(context.on.pebble_ready(container), related(state, data, None))
    assert found.unit_status == ops.WaitingStatus("postgresql-k8s has not granted its secrets yet")


def test_without_the_relation_nothing_begins_anew(context, state, container, storage):
    found = context.run(context.on.pebble_ready(container), related(state))
    (storage / "postgresql.json").write_text("{}")
    (relation,) = found.get_relations("database")
    found = context.run(context.on.relation_broken(relation), found)
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert found.unit_status.message.startswith(
        "the data are in PostgreSQL: run `juju integrate pipelines:database POSTGRESQL`"
    )
    services = found.get_container("pipelines").service_statuses
    assert services.get("pipelines") is not ops.pebble.ServiceStatus.ACTIVE


def test_why_the_service_ends_is_said(context, state, container, storage, service, monkeypatch):
    (storage / "problem").write_text("database d on h:5432: it is of\nanother application\n")
    service.ready = False
    monkeypatch.setattr(ops.pebble.ServiceInfo, "is_running", lambda self: False)
    found = context.run(context.on.pebble_ready(container), related(state))
    assert found.unit_status == ops.BlockedStatus(
        "database d on h:5432: it is of another application"
    )


@pytest.fixture
def second(context_for, cluster):
    """The context of unit 1."""
    cluster.claims = {name: f"{claim[:-1]}1" for name, claim in cluster.claims.items()}
    return context_for(unit=1)


def stored(state):
    """The state with an object store by config."""
    keys = testing.Secret({"access-key": "a", "secret-key": "s"}, owner=None)
    config = {"artifact-store": "s3://bucket/a?region=r", "artifact-store-credentials": keys.id}
    return dataclasses.replace(
        state, config={**state.config, **config}, secrets=[*state.secrets, keys]
    )


SCALE = "run `juju scale-application pipelines 1`"
POSTGRESQL = "`juju integrate pipelines:database POSTGRESQL`"
STORE = "`juju integrate pipelines S3-INTEGRATOR` (or artifact-store)"


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda state: state, f"{POSTGRESQL} and {STORE}"),
        (related, STORE),
        (stored, POSTGRESQL),
    ],
)
def test_a_second_unit_says_what_it_lacks(second, state, container, change, missing):
    found = second.run(second.on.pebble_ready(container), change(state))
    assert found.unit_status == ops.BlockedStatus(f"a further unit needs {missing}; or {SCALE}")
    services = found.get_container("pipelines").service_statuses
    assert services.get("pipelines") is not ops.pebble.ServiceStatus.ACTIVE


def test_a_second_unit_stands_by(second, state, container, settings, service):
    service.leads = 503
    found = second.run(second.on.pebble_ready(container), related(stored(state)))
    assert found.unit_status == ops.ActiveStatus("stand-by: another unit leads the engine")
    given = settings()
    assert given["begins"] is False
    workload_settings.from_data(given)
    checks = found.get_container("pipelines").plan.checks
    # A change of the lead is an event, and neither more nor less ready.
    assert checks["leads"].level is ops.pebble.CheckLevel.UNSET
    assert checks["leads"].http == {"url": "http://10.1.2.3:8888/leads"}
    service.leads = 200
    (info,) = [c for c in found.get_container("pipelines").check_infos if c.name == "leads"] or [
        testing.CheckInfo("leads", threshold=1)
    ]
    again = dataclasses.replace(found.get_container("pipelines"), check_infos={info})
    changed = dataclasses.replace(found, containers=[again])
    found = second.run(second.on.pebble_check_recovered(again, info), changed)
    assert found.unit_status == ops.ActiveStatus()


def test_the_first_unit_begins(context, state, container, settings):
    context.run(context.on.pebble_ready(container), related(stored(state)))
    assert "begins" not in settings()
    assert workload_settings.from_data(settings()).begins


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"code": 14, "message": "stand-by: not shared\\nyet"}', "stand-by: not shared yet"),
        ("<html>busy", "the workload does not answer yet"),
        ("[]", "the workload does not answer yet"),
    ],
)
def test_a_service_that_is_not_ready_says_why(second, state, container, service, answer, said):
    service.health = 503, answer
    found = second.run(second.on.pebble_ready(container), related(stored(state)))
    assert found.unit_status == ops.WaitingStatus(said)
