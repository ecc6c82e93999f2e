import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju import options
from minijuju.charm import OptionMeta


def option(kind):
    return OptionMeta("x", kind)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "", ""),
        ("string", "5", "5"),
        ("int", "-5", -5),
        ("int", "+7", 7),
        ("float", "1", 1.0),
        ("float", "1e3", 1000.0),
        ("float", ".5", 0.5),
        ("boolean", "True", True),
        ("boolean", "f", False),
        ("secret", "secret:9m4e2mr0ui3e8a215n4g", "secret:9m4e2mr0ui3e8a215n4g"),
    ],
)
def test_text_that_fits(kind, text, value):
    found = options.parse(option(kind), text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "five"),
        ("int", ""),
        ("int", "1.0"),
        ("int", "9223372036854775808"),
        ("int", "1" * 5000),
        ("int", "٣"),
        ("float", "nan"),
        ("float", "1e999"),
        ("boolean", "yes"),
        ("boolean", ""),
        ("secret", "hunter2"),
        ("string", "a\0b"),
        ("string", "x" * (options.MAX_LENGTH + 1)),
    ],
)
def test_text_that_does_not_fit(kind, text):
    with pytest.raises(options.OptionError) as caught:
        options.parse(option(kind), text)
    assert '"x"' in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 5),
        ("string", None),
        ("string", ["a"]),
        ("int", "5"),
        ("int", True),
        ("int", 5.0),
        ("int", 2**63),
        ("boolean", 1),
        ("boolean", "true"),
        ("float", float("inf")),
        ("float", "1.0"),
        ("float", 10**400),
    ],
)
def test_typed_values_that_do_not_fit(kind, value):
    with pytest.raises(options.OptionError, match=f'option "x" expected {kind}, got '):
        options.check(option(kind), value)


def test_the_words_are_jujus():
    with pytest.raises(options.OptionError, match=r'^option "x" expected int, got "five"$'):
        options.parse(option("int"), "five")
    with pytest.raises(options.OptionError, match=r'^unknown option "y"$'):
        options.find({"x": option("int")}, "y")


def test_coerce_takes_both():
    known = {"n": OptionMeta("n", "int"), "s": OptionMeta("s", "string")}
    assert options.coerce_all(known, {"n": "5", "s": "6"}) == {"n": 5, "s": "6"}
    assert options.coerce_all(known, {"n": 5}) == {"n": 5}


@given(st.integers(-(2**63), 2**63 - 1))
def test_ints_survive(number):
    assert options.parse(option("int"), str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False, max_value=1e307, min_value=-1e307))
def test_floats_survive(number):
    assert options.parse(option("float"), repr(number)) == number


@given(st.sampled_from(["string", "int", "float", "boolean", "secret"]), st.text())
def test_any_text_is_read_or_refused(kind, text):
    try:
        value = options.parse(option(kind), text)
    except options.OptionError:
        return
    assert options.check(option(kind), value) == value
