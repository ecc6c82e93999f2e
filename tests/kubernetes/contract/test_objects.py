"""Create, read, change, delete."""

import pytest
from kubernetes import client as kube
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace, Secret
from lightkube.types import CascadeType, PatchType


@pytest.fixture
def put(client, namespace):
    def create(name="a", **fields):
        meta = ObjectMeta(name=name, namespace=namespace, **fields.pop("metadata", {}))
        return client.create(ConfigMap(metadata=meta, **fields))

    return create


def test_what_the_server_adds(put, namespace):
    made = put(data={"k": "v"})
    assert (made.metadata.namespace, made.data) == (namespace, {"k": "v"})
    assert made.metadata.uid
    assert made.metadata.resourceVersion
    assert made.metadata.creationTimestamp
    assert made.metadata.generation is None


def test_a_generated_name(client, namespace):
    meta = ObjectMeta(generateName="made-", namespace=namespace)
    names = {client.create(ConfigMap(metadata=meta)).metadata.name for _ in range(3)}
    assert len(names) == 3
    assert {len(name) for name in names} == {len("made-") + 5}


def test_a_name_is_taken_once(put, refused):
    put()
    status = refused(put)
    assert (status.code, status.reason) == (409, "AlreadyExists")
    assert status.message == 'configmaps "a" already exists'


@pytest.mark.parametrize("bad", ["A", "a_b", "-a", "a" * 254, "a/b"])
def test_bad_names(put, refused, bad):
    status = refused(put, bad)
    assert (status.code, status.reason) == (422, "Invalid")
    assert status.details.causes[0].field == "metadata.name"


def test_a_namespace_that_is_not_there(client, refused, name):
    body = ConfigMap(metadata=ObjectMeta(name="a", namespace=name))
    status = refused(client.create, body)
    assert (status.code, status.message) == (404, f'namespaces "{name}" not found')


def test_a_stale_update_is_a_conflict(client, put, refused):
    made = put(data={"k": "1"})
    made.data = {"k": "2"}
    client.replace(made)
    status = refused(client.replace, made)
    assert (status.code, status.reason) == (409, "Conflict")
    assert "the object has been modified" in status.message


def test_an_update_that_changes_nothing_keeps_the_version(client, put):
    made = put(data={"k": "1"})
    same = client.replace(made)
    assert same.metadata.resourceVersion == made.metadata.resourceVersion


@pytest.mark.parametrize(
    ("kind", "patch", "data"),
    [
        (PatchType.MERGE, {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        (PatchType.STRATEGIC, {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        (PatchType.STRATEGIC, {"data": {"$patch": "replace", "z": "9"}}, {"z": "9"}),
        (
            PatchType.JSON,
            [
                {"op": "test", "path": "/data/a", "value": "1"},
                {"op": "move", "from": "/data/a", "path": "/data/d"},
                {"op": "replace", "path": "/data/b", "value": "5"},
            ],
            {"b": "5", "d": "1"},
        ),
    ],
)
def test_patches(client, put, namespace, kind, patch, data):
    put(data={"a": "1", "b": "2"})
    changed = client.patch(ConfigMap, "a", patch, namespace=namespace, patch_type=kind)
    assert changed.data == data


def test_a_patch_that_does_not_fit(client, put, namespace, refused):
    put(data={"a": "1"})
    patch = [{"op": "test", "path": "/data/a", "value": "2"}]
    status = refused(
        client.patch, ConfigMap, "a", patch, namespace=namespace, patch_type=PatchType.JSON
    )
    assert (status.code, status.reason) == (422, "Invalid")


def test_a_dry_run_keeps_nothing(client, namespace, refused):
    body = ConfigMap(metadata=ObjectMeta(name="a", namespace=namespace))
    assert client.create(body, dry_run=True).metadata.uid
    assert refused(client.get, ConfigMap, "a", namespace=namespace).code == 404


def test_what_is_immutable_stays(client, put, namespace, refused):
    put(data={"k": "1"}, immutable=True)
    status = refused(client.patch, ConfigMap, "a", {"data": {"k": "2"}}, namespace=namespace)
    assert status.code == 422
    assert "field is immutable when `immutable` is set" in status.message


def test_a_finalizer_holds_an_object(client, put, namespace, refused):
    put(metadata={"finalizers": ["example.com/f"]})
    client.delete(ConfigMap, "a", namespace=namespace)
    found = client.get(ConfigMap, "a", namespace=namespace)
    assert found.metadata.deletionTimestamp
    status = refused(
        client.patch,
        ConfigMap,
        "a",
        {"metadata": {"finalizers": ["example.com/f", "example.com/g"]}},
        namespace=namespace,
    )
    assert status.code == 422
    assert "no new finalizers can be added if the object is being deleted" in status.message
    client.patch(ConfigMap, "a", {"metadata": {"finalizers": None}}, namespace=namespace)
    assert refused(client.get, ConfigMap, "a", namespace=namespace).code == 404


@pytest.mark.parametrize(
    ("cascade", "left"),
    [(CascadeType.BACKGROUND, False), (CascadeType.FOREGROUND, False), (CascadeType.ORPHAN, True)],
)
def test_dependents_go_with_their_owner_or_stay(client, put, namespace, wait, cascade, left):
    owner = put("owner")
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner.metadata.uid,
        "blockOwnerDeletion": True,
    }
    put("dependent", metadata={"ownerReferences": [reference]})
    client.delete(ConfigMap, "owner", namespace=namespace, cascade=cascade)

    def there(name):
        try:
            return client.get(ConfigMap, name, namespace=namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise
            return None

    wait(lambda: there("owner") is None)
    if left:
        assert wait(lambda: there("dependent")).metadata.ownerReferences is None
    else:
        wait(lambda: there("dependent") is None)


def test_a_collection_goes_by_selector(client, api, put, namespace):
    for number in range(4):
        put(f"c{number}", metadata={"labels": {"even": str(number % 2 == 0).lower()}})
    core = kube.CoreV1Api(api)
    core.delete_collection_namespaced_config_map(namespace, label_selector="even=true")
    found = client.list(ConfigMap, namespace=namespace, labels={"even": "false"})
    assert [item.metadata.name for item in found] == ["c1", "c3"]
    assert not list(client.list(ConfigMap, namespace=namespace, labels={"even": "true"}))


def test_a_namespace_takes_its_contents(client, wait, refused, name):
    client.create(Namespace(metadata=ObjectMeta(name=name)))
    client.create(Secret(metadata=ObjectMeta(name="s", namespace=name)))
    client.delete(Namespace, name)

    def gone():
        try:
            client.get(Namespace, name)
        except ApiError as error:
            return error.status.code == 404
        return False

    wait(gone)
    assert refused(client.get, Secret, "s", namespace=name).code == 404


def test_text_becomes_data(client, namespace):
    body = Secret(
        metadata=ObjectMeta(name="s", namespace=namespace), stringData={"k": "the value"}
    )
    made = client.create(body)
    assert (made.data, made.stringData, made.type) == ({"k": "dGhlIHZhbHVl"}, None, "Opaque")
