"""Where the charm has MLflow's database kept: on the storage, or in PostgreSQL by relation.

tests/unit/pipelines_charm/test_database.py has what the shared half does with what it is given.
"""

import json

import ops
import pytest
from ops import testing

from toolkit_database import Login

from ..postgresql_charm import USER, related
from .conftest import status_of_service


@pytest.fixture
def storage(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def etc(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


@pytest.fixture
def container(storage, etc):
    mounts = {
        "etc": testing.Mount(location="/etc/toolkit", source=etc),
        "data": testing.Mount(location="/data", source=storage),
    }
    return testing.Container("metadata", can_connect=True, mounts=mounts)


def command(state):
    plan = state.get_container("metadata").plan
    return plan.services["metadata"].command


def test_it_asks_and_waits(context, state, container):
    found = context.run(context.on.pebble_ready(container), related(state, {}, None))
    (relation,) = found.get_relations("database")
    assert relation.local_app_data["database"] == "ml_metadata"
    assert "password" in json.loads(relation.local_app_data["requested-secrets"])
    assert found.unit_status == ops.WaitingStatus("postgresql-k8s has not given a database yet")
    # Nothing begins on the storage meanwhile.
    assert not found.get_container("metadata").plan.services


def test_a_database(context, state, container, etc):
    found = context.run(context.on.pebble_ready(container), related(state))
    assert found.unit_status == ops.ActiveStatus()
    assert "--login /etc/toolkit/database" in command(found)
    path = etc / "database"
    assert path.stat().st_mode & 0o777 == 0o600
    assert Login.read(path) == Login(
        host="postgresql-k8s-primary.ml.svc.cluster.local",
        port=5432,
        database="ml_metadata",
        **USER,
    )
    password = USER["password"]
    assert password not in str(found.get_container("metadata").plan.to_dict())
    for relation in found.relations:
        for data in (relation.local_unit_data, getattr(relation, "local_app_data", {})):
            assert password not in json.dumps(dict(data))
    assert all(password not in entry.message for entry in context.juju_log)


def test_on_the_storage(context, state, container, etc):
    found = context.run(context.on.pebble_ready(container), state)
    assert "--login" not in command(found)
    assert not (etc / "database").exists()


def test_without_the_relation_nothing_begins_anew(context, state, container, storage):
    found = context.run(context.on.pebble_ready(container), related(state))
    (storage / "postgresql.json").write_text("{}")
    (relation,) = found.get_relations("database")
    found = context.run(context.on.relation_broken(relation), found)
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert found.unit_status.message.startswith(
        "the data are in PostgreSQL: run `juju integrate metadata:database POSTGRESQL`"
    )
    assert status_of_service(found) is not ops.pebble.ServiceStatus.ACTIVE


def test_why_the_server_ends_is_said(context, state, container, storage, server, monkeypatch):
    (storage / "problem").write_text("database d on h:5432: it is of\nanother application\n")
    server.ready = False
    monkeypatch.setattr(ops.pebble.ServiceInfo, "is_running", lambda self: False)
    found = context.run(context.on.pebble_ready(container), related(state))
    assert found.unit_status == ops.BlockedStatus(
        "database d on h:5432: it is of another application"
    )
