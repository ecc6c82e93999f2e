"""Where the charm has artifacts kept: by config, by the relation, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import json

import ops
import pytest
import yaml
from ops import testing

from toolkit_charm.artifact_store import RELATION, checked_uri
from toolkit_objects import Location, LocationError
from toolkit_objects import store as objects
from toolkit_pipelines import settings as workload_settings

from ..integrator_charm import CHAIN, KEYS, related
from .test_charm import with_config

# The relation's library asks for the version of Juju in a way that ops will drop.
pytestmark = pytest.mark.filterwarnings("ignore:JujuVersion.from_environ:DeprecationWarning")

URI = "s3://bucket/team/a?endpoint=https://minio.example.com:9000&region=us-east-1"


@pytest.fixture
def keys():
    return testing.Secret({**KEYS, "tls-ca-chain": CHAIN}, owner=None)


def configured(state, secret, **options):
    state = dataclasses.replace(state, secrets=[*state.secrets, secret])
    given = {"artifact_store": URI, "artifact_store_credentials": secret.id, **options}
    return with_config(state, **{k: v for k, v in given.items() if v is not None})


def secretless(state, etc, found):
    """See that the credentials are in one private file, and nowhere else."""
    private = etc / "artifact-store"
    assert private.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(private.read_text()) == KEYS
    assert objects.credentials(private) == KEYS
    assert KEYS["secret-key"] not in (etc / "settings.yaml").read_text()
    assert KEYS["secret-key"] not in str(found.get_container("pipelines").plan.to_dict())
    for relation in found.relations:
        for data in (relation.local_unit_data, getattr(relation, "local_app_data", {})):
            assert KEYS["secret-key"] not in json.dumps(dict(data))


def test_config_names_a_store(context, state, container, settings, etc, keys):
    found = context.run(context.on.pebble_ready(container), configured(state, keys))
    assert found.unit_status == ops.ActiveStatus()
    given = settings()
    assert given["artifact_transfer"] == "store"
    assert given["artifact_store"] == URI
    assert given["artifact_address"] == "http://10.152.183.9:8888"
    assert "pipeline_root_claim" not in given
    assert (etc / "artifact-store-ca").read_text() == f"{CHAIN}\n"
    assert given["artifact_store_certificates"] == "/etc/toolkit-pipelines/artifact-store-ca"
    secretless(state, etc, found)
    workload_settings.from_data(given)
    # And without it again.
    context.run(
        context.on.config_changed(), dataclasses.replace(found, config={"log-level": "info"})
    )
    given = settings()
    assert given["artifact_transfer"] == "volume"
    assert not [name for name in given if name.startswith("artifact_store")]


def test_a_new_key_restarts_the_service(context, state, container, etc, keys):
    found = context.run(context.on.pebble_ready(container), configured(state, keys))
    other = {**KEYS, "secret-key": "another-key", "session-token": "of-an-hour"}
    secrets = [
        dataclasses.replace(each, latest_content=other) if each.id == keys.id else each
        for each in found.secrets
    ]
    (changed,) = [each for each in secrets if each.id == keys.id]
    context.run(context.on.secret_changed(changed), dataclasses.replace(found, secrets=secrets))
    assert objects.credentials(etc / "artifact-store") == other


def test_a_relation_names_a_store(context, state, container, settings, etc):
    data = {
        "bucket": "bucket",
        "endpoint": "https://minio.example.com:9000",
        "region": "eu-west-1",
        "path": "/team/a/",
        "s3-uri-style": "path",
        "tls-ca-chain": json.dumps([CHAIN, CHAIN]),
    }
    found = context.run(context.on.pebble_ready(container), related(state, data))
    assert found.unit_status == ops.ActiveStatus()
    given = settings()
    location = Location.parse(given["artifact_store"])
    assert location == Location(
        "bucket", "team/a", "https://minio.example.com:9000", "eu-west-1", path_style=True
    )
    assert (etc / "artifact-store-ca").read_text() == f"{CHAIN}\n{CHAIN}\n"
    secretless(state, etc, found)


def test_a_relation_with_aws(context, state, container, settings):
    data = {"bucket": "bucket", "region": "eu-west-1", "s3-uri-style": "host"}
    context.run(context.on.pebble_ready(container), related(state, data))
    given = settings()
    assert Location.parse(given["artifact_store"]) == Location("bucket", region="eu-west-1")
    assert "artifact_store_certificates" not in given


@pytest.mark.parametrize(
    ("data", "content", "status", "message"),
    [
        ({}, KEYS, ops.BlockedStatus, "juju config minio bucket="),
        ({"bucket": "b!"}, KEYS, ops.BlockedStatus, "relation s3: what minio published"),
        ({"bucket": "bucket", "endpoint": "ftp://x/y"}, KEYS, ops.BlockedStatus, "relation s3"),
        ({"bucket": "bucket"}, {"access-key": "a"}, ops.WaitingStatus, "has not published"),
    ],
)
def test_a_relation_that_does_not_name_one(
    context, state, container, data, content, status, message
):
    found = context.run(context.on.pebble_ready(container), related(state, data, content))
    assert isinstance(found.unit_status, status)
    assert message in found.unit_status.message


def test_a_relation_whose_secret_was_not_granted(context, state, container):
    given = dataclasses.replace(related(state, {"bucket": "bucket"}), secrets=[])
    found = context.run(context.on.pebble_ready(container), given)
    assert isinstance(found.unit_status, ops.WaitingStatus)
    assert "minio has not granted" in found.unit_status.message


def test_two_stores_are_one_too_many(context, state, container, keys):
    both = configured(related(state, {"bucket": "bucket"}), keys)
    found = context.run(context.on.pebble_ready(container), both)
    assert found.unit_status == ops.BlockedStatus(
        "config artifact-store and the relation s3 both name a store: drop one"
    )


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (KEYS, {"artifact_store_credentials": None}, "juju add-secret"),
        (KEYS, {"artifact_store_credentials": f"secret:{'a' * 20}"}, "juju grant-secret"),
        (KEYS, {"artifact_store": ""}, "set artifact-store as well"),
        ({"access-key": "a"}, {}, "has no key secret-key"),
    ],
)
def test_half_a_store_blocks(context, state, container, content, options, message):
    secret = testing.Secret(content, owner=None)
    wrong = configured(state, secret, **options)
    found = context.run(context.on.pebble_ready(container), wrong)
    assert isinstance(found.unit_status, ops.BlockedStatus)
    assert found.unit_status.message.startswith("config artifact-store-credentials: ")
    assert message in found.unit_status.message


def test_a_store_that_cannot_be_used_is_in_the_status(context, running, keys, service):
    service.store = {"uri": URI, "problem": "NoSuchBucket: there is none", "transient": False}
    found = context.run(context.on.config_changed(), configured(running, keys))
    assert found.unit_status == ops.BlockedStatus("NoSuchBucket: there is none")
    service.store = {"uri": URI, "problem": "nobody there " * 50, "transient": True}
    found = context.run(context.on.update_status(), found)
    assert isinstance(found.unit_status, ops.WaitingStatus)
    assert len(found.unit_status.message) <= 300
    service.store = None
    found = context.run(context.on.update_status(), found)
    assert found.unit_status == ops.WaitingStatus("the artifact store is being tried")
    service.store = {"uri": URI, "problem": "", "transient": False}
    assert context.run(context.on.update_status(), found).unit_status == ops.ActiveStatus()


def test_a_service_that_went_and_came_back_meanwhile_is_asked_again(context, running, service):
    service.missed = 1
    found = context.run(context.on.update_status(), running)
    assert found.unit_status == ops.ActiveStatus()
    service.missed = 2
    found = context.run(context.on.update_status(), running)
    assert found.unit_status == ops.WaitingStatus("the artifact store is being tried")


def test_an_image_of_before_there_were_stores(context, running, service):
    service.store = {"code": 404}
    found = context.run(context.on.update_status(), running)
    assert found.unit_status == ops.ActiveStatus()
    service.store = {"code": 500}
    found = context.run(context.on.update_status(), running)
    assert isinstance(found.unit_status, ops.WaitingStatus)


def test_steps_of_another_cluster_may_use_the_store(context, state, container, settings, keys):
    config = {
        "current-context": "c",
        "contexts": [
            {"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "steps"}}
        ],
        "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.9:6443"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    secret = testing.Secret({"kubeconfig": yaml.safe_dump(config)}, owner=None)
    given = configured(dataclasses.replace(state, secrets=[secret]), keys, kubeconfig=secret.id)
    found = context.run(context.on.pebble_ready(container), given)
    assert found.unit_status == ops.ActiveStatus()
    assert settings()["artifact_transfer"] == "store"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket",
        "s3://bucket/a/b/?region=eu-west-1",
        URI,
        "s3://bucket?endpoint=minio:9000&disableSSL=true&s3ForcePathStyle=true&use_path_style=true",
        "gs://bucket",
        "bucket",
        "s3://B",
        "s3://key:hidden@bucket",
        "s3://bucket/a b",
        "s3://bucket/../b",
        "s3://bucket#x",
        "s3://bucket?region",
        "s3://bucket?profile=x",
        "s3://bucket?region=a b",
        "s3://bucket?disableSSL=1",
        "s3://bucket?endpoint=http://x/y",
        "s3://bucket?endpoint=http://u:hidden@x",
    ],
)
def test_what_the_charm_takes_the_service_takes(uri):
    try:
        Location.parse(uri)
        wanted = uri
    except LocationError:
        wanted = None
    try:
        found = checked_uri(uri)
    except ValueError:
        found = None
    assert found == wanted


def test_charmcraft_declares_the_relation(meta):
    assert meta["requires"][RELATION]["interface"] == "s3"
    assert meta["config"]["options"]["artifact-store-credentials"]["type"] == "secret"
