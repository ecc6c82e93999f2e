"""Values of a charm's config options: what fits an option's type, with Juju's own words.

A value arrives either typed (from YAML or JSON) or as text (`--config workers=2`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from . import documents
from .charm import OptionMeta
from .errors import BadRequestError

Value = str | int | float | bool

_SECRET = re.compile(r"secret:(//[0-9a-f-]{36}/)?[0-9a-v]{20}")
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT64 = 2**63
MAX_LENGTH = 1024 * 1024


class OptionError(BadRequestError):
    """A value that an option cannot take, or an option that the charm has not."""


def parse(option: OptionMeta, text: str) -> Value:
    """Read a value typed by a user.

    Raises:
        OptionError: It does not fit the option's type.
    """
    value: Value | None = text
    if option.type == "int":
        value = int(text) if _INT.fullmatch(text) and len(text) < 32 else None
    elif option.type == "float":
        value = float(text) if _FLOAT.fullmatch(text) else None
    elif option.type == "boolean":
        value = True if text in _TRUE else False if text in _FALSE else None
    if value is None:
        raise _unfit(option, text)
    return check(option, value)


def check(option: OptionMeta, value: Any) -> Value:
    """Return a typed value if it fits the option; an int becomes a float where asked.

    Raises:
        OptionError: It does not fit the option's type.
    """
    if option.type in ("string", "secret") and isinstance(value, str):
        if len(value) > MAX_LENGTH:
            raise OptionError(f'option "{option.name}" is longer than {MAX_LENGTH} characters')
        if "\0" in value:
            raise OptionError(f'option "{option.name}" contains a NUL character')
        if option.type == "secret" and value and not _SECRET.fullmatch(value):
            raise _unfit(option, value)
        return value
    if option.type == "boolean" and isinstance(value, bool):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _unfit(option, value)
    if option.type == "int" and isinstance(value, int) and -_INT64 <= value < _INT64:
        return value
    if option.type == "float" and abs(value) < 1e308 and math.isfinite(value):
        return float(value)
    raise _unfit(option, value)


def coerce(option: OptionMeta, value: Any) -> Value:
    """Take a value that may be typed or text: what the controller does with a request.

    Raises:
        OptionError: It does not fit the option's type.
    """
    return parse(option, value) if isinstance(value, str) else check(option, value)


def find(options: Mapping[str, OptionMeta], name: str) -> OptionMeta:
    """The option of that name.

    Raises:
        OptionError: The charm has no such option.
    """
    try:
        return options[name]
    except KeyError:
        raise OptionError(f'unknown option "{name}"') from None


def coerce_all(options: Mapping[str, OptionMeta], settings: Mapping[str, Any]) -> dict[str, Value]:
    """`coerce` each of the settings.

    Raises:
        OptionError: The first setting that is unknown or does not fit.
    """
    return {name: coerce(find(options, name), value) for name, value in settings.items()}


def _unfit(option: OptionMeta, value: Any) -> OptionError:
    shown = f'"{value}"' if isinstance(value, str) else documents.scalar(value)
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    return OptionError(f'option "{option.name}" expected {option.type}, got {shown}')
