import pytest

from tinykube import kinds, schema
from tinykube.schema import Fields, Findings, Many, Refused, ShapeError, Table

SHAPE = Fields(
    {
        "text": "str",
        "number": "int",
        "flag": "bool",
        "list": Many("str"),
        "map": Table("str"),
        "bytes": "bytes",
        "time": "time",
        "amount": "quantity",
        "either": "int-or-str",
        "any": "any",
        "no": Refused("not here", (False, "same")),
    }
)


def read(value):
    findings = Findings()
    return schema.read(value, SHAPE, "", findings), findings


def test_nulls_and_unknown_fields_go():
    clean, findings = read({"text": "x", "number": None, "other": 1, "map": {"a": "b", "c": None}})
    assert clean == {"text": "x", "map": {"a": "b"}}
    assert findings.unknown == ["other"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": 1}, "text: expected a string, found a number"),
        ({"number": "1"}, "number: expected a whole number"),
        ({"number": True}, "number: .* found a boolean"),
        ({"number": 2**63}, "number: expected a whole number of 64 bits"),
        ({"flag": 1}, "flag: expected true or false"),
        ({"list": {}}, "list: expected a list, found an object"),
        ({"list": [1]}, r"list\[0\]: expected a string"),
        ({"list": [None]}, r"list\[0\]: expected a string, found null"),
        ({"map": []}, "map: expected a map"),
        ({"bytes": "no base64!"}, "bytes: illegal base64 data$"),
        ({"time": "yesterday"}, "time: expected a time"),
        ({"amount": "lots"}, "amount: quantities must match"),
        ({"either": 1.5}, "either: expected"),
        ([], "the object: expected an object, found a list"),
    ],
)
def test_wrong_types_are_named(value, message):
    with pytest.raises(ShapeError, match=message):
        read(value)


def test_a_secret_value_is_never_shown():
    with pytest.raises(ShapeError) as caught:
        read({"bytes": "hunter2!"})
    assert "hunter2" not in str(caught.value)


def test_refused_fields_are_named_unless_harmless():
    assert not read({"no": False})[1].refused
    assert not read({"no": "same"})[1].refused
    (cause,) = read({"no": "other"})[1].refused
    assert (cause.field, cause.message) == ("no", "Forbidden: not here")


def test_free_json_is_bounded():
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ShapeError, match="nested too deeply"):
        read({"any": deep})


def test_every_resource_has_a_shape_with_metadata():
    for resource in kinds.STORED:
        assert resource.shape.fields["metadata"] is schema.METADATA
