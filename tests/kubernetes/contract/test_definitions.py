"""Kinds of one's own."""

import copy

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.types import PatchType

from ..differential.widgets import WIDGETS

GROUP = "contract.example.com"
Widget = create_namespaced_resource(GROUP, "v1", "Widget", "widgets")


@pytest.fixture
def defined(client, wait):
    """The definition, established on this server; gone after the test."""
    body = copy.deepcopy(WIDGETS)
    body["metadata"]["name"] = f"widgets.{GROUP}"
    body["spec"]["group"] = GROUP
    client.create(CustomResourceDefinition.from_dict(body))
    client.wait(CustomResourceDefinition, f"widgets.{GROUP}", for_conditions=["Established"])

    def served():
        try:
            list(client.list(Widget, namespace="default"))
        except ApiError as error:
            # For a moment after it is established.
            if error.status.code not in (404, 429):
                raise
            return False
        return True

    wait(served)
    yield
    client.delete(CustomResourceDefinition, f"widgets.{GROUP}")

    def gone():
        try:
            client.get(CustomResourceDefinition, f"widgets.{GROUP}")
        except ApiError as error:
            return error.status.code == 404
        return False

    wait(gone)


@pytest.fixture
def put(client, namespace, defined):
    def create(name="a", **fields):
        return client.create(Widget(metadata=ObjectMeta(name=name, namespace=namespace), **fields))

    return create


def test_defaults_and_pruning(put):
    made = put(spec={"parts": [{"name": "x"}], "unknown": 1, "free": {"any": "thing"}})
    assert made.spec == {
        "size": 2,
        "parts": [{"name": "x", "count": 1}],
        "free": {"any": "thing"},
    }
    assert made.metadata.generation == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"size": 11}, "spec.size: Invalid value: 11: spec.size in body should be less than"),
        ({"colour": "green"}, 'spec.colour: Unsupported value: "green"'),
        ({"size": "big"}, "spec.size in body must be of type integer"),
        ({"size": 5, "limit": 3}, "size is over the limit"),
        ({"parts": [{}]}, "spec.parts[0].name: Required value"),
        ({"parts": [{"name": "x"}, {"name": "x"}]}, "spec.parts[1]: Duplicate value"),
    ],
)
def test_what_the_schema_refuses(put, refused, spec, words):
    status = refused(put, spec=spec)
    assert (status.code, status.reason) == (422, "Invalid")
    assert words in status.message


def test_the_generation_counts_changes_of_the_spec(client, put, namespace):
    put(spec={"size": 1})

    def patch(body):
        return client.patch(Widget, "a", body, namespace=namespace, patch_type=PatchType.MERGE)

    labelled = patch({"metadata": {"labels": {"a": "b"}}})
    assert labelled.metadata.generation == 1
    changed = patch({"spec": {"size": 2}})
    assert changed.metadata.generation == 2


def test_the_status_is_written_apart(client, put, namespace):
    assert put(spec={"size": 1}, status={"ready": True}).status is None
    changed = client.patch(
        Widget.Status,
        "a",
        {"status": {"ready": True}, "spec": {"size": 9}},
        namespace=namespace,
        patch_type=PatchType.MERGE,
    )
    assert (changed.status, changed.spec["size"]) == ({"ready": True}, 1)
    assert changed.metadata.generation == 1


def test_kinds_that_are_not_there(client, namespace, refused):
    missing = create_namespaced_resource("batch", "v1", "Thing", "things")
    status = refused(client.get, missing, "a", namespace=namespace)
    assert (status.code, status.message) == (
        404,
        "the server could not find the requested resource",
    )
