"""The `filter` of list requests: KFP's Filter message as JSON, parsed and checked.

The old client spells an operation as the enum's number and a value as `stringValue`; the new one
spells it as the enum's name and `string_value`. Both are understood. Keys come from a list that
the caller gives; nothing of a filter reaches SQL except as a bound value.
"""

from __future__ import annotations

import enum
import json
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import timestamps

MAX_LENGTH = 64 * 1024
"""Characters of a filter."""

MAX_PREDICATES = 32
MAX_VALUES = 500

Value: TypeAlias = str | int | float


class FilterError(ValueError):
    """The filter cannot be used; the message says what is wrong with it."""


class Operation(enum.Enum):
    """KFP's predicate operations, with the numbers that the protobuf enum has."""

    EQUALS = 1
    NOT_EQUALS = 2
    GREATER_THAN = 3
    GREATER_THAN_EQUALS = 5
    LESS_THAN = 6
    LESS_THAN_EQUALS = 7
    IN = 8
    IS_SUBSTRING = 9


class Kind(enum.Enum):
    """What a key holds: text, or a time in seconds since the epoch."""

    TEXT = "text"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Field:
    """A key that may be filtered and sorted by.

    Attributes:
        column: the name of the store's column.
        kind: what it holds.
    """

    column: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition; all of a filter's predicates must hold. `values` has one value unless IN."""

    field: Field
    operation: Operation
    values: tuple[Value, ...]


def parse(text: str, fields: Mapping[str, Field]) -> tuple[Predicate, ...]:
    """Parse the JSON of a filter, which may be percent-encoded once more.

    Args:
        text: the request's parameter; "" gives no predicates.
        fields: the keys that are known, each with its column.

    Raises:
        FilterError: it is no filter, or names an unknown key or operation, or a value of the
            wrong type.
    """
    if not text:
        return ()
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter has {len(text)} characters; at most {MAX_LENGTH} are read")
    if text.lstrip()[:1] == "%":
        text = urllib.parse.unquote_plus(text)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FilterError(f"the filter is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise FilterError('the filter must be an object such as {"predicates": []}')
    listed = document.get("predicates", [])
    unknown = sorted(set(document) - {"predicates"})
    if unknown or not isinstance(listed, list):
        raise FilterError('the filter must have the one key "predicates", a list')
    if len(listed) > MAX_PREDICATES:
        raise FilterError(f"the filter has {len(listed)} predicates; at most {MAX_PREDICATES}")
    return tuple(_predicate(each, fields) for each in listed)


def _predicate(data: Any, fields: Mapping[str, Field]) -> Predicate:
    if not isinstance(data, dict):
        raise FilterError("each predicate must be an object")
    key = data.get("key")
    if not isinstance(key, str) or key not in fields:
        raise FilterError(f"cannot filter by {key!r}; known keys: {', '.join(sorted(fields))}")
    operation = _operation(data.get("operation"))
    given = [name for name in data if name not in ("key", "operation")]
    if len(given) != 1:
        raise FilterError(
            f"the predicate on {key!r} must have exactly one value, has {len(given)}"
        )
    raw = _values(given[0], data[given[0]])
    if operation is not Operation.IN and len(raw) != 1:
        raise FilterError(f"{operation.name} on {key!r} takes one value, not {len(raw)}")
    field = fields[key]
    if operation is Operation.IS_SUBSTRING and field.kind is not Kind.TEXT:
        raise FilterError(f"IS_SUBSTRING works on text; {key!r} is a time")
    return Predicate(field, operation, tuple(_typed(each, field.kind, key) for each in raw))


def _operation(given: Any) -> Operation:
    if isinstance(given, int) and not isinstance(given, bool):
        for each in Operation:
            if each.value == given:
                return each
    if isinstance(given, str) and given in Operation.__members__:
        return Operation[given]
    names = ", ".join(f"{each.name} ({each.value})" for each in Operation)
    raise FilterError(f"unknown operation {given!r}; known: {names}")


def _values(name: str, data: Any) -> list[Value]:
    single = _SINGLE.get(name)
    if single is not None:
        return [single(data)]
    several = _SEVERAL.get(name)
    if several is None:
        raise FilterError(
            f"unknown field {name!r} of a predicate; known: {', '.join((*_SINGLE, *_SEVERAL))}"
        )
    listed = data.get("values") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise FilterError(f'{name} must be an object {{"values": []}}')
    if len(listed) > MAX_VALUES:
        raise FilterError(f"{name} has {len(listed)} values; at most {MAX_VALUES}")
    return [several(each) for each in listed]


def _text(data: Any) -> Value:
    if not isinstance(data, str):
        raise FilterError(f"a string value must be a string, not {type(data).__name__}")
    return data


def _integer(data: Any) -> Value:
    # Protobuf's JSON writes 64-bit integers as strings.
    if isinstance(data, bool) or not isinstance(data, int | str):
        raise FilterError(f"an integer value must be an integer, not {type(data).__name__}")
    try:
        number = int(data)
    except ValueError as error:
        raise FilterError(f"an integer value must be an integer, not {data!r}") from error
    if not -(2**63) <= number < 2**63:
        raise FilterError(f"{number} does not fit into 64 bits")
    return number


def _time(data: Any) -> Value:
    try:
        return timestamps.parse(data)
    except ValueError as error:
        raise FilterError(str(error)) from error


_SINGLE: Mapping[str, Callable[[Any], Value]] = {
    "string_value": _text,
    "stringValue": _text,
    "int_value": _integer,
    "intValue": _integer,
    "long_value": _integer,
    "longValue": _integer,
    "timestamp_value": _time,
    "timestampValue": _time,
}

_SEVERAL: Mapping[str, Callable[[Any], Value]] = {
    "string_values": _text,
    "stringValues": _text,
    "int_values": _integer,
    "intValues": _integer,
    "long_values": _integer,
    "longValues": _integer,
}


def _typed(value: Value, kind: Kind, key: str) -> Value:
    if kind is Kind.TEXT:
        if isinstance(value, str):
            return value
        raise FilterError(f"{key!r} holds text; give string_value")
    if isinstance(value, str):
        return _time(value)
    return float(value)
