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
    clean, findings = read({"text": "x", "number": None, "other": 1, "map": {"a": "b"}})
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


KEYED = Fields(
    {
        "items": Many(
            Fields({"port": "int", "protocol": "str"}, always=("port",)),
            key="port",
            keys=(("port", None), ("protocol", "TCP")),
        ),
        "set": Many("str", key="*"),
        "plain": Many("str"),
    }
)


@pytest.mark.parametrize(
    ("item", "where"),
    [
        ({"port": 80, "odd": 1}, '[port=80,protocol="TCP"]'),
        ({"protocol": "UDP", "odd": 1}, '[port=0,protocol="UDP"]'),
    ],
)
def test_an_apply_is_told_of_items_by_their_keys(item, where):
    for part, place in ((True, where), (False, "[0]")):
        findings = Findings(part=part)
        schema.read({"items": [item]}, KEYED, "", findings)
        assert findings.unknown == [f"items{place}.odd"]


@pytest.mark.parametrize("name", ["items", "set"])
def test_an_apply_has_no_null_among_items_that_have_names(name):
    with pytest.raises(ShapeError, match=rf"{name}\[0\]: expected .*, found null"):
        schema.read({name: [None]}, KEYED, "", Findings(part=True))
    assert schema.read({name: [None]}, KEYED, "", Findings())
    assert schema.read({"plain": [None]}, KEYED, "", Findings(part=True)) == {"plain": [""]}


def test_an_empty_map_may_be_told_from_none_until_it_is_stored():
    shape = Fields({"kept": Table("str", kept=True), "map": Table("str")})
    clean = schema.read({"kept": {}, "map": {}}, shape, "", Findings())
    schema.settle(clean, shape)
    assert clean == {"kept": {}}
    schema.fold(clean, shape)
    assert clean == {}


@pytest.mark.parametrize(
    ("shape", "empty"),
    [
        ("str", ""),
        ("int", 0),
        ("bool", False),
        ("bytes", ""),
        ("quantity", "0"),
        ("int-or-str", 0),
        ("any", None),
        (Fields({"x": "str"}), {}),
        (Table("str"), {}),
        (Many("str"), []),
    ],
)
def test_a_null_inside_is_the_empty_value_of_its_type(shape, empty):
    assert schema.read([None], Many(shape), "", Findings()) == [empty]
    assert schema.read({"k": None}, Table(shape), "", Findings()) == {"k": empty}


def test_a_null_where_a_time_must_be():
    with pytest.raises(ShapeError, match=r"\[0\]: expected a time .* found null"):
        schema.read([None], Many("time"), "", Findings())


WHOLE = Fields(
    {
        "plain": "str",
        "number": "int",
        "pointer": "bool",
        "needed": "str",
        "amount": "quantity",
        "inner": Fields({"plain": "str", "needed": "int"}, always=("needed",)),
        "items": Many(Fields({"plain": "str"})),
        "map": Table(Fields({"plain": "int"})),
        "listed": Many("str", kept=True),
    },
    optional=("pointer",),
    always=("needed", "amount", "inner", "listed"),
)


def test_what_is_empty_and_what_is_always_there():
    obj = {
        "plain": "",
        "number": 0,
        "pointer": False,
        "items": [{"plain": ""}, {"plain": "x"}],
        "map": {"k": {"plain": 0}},
    }
    schema.settle(obj, WHOLE)
    assert obj == {
        "pointer": False,
        "needed": "",
        "amount": "0",
        "inner": {"needed": 0},
        "items": [{}, {"plain": "x"}],
        "map": {"k": {}},
        "listed": None,
    }


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
