"""Parameters of actions: completed with defaults, refused by name."""

import pytest

from minijuju import schema

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "x", "pattern": "^[a-z]+$", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "maximum": 3},
        "kind": {"enum": ["a", "b"]},
        "deep": {"type": "object", "properties": {"er": {"type": "boolean"}}},
        "list": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    },
    "required": ["count"],
    "additionalProperties": False,
}


def test_defaults():
    assert schema.complete(SCHEMA, {"count": 2}) == {"name": "x", "count": 2}
    assert schema.complete({}, {"any": "thing"}) == {"any": "thing"}
    nested = {"properties": {"a": {"properties": {"b": {"default": 1}, "c": {}}}, "d": {}}}
    assert schema.complete(nested, {}) == {"a": {"b": 1}}
    assert schema.complete(nested, {"a": {"c": 2}, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "'count' is a required property"),
        ({"count": "2"}, "count: '2' is not of type 'integer'"),
        ({"count": True}, "count: True is not of type 'integer'"),
        ({"count": 2.5}, "count: 2.5 is not of type 'integer'"),
        ({"count": 0}, "count: 0 is less than the minimum of 1"),
        ({"count": 9}, "greater than the maximum of 3"),
        ({"count": 1, "name": 3}, "name: 3 is not of type 'string'"),
        ({"count": 1, "name": "A"}, "does not match"),
        ({"count": 1, "name": "abcdefgh"}, "is too long"),
        ({"count": 1, "kind": "c"}, "kind: 'c' is not one of"),
        ({"count": 1, "deep": {"er": 1}}, "deep.er: 1 is not of type 'boolean'"),
        ({"count": 1, "list": ["x"]}, r"list\[0\]: 'x' is not of type 'number'"),
        ({"count": 1, "list": [1, 2, 3]}, "is too long"),
        ({"count": 1, "more": 1}, "'more' was unexpected"),
        ({"count": 1, "either": 1.5}, "either: 1.5 is not valid under any of the given schemas"),
    ],
)
def test_refusals(params, says):
    with pytest.raises(schema.SchemaError, match=says):
        schema.complete(SCHEMA, params)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"type": "text"}, "type: 'text' is not valid"),
        ({"properties": {"a": {"minimum": "low"}}}, "properties.a.minimum: 'low' is not of type"),
        (
            {"properties": {"a": {"$ref": "http://x"}}},
            r'properties.a.\$ref: schema key "\$ref" not',
        ),
        ({"properties": {"a": {1: 2}}}, "map keyed with non-string value"),
    ],
)
def test_schemas_that_are_none(declared, says):
    schema.check(SCHEMA)
    with pytest.raises(schema.SchemaError, match=says):
        schema.check(declared)
