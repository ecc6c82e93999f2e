"""Fields of a document: of the type they should have, or an error that names their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .errors import SpecError
from .sources import Json

_QUANTITY: Final = re.compile(
    r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3}|[munkMGTPE]|[KMGTPE]i)?"
)


def mapping(value: Json, where: str, known: Sequence[str] | None = None) -> Mapping[str, Json]:
    """Give a map, {} for null; of no other fields than `known`, if that is given."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SpecError(where, f"expected a map, got {type(value).__name__}")
    if known is not None:
        unknown = sorted(set(value) - set(known))
        if unknown:
            raise SpecError(
                where, f"unknown field {unknown[0][:80]!r}; known are {', '.join(known)}"
            )
    return value


def list_of(value: Json, where: str) -> Sequence[Json]:
    """Give a list, [] for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise SpecError(where, f"expected a list, got {type(value).__name__}")
    return value


def entries(
    value: Json, where: str, known: Sequence[str] | None = None
) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Give the maps of a list, each with its place; see `mapping`."""
    for number, each in enumerate(list_of(value, where)):
        spot = f"{where}[{number}]"
        yield spot, mapping(each, spot, known)


def flag(value: Json, where: str) -> bool:
    """Give a boolean, False for null."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise SpecError(where, f"expected a boolean, got {type(value).__name__}")
    return value


def quantity(text: str, where: str) -> str:
    """Give a text that is a quantity of Kubernetes."""
    if not _QUANTITY.fullmatch(text):
        raise SpecError(where, f"{text[:80]!r} is no quantity such as 500m, 2 or 16Gi")
    return text


def string(value: Json, where: str, *, required: bool = False) -> str:
    """Give a string without NUL, "" for null."""
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise SpecError(where, f"expected a string, got {type(value).__name__}")
    if "\0" in value:
        raise SpecError(where, "a NUL character is not allowed")
    if required and not value:
        raise SpecError(where, "a value is required")
    return value
