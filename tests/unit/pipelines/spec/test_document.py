"""Hostile documents are refused quickly and with a place; sound ones read as PyYAML reads them."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit_pipelines.spec import SpecError, document

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_json_writes_is_read_back(value: object) -> None:
    (found,) = document.read(json.dumps({"v": value}))
    assert found == {"v": value}
    assert repr(found) == repr({"v": value})


@given(values)
def test_what_yaml_writes_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value)
    (found,) = document.read(text)
    assert found == yaml.safe_load(text)


def test_integers_and_floats_stay_what_they_are() -> None:
    (found,) = document.read("[1, 1.0, 0x10, '1', 1e3, true, yes, null, ~]")
    assert [repr(each) for each in found] == [
        *("1", "1.0", "16", "'1'", "'1e3'", "True", "True", "None", "None")
    ]


def test_dates_and_times_of_day_are_text() -> None:
    assert document.read("[2026-11-24, 12:30]") == [["2026-11-24", "12:30"]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "not YAML"),
        ("a: 1\na: 2", "the key 'a' appears twice"),
        ("a: &x 1\n<<: {b: 1}", "merge keys"),
        ("a: !!python/object:os.system x", "the tag"),
        ("a: !!binary aGk=", "the tag"),
        ("? [1]\n: 2", "a key must be a string"),
        ("a: *nothing", "names nothing before it"),
        ("[" * 200 + "]" * 200, "deeper than 100"),
        ("- " * 200 + "a", "deeper than 100"),
        ("a: \x07", "not YAML"),
        (b"a: \xff", "not UTF-8"),
        ("? " + "x" * 2000 + "\n: 1", "longer than 1024"),
        ('{"a": 1, "a": 2}', "the key 'a' appears twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": ' + "[" * 99999 + "}", "deeper than 100|not YAML"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "deeper than 100"),
        ('{"' + "x" * 2000 + '": 1}', "longer than 1024"),
        ('{"a": ' + "1" * 9999 + "}", "cannot be read"),
    ],
)
def test_what_no_spec_has_is_refused_with_its_place(text: str | bytes, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        document.read(text)


def test_a_document_of_12_mb_is_refused_unread() -> None:
    with pytest.raises(SpecError, match="at most 10485760 bytes"):
        document.read(b"a: " + b"x" * (12 * 1024 * 1024))


def test_laughter_is_counted_not_shared() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for number in range(1, 12):
        inner = ", ".join([f"*a{number - 1}"] * 10)
        lines.append(f"a{number}: &a{number} [{inner}]")
    with pytest.raises(SpecError, match="more than 1000000 values"):
        document.read("\n".join(lines))


def test_aliases_of_a_sound_document_are_followed() -> None:
    assert document.read("a: &x [1]\nb: *x") == [{"a": [1], "b": [1]}]
