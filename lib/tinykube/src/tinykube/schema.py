"""The shape of objects: types are checked, unknown fields dropped, refused ones named.

A shape is plain data: a scalar type's name, `Fields` for an object, `Many` for a list, `Table`
for a map with free keys, `Refused` for a field that this control plane cannot honour.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tinykube import quantity
from tinykube.status import Cause, forbidden_field

Scalar = Literal["str", "int", "bool", "bytes", "time", "quantity", "int-or-str", "number", "any"]


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with these fields and no others; `atomic` if one writer owns all of it."""

    fields: Mapping[str, Shape]
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Many:
    """A list of `item`.

    Attributes:
        key: the field that names an item when lists are merged (empty: the list is replaced);
            for scalars, `*` means that the list is a set.
        kept: an empty one is shown as such; others are as if they had been left out.
        keys: the fields that name an item for server-side apply and what each is where it is
            left out, if that is not `key` alone.
    """

    item: Shape
    key: str = ""
    kept: bool = False
    keys: tuple[tuple[str, Any], ...] = ()

    @property
    def identity(self) -> tuple[tuple[str, Any], ...]:
        """The fields that name an item, and their defaults."""
        return self.keys or ((self.key, None),)


@dataclass(frozen=True, slots=True)
class Table:
    """A map from free strings to `item`; `atomic` if one writer owns all of it."""

    item: Shape
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A field of Kubernetes that is refused by name unless its value changes nothing.

    Attributes:
        why: what the caller is told.
        harmless: values that ask for what happens anyhow.
    """

    why: str
    harmless: tuple[Any, ...] = ()


Shape = Scalar | Fields | Many | Table | Refused

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_INT64 = 2**63
_DEPTH = 64


class ShapeError(ValueError):
    """The object cannot be read: a value has another type than its field."""


@dataclass(slots=True)
class Findings:
    """What a reading found besides the object.

    Attributes:
        unknown: paths of fields that Kubernetes (or this part of it) does not know; dropped.
        refused: causes for fields that cannot be honoured.
    """

    unknown: list[str] = field(default_factory=list)
    refused: list[Cause] = field(default_factory=list)


def read(value: Any, shape: Shape, path: str, findings: Findings) -> Any:
    """A clean copy of `value`: nulls and unknown fields gone, every type as `shape` says.

    Raises:
        ShapeError: with the path, what was expected and what was found.
    """
    match shape:
        case Fields():
            return _read_fields(value, shape, path, findings)
        case Many():
            if not isinstance(value, list):
                raise _mismatch(path, "a list", value)
            return [
                read(item, shape.item, f"{path}[{index}]", findings)
                for index, item in enumerate(value)
            ]
        case Table():
            if not isinstance(value, dict):
                raise _mismatch(path, "a map", value)
            return {
                name: read(item, shape.item, f"{path}[{name[:80]}]", findings)
                for name, item in value.items()
                if item is not None
            }
        case Refused():
            if value and value not in shape.harmless:
                findings.refused.append(forbidden_field(path, shape.why))
            return value
    return _read_scalar(value, shape, path)


def _read_fields(value: Any, shape: Fields, path: str, findings: Findings) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mismatch(path, "an object", value)
    clean: dict[str, Any] = {}
    for name, item in value.items():
        where = f"{path}.{name}" if path else name
        known = shape.fields.get(name)
        if known is None:
            findings.unknown.append(where[:200])
        elif item is not None:
            value = read(item, known, where, findings)
            # Kubernetes shows few empty lists and no empty maps.
            if value or not _dropped(known):
                clean[name] = value
    return clean


def _dropped(shape: Shape) -> bool:
    """True if an empty value of this shape is as if it had been left out."""
    return isinstance(shape, Table) or (isinstance(shape, Many) and not shape.kept)


def _read_scalar(value: Any, shape: Scalar, path: str) -> Any:
    match shape:
        case "str":
            if isinstance(value, str):
                return value
            raise _mismatch(path, "a string", value)
        case "int":
            if (
                isinstance(value, int)
                and not isinstance(value, bool)
                and -_INT64 <= value < _INT64
            ):
                return value
            raise _mismatch(path, "a whole number of 64 bits", value)
        case "bool":
            if isinstance(value, bool):
                return value
            raise _mismatch(path, "true or false", value)
        case "bytes":
            return _read_bytes(value, path)
        case "time":
            if isinstance(value, str) and _TIME.fullmatch(value):
                return value
            raise _mismatch(path, "a time such as 2006-01-02T15:04:05Z", value)
        case "quantity":
            return _read_quantity(value, path)
        case "int-or-str":
            if isinstance(value, int | str) and not isinstance(value, bool):
                return value
            raise _mismatch(path, "a whole number or a string", value)
        case "number":
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
            raise _mismatch(path, "a number", value)
    bound(value, path, _DEPTH)
    return value


def _read_bytes(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(path, "base64", value)
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        # Never the value itself: it may be a secret.
        raise ShapeError(f"{path}: illegal base64 data") from None
    return value


def _read_quantity(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _mismatch(path, "a quantity", value)
    try:
        quantity.parse(value)
    except ValueError as error:
        raise ShapeError(f"{path}: {error}") from None
    return value if isinstance(value, str) else str(value)


def bound(value: Any, path: str, depth: int) -> None:
    """Raise ShapeError if there are more than `depth` levels in a value."""
    if depth == 0:
        raise ShapeError(f"{path[:200]}: nested too deeply")
    if isinstance(value, dict):
        for name, item in value.items():
            bound(item, f"{path}.{name}"[:200], depth - 1)
    elif isinstance(value, list):
        for item in value:
            bound(item, path, depth - 1)


def _mismatch(path: str, expected: str, value: Any) -> ShapeError:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    found = names.get(type(value), "null" if value is None else "a number")
    return ShapeError(f"{path or 'the object'}: expected {expected}, found {found}")


OWNER = Fields(
    {
        "apiVersion": "str",
        "kind": "str",
        "name": "str",
        "uid": "str",
        "controller": "bool",
        "blockOwnerDeletion": "bool",
    }
)

METADATA = Fields(
    {
        "name": "str",
        "generateName": "str",
        "namespace": "str",
        "labels": Table("str"),
        "annotations": Table("str"),
        "finalizers": Many("str", key="*"),
        "ownerReferences": Many(OWNER, key="uid"),
        "uid": "str",
        "resourceVersion": "str",
        "generation": "int",
        "creationTimestamp": "time",
        "deletionTimestamp": "time",
        "deletionGracePeriodSeconds": "int",
        "managedFields": Many(
            Fields(
                {
                    "manager": "str",
                    "operation": "str",
                    "apiVersion": "str",
                    "time": "time",
                    "fieldsType": "str",
                    "fieldsV1": "any",
                    "subresource": "str",
                }
            )
        ),
        # Gone from Kubernetes since 1.24, still sent by old clients.
        "selfLink": "str",
    }
)


def kind(fields: Mapping[str, Shape]) -> Fields:
    """The shape of a whole object: its own fields beside apiVersion, kind and metadata."""
    return Fields({"apiVersion": "str", "kind": "str", "metadata": METADATA, **fields})


def member(shape: Shape | None, name: str) -> Shape | None:
    """The shape of `name` inside `shape`; None where the shape does not say."""
    match shape:
        case Fields():
            return shape.fields.get(name)
        case Table():
            return shape.item
    return None
