"""Artifacts in an object store; all that is refused is in `pipelines_charm/test_artifacts.py`."""

import dataclasses
import json

import ops
import pytest
import yaml
from ops import testing

from toolkit_charm.artifact_store import RELATION
from toolkit_metadata import settings
from toolkit_objects import Location, credentials

from ..integrator_charm import CHAIN, KEYS, related
from .conftest import FOLDER, with_config
from .test_charm import command

# The relation's library asks for the version of Juju in a way that ops will drop.
pytestmark = pytest.mark.filterwarnings("ignore:JujuVersion.from_environ:DeprecationWarning")

URI = "s3://bucket/team?endpoint=https://minio.example.com:9000&region=us-east-1"


@pytest.fixture
def integrated(context, state, container):
    """The state once an integrator has named a store."""
    data = {
        "bucket": "bucket",
        "path": "/team/a/",
        "endpoint": "https://minio.example.com:9000",
        "region": "eu-west-1",
        "s3-uri-style": "path",
        "tls-ca-chain": json.dumps([CHAIN]),
    }
    given = related(state, data)
    return context.run(context.on.pebble_ready(container), given)


def read(state):
    """What the server makes of its command line."""
    words = command(state)
    return settings.parse(words[words.index("toolkit_metadata") + 1 :])


def test_the_relation_names_a_store(integrated, tmp_path):
    assert integrated.unit_status == ops.ActiveStatus()
    found = read(integrated)
    assert Location.parse(found.artifact_store) == Location(
        "bucket", "team/a", "https://minio.example.com:9000", "eu-west-1", path_style=True
    )
    assert str(found.artifact_store_credentials) == "/etc/toolkit/artifact-store"
    assert str(found.artifact_store_certificates) == "/etc/toolkit/artifact-store-ca"
    assert not found.artifact_links
    assert credentials(tmp_path / "artifact-store") == KEYS
    assert (tmp_path / "artifact-store").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "artifact-store-ca").read_text() == f"{CHAIN}\n"


def test_the_keys_are_in_their_file_alone(integrated):
    shown = str(integrated.get_container("metadata").plan.to_dict())
    for relation in integrated.relations:
        shown += str(relation.local_unit_data) + str(getattr(relation, "local_app_data", ""))
    assert KEYS["secret-key"] not in shown


def test_new_keys_restart_the_server(context, integrated, tmp_path, monkeypatch):
    restarted = []
    monkeypatch.setattr(ops.Container, "restart", lambda self, *names: restarted.extend(names))
    other = {**KEYS, "secret-key": "another"}
    secrets = [
        dataclasses.replace(each, latest_content=other) if each.owner is None else each
        for each in integrated.secrets
    ]
    (changed,) = [each for each in secrets if each.owner is None]
    context.run(
        context.on.secret_changed(changed), dataclasses.replace(integrated, secrets=secrets)
    )
    assert credentials(tmp_path / "artifact-store") == other
    assert restarted == ["metadata"]


def test_without_the_relation_artifacts_are_on_the_storage_again(context, integrated):
    kept = [each for each in integrated.relations if each.endpoint != RELATION]
    after = context.run(
        context.on.update_status(), dataclasses.replace(integrated, relations=kept)
    )
    assert after.unit_status == ops.ActiveStatus()
    assert read(after).artifact_store == ""


def test_config_names_a_store(context, state, container, tmp_path):
    secret = testing.Secret(KEYS, owner=None)
    given = with_config(
        dataclasses.replace(state, secrets=[secret]),
        artifact_store=URI,
        artifact_store_credentials=secret.id,
        artifact_transfer="direct",
    )
    found = context.run(context.on.pebble_ready(container), given)
    assert found.unit_status == ops.ActiveStatus()
    assert read(found).artifact_store == URI
    assert read(found).artifact_links
    assert read(found).artifact_store_certificates is None
    assert credentials(tmp_path / "artifact-store") == KEYS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"artifact_store": URI}, "juju add-secret"),
        ({"artifact_store": "gs://bucket"}, "artifact-store"),
        ({"artifact_transfer": "links"}, "artifact-transfer"),
    ],
)
def test_half_a_store_blocks_and_the_server_goes_on(context, running, options, message):
    after = context.run(context.on.config_changed(), with_config(running, **options))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert message in after.unit_status.message
    assert command(after) == command(running)


def test_a_relation_that_names_no_bucket(context, running):
    after = context.run(context.on.update_status(), related(running, {}))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "juju config minio bucket=" in after.unit_status.message
    assert command(after) == command(running)


def test_a_store_that_cannot_be_used_is_in_the_status(context, integrated, server):
    server.store = {"uri": URI, "problem": "NoSuchBucket: there is none", "transient": False}
    found = context.run(context.on.update_status(), integrated)
    assert found.unit_status == ops.BlockedStatus("NoSuchBucket: there is none")
    server.store["transient"] = True
    found = context.run(context.on.update_status(), found)
    assert found.unit_status == ops.WaitingStatus("NoSuchBucket: there is none")
    server.store["problem"] = ""
    assert context.run(context.on.update_status(), found).unit_status == ops.ActiveStatus()


def test_charmcraft_declares_the_relation():
    meta = yaml.safe_load((FOLDER / "charmcraft.yaml").read_text())
    assert meta["requires"][RELATION] == {"interface": "s3", "optional": True, "limit": 1}
    assert meta["config"]["options"]["artifact-store-credentials"]["type"] == "secret"
