"""The relation `toolkit_metadata` from both sides."""

import dataclasses
import json

import ops
import pydantic
import pytest
from ops import testing

from toolkit_charm import Blocked, Waiting
from toolkit_charm.interfaces.metadata import MetadataData, MetadataProvider, MetadataRequirer

URL = "http://10.1.2.3:5000"


class Requirer(ops.CharmBase):
    """Notes what it loads; what it cannot load becomes its status."""

    def __init__(self, framework):
        super().__init__(framework)
        framework.observe(self.on.update_status, self._on_update_status)

    def _on_update_status(self, _):
        try:
            info = MetadataRequirer(self, "metadata").load()
        except (Waiting, Blocked) as reason:
            self.unit.status = reason.as_status
        else:
            shown = None if info is None else [info.url, info.token, repr(info)]
            self.unit.status = ops.ActiveStatus(json.dumps(shown))


class Provider(ops.CharmBase):
    """Publishes twice, as a charm does that handles every event in the same way."""

    def __init__(self, framework):
        super().__init__(framework)
        framework.observe(self.on.update_status, self._on_update_status)

    def _on_update_status(self, _):
        secret = self.model.get_secret(label="token")
        for _ in range(2):
            MetadataProvider(self, "metadata").publish(url=URL, secret=secret)


REQUIRER = {
    "name": "pipelines",
    "requires": {"metadata": {"interface": "toolkit_metadata", "limit": 1}},
}
PROVIDER = {"name": "metadata", "provides": {"metadata": {"interface": "toolkit_metadata"}}}


def load(relation=None, secrets=()):
    context = testing.Context(Requirer, meta=REQUIRER)
    state = testing.State(relations=[relation] if relation else [], secrets=list(secrets))
    return context.run(context.on.update_status(), state).unit_status


def published(secret, **changed):
    data = {"schema_version": "1", "url": json.dumps(URL), "secret_id": json.dumps(secret.id)}
    return testing.Relation("metadata", remote_app_name="metadata", remote_app_data=data | changed)


@pytest.fixture
def secret():
    return testing.Secret({"token": "t" * 43})


def test_no_relation_is_none():
    assert load() == ops.ActiveStatus("null")


def test_what_is_published_is_loaded_and_the_token_is_not_shown(secret):
    url, token, shown = json.loads(load(published(secret), [secret]).message)
    assert (url, token) == (URL, "t" * 43)
    assert "t" * 43 not in shown


def test_a_field_of_a_later_version_is_ignored(secret):
    assert isinstance(load(published(secret, more='"x"'), [secret]), ops.ActiveStatus)


def test_a_relation_without_data_is_waited_for():
    relation = testing.Relation("metadata", remote_app_name="metadata")
    assert load(relation) == ops.WaitingStatus("metadata has not published its address yet")


def test_a_secret_that_is_not_granted_is_waited_for(secret):
    status = load(published(secret))
    assert status == ops.WaitingStatus("metadata has not granted its token yet")


def test_a_secret_without_a_token_blocks():
    secret = testing.Secret({"other": "x" * 43})
    assert isinstance(load(published(secret), [secret]), ops.BlockedStatus)


@pytest.mark.parametrize(
    "changed",
    [
        {"schema_version": "2"},
        {"schema_version": '"1"'},
        {"url": '"ftp://10.1.2.3"'},
        {"url": '"file:///etc/passwd"'},
        {"url": '"http://user:pass@10.1.2.3"'},
        {"url": '"http://10.1.2.3/?x=1"'},
        {"url": '"http://"'},
        {"url": "not json"},
        {"url": "7"},
        {"secret_id": '"not-a-secret"'},
        {"secret_id": '"secret:x y"'},
        {"secret_id": "null"},
    ],
)
def test_what_cannot_be_read_blocks_and_says_what_to_do(secret, changed):
    status = load(published(secret, **changed), [secret])
    assert isinstance(status, ops.BlockedStatus)
    assert "refresh both charms" in status.message


@pytest.mark.parametrize("url", [URL, f"{URL}/", "https://ml.example.com/mlflow"])
def test_a_url_keeps_its_path_and_loses_its_last_slash(url):
    assert MetadataData(url=url, secret_id="secret:abc").url == url.rstrip("/")


def test_the_provider_refuses_to_publish_nonsense():
    with pytest.raises(pydantic.ValidationError):
        MetadataData(url="nonsense", secret_id="secret:abc")


def test_the_provider_tells_and_grants_every_relation_once():
    secret = testing.Secret({"token": "t" * 43}, label="token", owner="app")
    relations = [testing.Relation("metadata", remote_app_name=name) for name in ("a", "b")]
    context = testing.Context(Provider, meta=PROVIDER)
    state = testing.State(leader=True, secrets=[secret], relations=relations)
    after = context.run(context.on.update_status(), state)
    for relation in relations:
        assert after.get_relation(relation.id).local_app_data == {
            "schema_version": "1",
            "url": json.dumps(URL),
            "secret_id": json.dumps(secret.id),
        }
    assert after.get_secret(id=secret.id).remote_grants == {
        relation.id: {relation.remote_app_name} for relation in relations
    }
    # What one side writes, the other reads.
    bag = after.get_relation(relations[0].id).local_app_data
    received = dataclasses.replace(published(secret), remote_app_data=bag)
    granted = testing.Secret({"token": "t" * 43}, id=secret.id)
    assert json.loads(load(received, [granted]).message)[0] == URL
