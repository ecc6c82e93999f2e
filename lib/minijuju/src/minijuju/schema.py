"""The JSON schemas of actions (draft 4, as Juju's): are they sound, and do parameters fit them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Juju refuses them: a schema that is fetched, or that another one stands behind.
PROHIBITED = ("$ref", "$schema")


class SchemaError(ValueError):
    """A schema that is none, or a parameter that does not fit; the text names it."""


def check(schema: Mapping[str, Any]) -> None:
    """See that it is a schema that Juju takes.

    Raises:
        SchemaError: it is not; names the key.
    """
    # jsonschema takes longer to import than most commands to run, and few need it.
    import jsonschema

    _refuse_references(schema, "")
    try:
        jsonschema.Draft4Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise SchemaError(f"{where or 'type'}: {error.message}") from None


def _refuse_references(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            at = f"{where}.{key}" if where else str(key)
            if not isinstance(key, str):
                raise SchemaError(f"{at}: map keyed with non-string value")
            if key in PROHIBITED:
                raise SchemaError(
                    f'{at}: schema key "{key}" not compatible with this version of juju'
                )
            _refuse_references(inner, at)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_references(inner, f"{where}[{index}]")


def complete(schema: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with defaults for those that are missing, nested ones too.

    Raises:
        SchemaError: one is missing, unknown, or does not fit.
    """
    import jsonschema

    found = _with_defaults(schema, params)
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft4Validator(dict(schema)).iter_errors(found)
    )
    if error is not None:
        where = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
        )
        raise SchemaError(f"{where.lstrip('.')}: {error.message}" if where else error.message)
    return found


def _with_defaults(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    properties = schema.get("properties")
    for name, declared in properties.items() if isinstance(properties, Mapping) else ():
        if not isinstance(declared, Mapping):
            continue
        if name not in found and "default" in declared:
            found[name] = declared["default"]
        inner = found.get(name, {})
        if isinstance(declared.get("properties"), Mapping) and isinstance(inner, Mapping):
            completed = _with_defaults(declared, inner)
            if completed or name in found:
                found[name] = completed
    return found
