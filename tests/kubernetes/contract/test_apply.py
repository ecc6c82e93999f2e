"""Server-side apply: who owns what."""

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap


@pytest.fixture
def apply(client, namespace):
    def once(manager, force=False, labels=None, **data):
        meta = ObjectMeta(name="a", namespace=namespace, labels=labels)
        body = ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=meta, data=data or None)
        return client.apply(body, field_manager=manager, force=force)

    return once


def owners(found):
    return [(entry.manager, entry.operation) for entry in found.metadata.managedFields]


def test_it_creates_and_owns(apply):
    made = apply("one", k="v")
    assert made.data == {"k": "v"}
    (entry,) = made.metadata.managedFields
    assert (entry.manager, entry.operation, entry.apiVersion) == ("one", "Apply", "v1")
    assert entry.fieldsV1 == {"f:data": {"f:k": {}}}


def test_what_is_no_longer_applied_goes(apply):
    apply("one", a="1", b="2")
    assert apply("one", a="1").data == {"a": "1"}


def test_what_others_own_stays(apply):
    apply("one", a="1")
    apply("two", b="2")
    assert apply("one").data == {"b": "2"}


def test_another_value_is_a_conflict(apply, refused):
    apply("one", a="1")
    status = refused(apply, "two", a="2")
    assert (status.code, status.reason) == (409, "Conflict")
    assert status.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    (cause,) = status.details.causes
    assert (cause.reason, cause.field) == ("FieldManagerConflict", ".data.a")


def test_the_same_value_is_shared(apply):
    apply("one", a="1")
    found = apply("two", a="1")
    assert sorted(owners(found)) == [("one", "Apply"), ("two", "Apply")]
    assert apply("one").data == {"a": "1"}


def test_force_takes_over(apply):
    apply("one", a="1", b="1")
    found = apply("two", force=True, a="2")
    assert found.data == {"a": "2", "b": "1"}
    assert apply("one", b="1").data == {"a": "2", "b": "1"}


def test_an_update_owns_what_it_changes(apply, client, namespace, refused):
    apply("one", a="1", b="1")
    client.patch(ConfigMap, "a", {"data": {"a": "2"}}, namespace=namespace)
    status = refused(apply, "one", a="1", b="1")
    assert status.code == 409
    assert 'conflict with "contract" using v1: .data.a' in status.message


def test_an_apply_that_changes_nothing_keeps_the_version(apply):
    version = apply("one", a="1").metadata.resourceVersion
    assert apply("one", a="1").metadata.resourceVersion == version


def test_a_creation_is_owned_by_its_creator(client, namespace):
    body = ConfigMap(metadata=ObjectMeta(name="a", namespace=namespace), data={"k": "v"})
    made = client.create(body, field_manager="maker")
    (entry,) = made.metadata.managedFields
    assert (entry.manager, entry.operation) == ("maker", "Update")
    assert entry.fieldsV1 == {"f:data": {".": {}, "f:k": {}}}
