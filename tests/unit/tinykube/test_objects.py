import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube import objects

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(JSON)
def test_dump_and_load(value):
    text = objects.dump(value)
    assert text.isascii()
    assert objects.load(text) == value


@given(JSON)
def test_copies_are_equal_and_apart(value):
    copied = objects.copy(value)
    assert copied == value
    if isinstance(value, dict | list) and value:
        assert copied is not value


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[" * 100_000, "{", "", "1" * 5000, b"\xff"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        objects.load(text)


def test_a_condition_moves_only_when_it_changes():
    status = {}
    assert objects.set_condition(status, "Ready", "False", reason="Why", message="so")
    first = dict(status["conditions"][0])
    assert not objects.set_condition(status, "Ready", "False", reason="Why", message="so")
    assert objects.set_condition(status, "Ready", "True")
    assert "reason" not in status["conditions"][0]
    assert first["reason"] == "Why"


def test_conditions_that_are_null_are_none():
    status = {"conditions": None}
    assert objects.set_condition(status, "Ready", "True", reason="R")
    assert [item["type"] for item in status["conditions"]] == ["Ready"]
