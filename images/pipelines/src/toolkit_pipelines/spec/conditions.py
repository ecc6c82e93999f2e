"""Conditions and parts of values, in CEL.

The variables are KFP's: a condition has `inputs.parameter_values['NAME']` (and schema 2.0's
`inputs.parameters['NAME'].string_value`), an expression that gives a part of a value has
`string_value`, which is the value as text; `parseJson` reads text. Integers are integers here,
not doubles as in KFP's own backend; CEL compares the two by value.

The library finds unknown names only when it runs into them, so they are looked for beforehand.
Macros that loop (`all`, `map`, ...) are not known: KFP's compiler writes none, and without them
the time that an expression takes is bounded by its length.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, Final

from .errors import SpecError
from .sources import Json

if TYPE_CHECKING:
    import cel

MAX_LENGTH: Final = 10_000
"""Longest expression, in characters."""

_TEXT: Final = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_NAME: Final = re.compile(r"(\.\s*)?\b([A-Za-z_]\w*)(\s*\()?")
_FUNCTIONS: Final = frozenset({"int", "uint", "double", "string", "size", "parseJson", "type"})
_METHODS: Final = frozenset({"contains", "endsWith", "matches", "size", "startsWith"})
_WORDS: Final = frozenset({"true", "false", "null", "in"})
_INPUT: Final = re.compile(
    r"inputs\s*\.\s*parameter(?:_value)?s\s*\[\s*('(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")\s*\]"
)
# What the library raises, as it documents.
_ERRORS: Final = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class ConditionError(Exception):
    """An expression cannot be worked out with the values at hand."""


def check_condition(expression: str, names: Container[str], where: str) -> None:
    """See that a condition can be evaluated where these parameters are.

    Raises:
        SpecError: it is no CEL, or asks for what is not there.
    """
    _check(expression, "inputs", where)
    for literal in _INPUT.findall(expression):
        name = re.sub(r"\\(.)", r"\1", literal[1:-1])
        if name not in names:
            raise SpecError(where, f"the condition asks for the parameter {name[:80]!r}: no input")


def check_part(expression: str, where: str) -> None:
    """See that an expression can give a part of a value; SpecError if it cannot."""
    _check(expression, "string_value", where)


def holds(expression: str, parameters: Mapping[str, Json]) -> bool:
    """Tell whether a condition is met.

    Raises:
        ConditionError: it cannot be worked out, or gives something else than true or false.
    """
    values: dict[str, Json] = {"parameter_values": dict(parameters)}
    if re.search(r"inputs\s*\.\s*parameters\b", expression):
        values["parameters"] = {name: _message(value) for name, value in parameters.items()}
    found = _run(expression, {"inputs": values})
    if not isinstance(found, bool):
        raise ConditionError(f"the condition {_short(expression)} gave {found!r}, not a boolean")
    return found


def part(expression: str, value: Json) -> Json:
    """Give a part of a value; ConditionError if it has none such."""
    text = value if isinstance(value, str) else json.dumps(value)
    return _run(expression, {"string_value": text})


def _message(value: Json) -> dict[str, Json]:
    """Write a value as schema 2.0 has it."""
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int_value": value}
    if isinstance(value, float):
        return {"double_value": value}
    return {"string_value": json.dumps(value)}


def _check(expression: str, variable: str, where: str) -> None:
    if len(expression) > MAX_LENGTH:
        raise SpecError(where, f"the expression is longer than {MAX_LENGTH} characters")
    for match in _NAME.finditer(_TEXT.sub("''", expression)):
        member, name, call = match.groups()
        if call:
            known = name in (_METHODS if member else _FUNCTIONS)
        else:
            known = bool(member) or name in _WORDS or name == variable
        if not known:
            what = "function" if call else "variable"
            raise SpecError(
                where,
                f"the expression {_short(expression)} uses the {what} {name[:80]!r}, which "
                f"there is none of: known are {variable} and the functions "
                f"{', '.join(sorted(_FUNCTIONS | _METHODS))}",
            )
    try:
        _compile(expression)
    except ValueError as error:
        problem = str(error).partition("ERROR: <input>:")[2] or str(error)
        raise SpecError(
            where, f"{_short(expression)} is no CEL expression: {problem[:200]}"
        ) from error


@functools.lru_cache(maxsize=1024)
def _compile(expression: str) -> cel.Program:
    # Imported where there is a condition: a second and 34 MiB, most of it its command line tool.
    import cel

    return cel.compile(expression)


def _run(expression: str, variables: Mapping[str, Any]) -> Json:
    import cel

    try:
        context = cel.Context(variables=dict(variables), functions={"parseJson": json.loads})
        return _compile(expression).execute(context)
    except _ERRORS as error:
        problem = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise ConditionError(f"{_short(expression)}: {problem[:300]}") from error


def _short(expression: str) -> str:
    text = repr(expression)
    return text if len(text) <= 120 else text[:117] + "..."
