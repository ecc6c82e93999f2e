import pytest

from tinykube.crd import validation
from tinykube.crd.structural import build


def faults(schema, value, **more):
    return [str(cause) for cause in validation.validate(value, build(schema), **more)]


def spec(**schema):
    return {"type": "object", "properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "integer"}, "x", 'must be of type integer: "string"'),
        ({"type": "string"}, None, 'must be of type string: "null"'),
        ({"type": "boolean"}, 1, 'must be of type boolean: "integer"'),
        ({"type": "array", "items": {}}, {}, 'must be of type array: "object"'),
        ({"type": "integer", "maximum": 10}, 11, "should be less than or equal to 10"),
        ({"type": "integer", "minimum": 3}, 2, "should be greater than or equal to 3"),
        (
            {"type": "number", "maximum": 1, "exclusiveMaximum": True},
            1,
            "should be less than 1",
        ),
        ({"type": "number", "multipleOf": 0.5}, 0.7, "should be a multiple of 0.5"),
        ({"type": "string", "minLength": 2}, "a", "should be at least 2 chars long"),
        ({"type": "string", "pattern": "^a+$"}, "b", "should match '^a+$'"),
        ({"type": "array", "minItems": 1, "items": {}}, [], "should have at least 1 items"),
        ({"type": "object", "minProperties": 1}, {}, "should have at least 1 properties"),
        ({"type": "string", "format": "ipv4"}, "300.1.1.1", "must be of type ipv4"),
    ],
)
def test_one_field(schema, value, words):
    (fault,) = faults(spec(**schema), {"a": value})
    assert fault.startswith("a: Invalid value: ")
    assert f"a in body {words}" in fault


def test_a_number_that_is_not_whole():
    checked, fault = sorted(faults(spec(type="integer"), {"a": 1.5}))
    assert checked == (
        '<nil>: Invalid value: "": Checked value must be of type integer (default format) in a'
    )
    assert fault.endswith('a in body must be of type integer: "number"')
    fault, _ = faults(spec(type="integer", format="int32"), {"a": 1.5})
    assert fault == 'a: Invalid value: "float64": a in body must be of type int32: "float64"'


def test_values_that_fit():
    schema = spec(type="integer", maximum=10, minimum=0, enum=[1, 2, 3])
    assert faults(schema, {"a": 3}) == []
    assert faults(spec(type="number"), {"a": 3}) == []
    assert faults(spec(type="integer"), {"a": 3.0}) == []
    assert faults(spec(type="string", nullable=True, enum=["x"]), {"a": None}) == []
    assert faults(spec(**{"x-kubernetes-int-or-string": True}), {"a": "5%"}) == []


def test_an_enum_is_told_in_the_order_of_its_schema():
    (fault,) = faults(spec(type="string", enum=["b", "a"]), {"a": "c"})
    assert fault == 'a: Unsupported value: "c": supported values: "b", "a"'


def test_true_is_no_one():
    assert faults(spec(type="integer", enum=[1]), {"a": True})


def test_sizes():
    (fault,) = faults(spec(type="string", maxLength=3), {"a": "abcd"})
    assert fault == "a: Too long: may not be more than 3 bytes"
    (fault,) = faults(spec(type="array", maxItems=1, items={}), {"a": [1, 2]})
    assert fault == "a: Too many: 2: must have at most 1 item"


def test_a_required_field():
    schema = {"type": "object", "properties": {"a": spec(type="string") | {"required": ["b"]}}}
    assert faults(schema, {"a": {}}) == ["a.b: Required value"]


def test_inside_lists_and_maps():
    schema = {
        "type": "object",
        "properties": {
            "l": {"type": "array", "items": {"type": "object", "required": ["x"]}},
            "m": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
    }
    found = faults(schema, {"l": [{"x": 1}, {}], "m": {"k": "v"}})
    assert found[0] == "l[1].x: Required value"
    assert found[1].startswith('m.k: Invalid value: "string": m.k in body must be of type integer')


def test_junctions():
    either = {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert faults(either, {"a": 1}) == []
    found = faults(either, {})
    assert found[0] == (
        '<nil>: Invalid value: "": "" must validate one and only one schema (oneOf). '
        "Found none valid"
    )
    assert found[1] == "a: Required value"
    (both,) = faults(either, {"a": 1, "b": 1})
    assert both.endswith("Found 2 valid alternatives")
    some = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert faults(some, {"a": 1, "b": 1}) == []
    assert '"" must validate at least one schema (anyOf)' in faults(some, {})[0]
    every = {"allOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert any("(allOf)" in fault for fault in faults(every, {"a": 1}))
    none = {"not": {"required": ["a"]}}
    assert faults(none, {}) == []
    assert "must not validate the schema (not)" in faults(none, {"a": 1})[0]


def test_a_part_has_its_prefix():
    schema = spec(type="integer")
    (fault,) = faults(schema, {"a": "x"}, prefix="status")
    assert fault.startswith('status.a: Invalid value: "string": a in body must be')


def test_what_was_there_before_is_not_held_against_a_change():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 3}, "b": {"type": "integer"}},
    }
    assert faults(schema, {"a": 9, "b": 2}, old={"a": 9, "b": 1}) == []
    assert faults(schema, {"a": 8, "b": 2}, old={"a": 9, "b": 1})


def test_items_of_a_keyed_list_are_found_again():
    schema = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object", "properties": {"v": {"type": "integer", "maximum": 3}}},
    }
    old = [{"n": "a", "v": 9}, {"n": "b", "v": 1}]
    assert faults(schema, [{"n": "b", "v": 2}, {"n": "a", "v": 9}], old=old) == []
    assert faults(schema, [{"n": "c", "v": 9}], old=old)


def test_a_pattern_takes_no_more_time_than_its_text_is_long():
    # With backtracking this does not end.
    (fault,) = faults(spec(type="string", pattern="^(a+)+$"), {"a": "a" * 50_000 + "b"})
    assert "should match" in fault


def test_a_hostile_value_fills_no_log():
    (fault,) = faults(spec(type="string", pattern="^a$"), {"a": "x" * 100_000})
    assert len(fault) < 1000


def test_items_that_are_there_twice():
    unique = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object"},
    }
    node = build({"type": "object", "properties": {"s": unique, "m": keyed}})
    value = {"s": ["a", "b", "a", "a"], "m": [{"n": "x", "v": 1}, {"n": "x", "v": 2}]}
    assert [str(cause) for cause in validation.unique(value, node)] == [
        's[2]: Duplicate value: "a"',
        'm[1]: Duplicate value: {"n":"x"}',
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(1, "int64"), (1.5, "float64"), ({}, ""), (True, "")]
)
def test_a_format_is_compared_before_a_type(value, shown):
    (fault,) = faults(spec(type="string", format="ipv4"), {"a": value})
    assert fault == f'a: Invalid value: "{shown}": a in body must be of type ipv4: "{shown}"'


def test_a_format_that_nobody_knows_changes_nothing():
    (fault,) = faults(spec(type="string", format="nobody-knows"), {"a": 1})
    assert fault.endswith('must be of type string: "integer"')
