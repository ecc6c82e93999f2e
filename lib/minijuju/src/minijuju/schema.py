"""The part of JSON schema that actions use: parameters are completed with defaults and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class SchemaError(ValueError):
    """A parameter that does not fit; the text names it."""


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def complete(schema: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with defaults for those that are missing.

    Raises:
        SchemaError: one is missing, unknown, or does not fit.
    """
    found = {
        name: declared["default"]
        for name, declared in schema.get("properties", {}).items()
        if isinstance(declared, Mapping) and "default" in declared
    }
    found.update(params)
    _check(found, schema, "")
    return found


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    name = where or "parameters"
    kinds = schema.get("type")
    if kinds is not None:
        names = [kinds] if isinstance(kinds, str) else list(kinds)
        if not any(_is(value, kind) for kind in names):
            raise SchemaError(f"{name}: expected {' or '.join(map(str, names))}, got {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise SchemaError(f"{name}: expected one of {schema['enum']}, got {value!r}")
    if isinstance(value, str):
        _check_text(value, schema, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema, name)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0) or len(value) > schema.get(
            "maxItems", len(value)
        ):
            raise SchemaError(f"{name}: {len(value)} items are not as many as allowed")
        if isinstance(schema.get("items"), Mapping):
            for index, item in enumerate(value):
                _check(item, schema["items"], f"{where}[{index}]")
    elif isinstance(value, Mapping):
        _check_mapping(value, schema, where)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ()))


def _check_text(value: str, schema: Mapping[str, Any], name: str) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        raise SchemaError(f"{name}: {len(value)} characters are not as many as allowed")
    pattern = schema.get("pattern")
    if pattern is not None and not re.search(pattern, value):
        raise SchemaError(f"{name}: {value!r} does not match {pattern!r}")


def _check_number(value: float, schema: Mapping[str, Any], name: str) -> None:
    if value < schema.get("minimum", value):
        raise SchemaError(f"{name}: {value} is less than {schema['minimum']}")
    if value > schema.get("maximum", value):
        raise SchemaError(f"{name}: {value} is more than {schema['maximum']}")


def _check_mapping(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> None:
    known = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            raise SchemaError(f"{_join(where, key)} is required")
    for key, item in value.items():
        if key in known:
            if isinstance(known[key], Mapping):
                _check(item, known[key], _join(where, key))
        elif schema.get("additionalProperties") is False:
            raise SchemaError(f"{_join(where, key)} is not a parameter")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
