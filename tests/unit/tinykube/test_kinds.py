"""What a shape says of empty values is what Kubernetes' own types say of them."""

import json
from importlib import resources

import pytest

from tinykube import kinds, schema
from tinykube.kinds import apiextensions
from tinykube.schema import Fields, Many, Table

FOUND = json.loads(resources.files("tinykube.protobuf").joinpath("fields.json").read_bytes())
PLAIN = ("str", "int", "bool", "number")
# Conditions of several kinds have one shape; of those the message is in every one that is whole.
SHARED = {"reason", "message"}


def members(name):
    found = {}
    for shown, spec in FOUND["messages"][name].values():
        found.update({shown: spec} if shown else members(spec))
    return found


def scalars(shape, name):
    """Every scalar field below a shape: where, whether optional, whether always, what Go has."""
    known = members(name)
    for field, inner in shape.fields.items():
        spec = known.get(field)
        if spec is None:
            continue
        if inner in PLAIN:
            yield f"{name}.{field}", field in shape.optional, field in shape.always, spec
        while isinstance(inner, Many | Table):
            inner = inner.item
        bare = spec.lstrip("?!")
        while bare.startswith(("[]", "{}")):
            bare = bare[2:].lstrip("?!")
        if isinstance(inner, Fields) and "/" in bare:
            yield from scalars(inner, bare)


@pytest.mark.parametrize(
    "resource",
    [item for item in (*kinds.STORED, *kinds.VIEWS) if item.group != kinds.API_EXTENSIONS],
    ids=lambda item: f"{item.api_version}.{item.plural}",
)
def test_empty_values_are_told_apart_as_gos_types_do(resource):
    name = f"{FOUND['groups'][resource.api_version]}.{resource.kind}"
    wrong = [
        where
        for where, optional, always, spec in scalars(resource.shape, name)
        if where.rpartition(".")[2] not in SHARED
        and (optional, always) != (spec[0] == "?", spec[0] == "!")
    ]
    assert wrong == []


def test_of_a_schema_nothing_is_lost():
    props = {
        "type": "integer",
        "minimum": 0,
        "maximum": 0.0,
        "maxLength": 0,
        "minItems": 0,
        "maxProperties": 0,
        "x-kubernetes-preserve-unknown-fields": False,
        "x-kubernetes-list-type": "",
        "default": 0,
        "enum": [0, "", False],
    }
    read = schema.read(props, apiextensions.PROPS, "", schema.Findings())
    schema.settle(read, apiextensions.PROPS)
    assert read == props
