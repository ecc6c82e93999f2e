from __future__ import annotations

import contextlib
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_pipelines import filters
from toolkit_pipelines.filters import Field, FilterError, Kind, Operation

FIELDS = {"display_name": Field("name"), "created_at": Field("created", Kind.TIME)}


def parse(*predicates: object) -> tuple[filters.Predicate, ...]:
    return filters.parse(json.dumps({"predicates": list(predicates)}), FIELDS)


def test_nothing() -> None:
    assert filters.parse("", FIELDS) == ()
    assert filters.parse("{}", FIELDS) == ()


@pytest.mark.parametrize(
    ("operation", "value"),
    [(1, "stringValue"), ("EQUALS", "string_value"), ("EQUALS", "stringValue")],
)
def test_both_spellings(operation: object, value: str) -> None:
    found = parse({"operation": operation, "key": "display_name", value: "x"})
    assert found == (filters.Predicate(Field("name"), Operation.EQUALS, ("x",)),)


def test_percent_encoded_again() -> None:
    plain = '{"predicates":[{"operation":1,"key":"display_name","stringValue":"a b"}]}'
    text = urllib.parse.quote_plus(plain)
    assert filters.parse(text, FIELDS)[0].values == ("a b",)


def test_in() -> None:
    found = parse({"operation": "IN", "key": "display_name", "string_values": {"values": ["a"]}})
    assert found[0].values == ("a",)


def test_time_from_a_string_or_a_timestamp() -> None:
    for name in ("timestamp_value", "string_value"):
        found = parse({"operation": 3, "key": "created_at", name: "1970-01-01T00:01:00Z"})
        assert found[0].values == (60.0,)


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ({"operation": 1, "key": "secret", "string_value": "x"}, "cannot filter by 'secret'"),
        ({"operation": 4, "key": "display_name", "string_value": "x"}, "unknown operation 4"),
        ({"operation": True, "key": "display_name", "string_value": "x"}, "unknown operation"),
        ({"operation": "LIKE", "key": "display_name", "string_value": "x"}, "EQUALS (1)"),
        ({"operation": 1, "key": "display_name"}, "exactly one value, has 0"),
        ({"operation": 1, "key": "display_name", "string_value": 5}, "must be a string"),
        ({"operation": 1, "key": "display_name", "int_value": 5}, "holds text"),
        ({"operation": 1, "key": "created_at", "string_value": "yesterday"}, "no time"),
        ({"operation": 1, "key": "created_at", "timestamp_value": "2026-01-01"}, "time zone"),
        ({"operation": 9, "key": "created_at", "string_value": "x"}, "IS_SUBSTRING"),
        ({"operation": 1, "key": "created_at", "long_value": str(2**64)}, "64 bits"),
        ({"operation": 1, "key": "created_at", "long_value": "1; DROP"}, "integer"),
        ({"operation": 1, "key": "display_name", "string_values": {"values": []}}, "one value"),
        ({"operation": 8, "key": "display_name", "string_values": []}, "must be an object"),
        ({"operation": 8, "key": "display_name", "x_values": []}, "unknown field 'x_values'"),
        ("x", "must be an object"),
    ],
)
def test_refused(predicate: object, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(predicate)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"a": 1}', '{"predicates": 1}', "[" * 50000])
def test_no_filter(text: str) -> None:
    with pytest.raises(FilterError):
        filters.parse(text, FIELDS)


def test_bounds() -> None:
    each = {"operation": 1, "key": "display_name", "string_value": "x"}
    with pytest.raises(FilterError, match="at most"):
        parse(*[each] * (filters.MAX_PREDICATES + 1))
    with pytest.raises(FilterError, match="at most"):
        filters.parse("x" * (filters.MAX_LENGTH + 1), FIELDS)
    values = {"values": ["x"] * (filters.MAX_VALUES + 1)}
    with pytest.raises(FilterError, match="at most"):
        parse({"operation": 8, "key": "display_name", "string_values": values})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(
                    ["predicates", "operation", "key", "string_value", "int_values", "values"]
                ),
                each,
            )
        ),
        max_leaves=10,
    )
)
def test_anything_else_is_a_filter_error(data: object) -> None:
    with contextlib.suppress(FilterError):
        filters.parse(json.dumps(data), FIELDS)
