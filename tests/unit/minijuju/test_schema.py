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
    },
    "required": ["count"],
    "additionalProperties": False,
}


def test_defaults():
    assert schema.complete(SCHEMA, {"count": 2}) == {"name": "x", "count": 2}
    assert schema.complete({}, {"any": "thing"}) == {"any": "thing"}


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "count is required"),
        ({"count": "2"}, "count: expected integer"),
        ({"count": True}, "count: expected integer"),
        ({"count": 2.5}, "count: expected integer"),
        ({"count": 0}, "less than 1"),
        ({"count": 9}, "more than 3"),
        ({"count": 1, "name": 3}, "name: expected string"),
        ({"count": 1, "name": "A"}, "does not match"),
        ({"count": 1, "name": "abcdefgh"}, "as many as allowed"),
        ({"count": 1, "kind": "c"}, "kind: expected one of"),
        ({"count": 1, "deep": {"er": 1}}, "deep.er: expected boolean"),
        ({"count": 1, "list": ["x"]}, r"list\[0\]: expected number"),
        ({"count": 1, "list": [1, 2, 3]}, "as many as allowed"),
        ({"count": 1, "more": 1}, "more is not a parameter"),
    ],
)
def test_refusals(params, says):
    with pytest.raises(schema.SchemaError, match=says):
        schema.complete(SCHEMA, params)
