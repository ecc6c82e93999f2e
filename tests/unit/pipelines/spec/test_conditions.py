"""Conditions and parts of values: KFP's expressions, and what cannot be worked out."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_pipelines.spec import SpecError, conditions
from toolkit_pipelines.spec.conditions import ConditionError

GIVEN: dict[str, Any] = {
    "i": 5,
    "f": 3.5,
    "s": "it's",
    "b": True,
    "nothing": None,
    "l": [1, 2],
    "m": {"k": 1},
}


def v(name: str) -> str:
    return f"inputs.parameter_values['{name}']"


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        (f"int({v('i')}) == 5", True),
        (f"!(int({v('i')}) < 5) && !(int({v('i')}) > 5)", True),
        (f"{v('i')} > {v('f')}", True),
        (f"{v('i')} == 5.0", True),
        (f"double({v('i')}) >= 5.5", False),
        (f'{v("s")} == "it\'s"', True),
        (f"{v('b')} == true", True),
        (f"{v('nothing')} == 'x'", False),
        (f"{v('nothing')} == null", True),
        (f"{v('i')} in {v('l')}", False),
        (f"{v('m')}['k'] == 1", True),
        (f"{v('s')}.startsWith('it')", True),
        ("inputs.parameters['s'].string_value == 'x'", False),
        ("inputs.parameters['i'].int_value == 5", True),
        ("inputs.parameters['f'].double_value < 4.0", True),
    ],
)
def test_conditions(expression: str, met: bool) -> None:
    conditions.check_condition(expression, GIVEN, "here")
    assert conditions.holds(expression, GIVEN) is met


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        (v("i"), "not a boolean"),
        (f"{v('nothing')} > 3", "No such overload"),
        (f"int({v('s')}) == 1", "int"),
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "overflow"),
        (f"{v('m')}['z'] == 1", "there is no 'z'"),
    ],
)
def test_a_condition_that_cannot_be_told(expression: str, problem: str) -> None:
    conditions.check_condition(expression, GIVEN, "here")
    with pytest.raises(ConditionError) as caught:
        conditions.holds(expression, GIVEN)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expression", "found"),
    [
        ({"A_a": 1}, 'parseJson(string_value)["A_a"]', 1),
        ('{"A_a": "1"}', 'parseJson(string_value)["A_a"]', "1"),
        ({"a": {"b": [1, 2.5, None]}}, 'parseJson(string_value)["a"]["b"]', [1, 2.5, None]),
        ({"a": {"b": True}}, "parseJson(string_value).a.b", True),
        ([7, 8], "parseJson(string_value)[1]", 8),
    ],
)
def test_parts(value: Any, expression: str, found: Any) -> None:
    conditions.check_part(expression, "here")
    assert conditions.part(expression, value) == found
    assert type(conditions.part(expression, value)) is type(found)


@pytest.mark.parametrize("value", ["no JSON", {"b": 1}, 5, "[1]"])
def test_what_has_no_such_part(value: Any) -> None:
    with pytest.raises(ConditionError):
        conditions.part('parseJson(string_value)["a"]', value)


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("true && foo(1)", "foo"),
        ("true || foo == 1", "foo"),
        ("{'a': 1}.map(k, k) == []", "map"),
        ("__import__('os') == 1", "__import__"),
        ("inputs.parameter_values.exists(x, x == 1)", "exists"),
    ],
)
def test_unknown_names_are_found_wherever_they_are(expression: str, name: str) -> None:
    with pytest.raises(SpecError) as caught:
        conditions.check_condition(expression, GIVEN, "here")
    assert repr(name) in str(caught.value)
    assert caught.value.where == "here"
