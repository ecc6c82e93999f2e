import pytest

from tinykube.crd import defaulting, pruning
from tinykube.crd.structural import build
from tinykube.schema import Findings, ShapeError


def prune(schema, value):
    findings = Findings()
    pruning.prune(value, build(schema), findings)
    return value, findings.unknown


def test_an_apply_is_told_of_items_by_their_keys():
    item = {"type": "object", "properties": {"name": {"type": "string"}}}
    list_ = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": item,
    }
    node = build({"type": "object", "properties": {"list": list_}})
    for part, place in ((True, '[name="x"]'), (False, "[0]")):
        findings = Findings(part=part)
        pruning.prune({"list": [{"name": "x", "odd": 1}]}, node, findings)
        assert findings.unknown == [f"list{place}.odd"]


SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "string"}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "map": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
        "list": {
            "type": "array",
            "items": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
    },
}


def test_what_the_schema_does_not_name_is_dropped_and_told():
    value = {
        "apiVersion": "x/v1",
        "kind": "X",
        "metadata": {"name": "x"},
        "spec": {"a": "1", "b": 2},
        "free": {"x": {"y": 1}},
        "map": {"k": {"a": "1", "b": 2}},
        "list": [{"a": "1"}, {"b": 2}],
        "other": 1,
    }
    pruned, unknown = prune(SCHEMA, value)
    assert pruned == {
        "apiVersion": "x/v1",
        "kind": "X",
        "metadata": {"name": "x"},
        "spec": {"a": "1"},
        "free": {"x": {"y": 1}},
        "map": {"k": {"a": "1"}},
        "list": [{"a": "1"}, {}],
    }
    assert unknown == ["spec.b", "map.k.b", "list[1].b", "other"]


def test_a_part_that_is_kept_whole_may_name_parts_that_are_not():
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"spec": SCHEMA["properties"]["spec"]},
    }
    pruned, unknown = prune(schema, {"spec": {"b": 1}, "other": {"c": 1}})
    assert pruned == {"spec": {}, "other": {"c": 1}}
    assert unknown == ["spec.b"]


def test_an_embedded_resource_keeps_what_every_object_has():
    schema = {
        "type": "object",
        "properties": {
            "t": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {"spec": {"type": "object"}},
            }
        },
    }
    inside = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "no": 1}, "other": 1}
    pruned, unknown = prune(schema, {"t": inside})
    assert pruned["t"] == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    assert sorted(unknown) == ["t.metadata.no", "t.other"]
    with pytest.raises(ShapeError, match="name"):
        prune(schema, {"t": {"metadata": {"name": 1}}})


def fill(schema, value):
    node = build(schema)
    defaulting.drop_nulls(value, node)
    defaulting.fill(value, node)
    return value


def test_defaults_go_where_nothing_is_and_as_deep_as_objects_go():
    schema = {
        "type": "object",
        "properties": {
            "a": {
                "type": "object",
                "default": {},
                "properties": {"b": {"type": "integer", "default": 3}},
            },
            "c": {"type": "object", "properties": {"d": {"type": "integer", "default": 4}}},
            "list": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"e": {"type": "string", "default": "x"}},
                },
            },
        },
    }
    assert fill(schema, {"list": [{}, {"e": "y"}]}) == {
        "a": {"b": 3},
        "list": [{"e": "x"}, {"e": "y"}],
    }
    assert fill(schema, {"c": {}})["c"] == {"d": 4}


def test_a_default_is_not_shared():
    schema = {"type": "object", "properties": {"a": {"type": "object", "default": {"b": [1]}}}}
    node = build(schema)
    one, two = {}, {}
    defaulting.fill(one, node)
    defaulting.fill(two, node)
    one["a"]["b"].append(2)
    assert two["a"]["b"] == [1]


def test_nulls():
    schema = {
        "type": "object",
        "properties": {
            "plain": {"type": "string"},
            "nullable": {"type": "string", "nullable": True},
            "default": {"type": "string", "default": "x"},
            "both": {"type": "string", "default": "x", "nullable": True},
        },
    }
    given = dict.fromkeys(schema["properties"])
    assert fill(schema, given) == {"nullable": None, "default": "x", "both": None}
