import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinykube import objects

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(JSON)
def test_dump_and_load(value):
    text = objects.dump(value)
    assert text.isascii()
    for found in (objects.load(text), objects.parse(text)):
        assert found == value
        assert repr(found) == repr(value)


@given(JSON)
def test_a_text_is_the_slow_modules_own(value):
    text = objects.dump(value)
    assert re.sub(r"\d[.\d]*e?-?\d*", "0", text) == re.sub(
        r"\d[.\d]*e?-?\d*", "0", json.dumps(value, separators=(",", ":"))
    )
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "value",
    [
        {"number": 2**64},
        {"number": -(2**63) - 1},
        {"many": 10**30, "digits": "1" * 40},
        {"half": "\ud800"},
        {"\udc00": "a"},
        {"é": "\u2028\x7f\x00"},
        {"nothing": None},
        {"-0": -0.0, "large": 1e16, "small": 5e-324},
        [{"deep": json.loads("[" * 300 + "]" * 300)}],
    ],
)
def test_what_the_quick_way_cannot_do_is_as_it_was(value):
    text = objects.dump(value)
    assert text == json.dumps(value, separators=(",", ":"))
    assert repr(objects.load(text)) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1: 2, None: 3}, '{"1":2,"null":3}'),
        ({"x": float("inf")}, '{"x":Infinity}'),
        ({"x": float("nan")}, '{"x":NaN}'),
        ((1, 2), "[1,2]"),
    ],
)
def test_what_python_has_besides_is_written_as_ever(value, text):
    assert objects.dump(value) == text


@pytest.mark.parametrize("value", [{"x": datetime.now(UTC)}, {"x": b"a"}, {"x": {1}}])
def test_what_is_no_json_is_a_type_error(value):
    with pytest.raises(TypeError):
        objects.dump(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1,"a":2}', {"a": 2}),
        ("-0", 0),
        (b'"\xed\xa0\x80"', "\ud800"),
        (b"\xef\xbb\xbf{}", {}),
        ("{}".encode("utf-16"), {}),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_what_others_send_is_read_as_ever(text, value):
    assert objects.parse(text) == value


@given(JSON)
def test_copies_are_equal_and_apart(value):
    copied = objects.copy(value)
    assert copied == value
    if isinstance(value, dict | list) and value:
        assert copied is not value


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[" * 100_000, "{", "", "1" * 5000, b"\xff"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        objects.parse(text)
    if isinstance(text, str):
        with pytest.raises(ValueError):
            objects.load(text)


@given(
    st.datetimes(
        min_value=datetime(1000, 1, 1),
        timezones=st.timezones() | st.just(UTC),
        allow_imaginary=False,
    )
)
@example(datetime(3059, 1, 1, 0, 0, 0, 999_997, tzinfo=UTC))
@example(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
@example(datetime(2026, 2, 3, 4, 5, 6, 999_999, tzinfo=timezone(timedelta(hours=-3))))
def test_a_time_is_cut_to_whole_seconds_of_utc(moment):
    expected = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert objects.stamp(moment) == expected
    assert objects.when(expected) <= moment


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


@pytest.mark.parametrize("text", ["1e400", "-1e999", '{"a": [1E309]}'])
def test_numbers_that_no_float_can_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large a number"):
        objects.parse(text)


@pytest.mark.parametrize("text", ["1e308", "-1.7976931348623157e308", "1e-999", "1.5"])
def test_other_numbers_are_what_they_say(text: str) -> None:
    assert objects.parse(text) == float(text)
