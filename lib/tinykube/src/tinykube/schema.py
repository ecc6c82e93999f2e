"""The shape of objects: types are checked, unknown fields dropped, refused ones named.

A shape is plain data: a scalar type's name, `Fields` for an object, `Many` for a list, `Table`
for a map with free keys, `Refused` for a field that this control plane cannot honour.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tinykube import quantity
from tinykube.status import Cause, forbidden_field

# `any` is JSON that one writer owns as a whole; of `free` JSON each field has its own.
Scalar = Literal[
    "str", "int", "bool", "bytes", "time", "quantity", "int-or-str", "number", "any", "free"
]


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with these fields and no others.

    Attributes:
        fields: the shape of each.
        atomic: one writer owns all of it.
        optional: of these scalars even an empty one (`""`, 0, false) is told from none, as of
            Go's pointers; others that are empty are as if they had been left out.
        always: these are shown even where nobody set them; kept in the order of the fields.
    """

    fields: Mapping[str, Shape]
    atomic: bool = False
    optional: tuple[str, ...] = ()
    always: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ordered = tuple(name for name in self.fields if name in self.always)
        object.__setattr__(self, "always", ordered)


@dataclass(frozen=True, slots=True)
class Many:
    """A list of `item`.

    Attributes:
        key: the field that names an item when lists are merged (empty: the list is replaced);
            for scalars, `*` means that the list is a set.
        kept: an empty one is shown as such; others are as if they had been left out.
        keys: the fields that name an item for server-side apply and what each is where it is
            left out, if that is not `key` alone.
        atomic: one writer owns all of it, even where patches merge its items.
    """

    item: Shape
    key: str = ""
    kept: bool = False
    keys: tuple[tuple[str, Any], ...] = ()
    atomic: bool = False

    @property
    def shared(self) -> bool:
        """True if each item can belong to another writer."""
        return bool(self.key) and not self.atomic

    @property
    def identity(self) -> tuple[tuple[str, Any], ...]:
        """The fields that name an item, and their defaults."""
        return self.keys or ((self.key, None),)


@dataclass(frozen=True, slots=True)
class Table:
    """A map from free strings to `item`.

    Attributes:
        atomic: one writer owns all of it.
        kept: an empty one is told from none until it is stored.
    """

    item: Shape
    atomic: bool = False
    kept: bool = False


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
        part: it is what a manager applies, of which empty maps and lists count as well.
    """

    unknown: list[str] = field(default_factory=list)
    refused: list[Cause] = field(default_factory=list)
    part: bool = False


def read(value: Any, shape: Shape, path: str, findings: Findings) -> Any:
    """A clean copy of `value`: unknown fields gone, every type as `shape` says.

    A field that is null is as one left out; a list's item or a map's value that is null is the
    empty value of its type, as Go's JSON has it.

    Raises:
        ShapeError: with the path, what was expected and what was found.
    """
    if isinstance(shape, str):
        # Most of what there is.
        return _read_scalar(value, shape, path)
    match shape:
        case Fields():
            return _read_fields(value, shape, path, findings)
        case Many():
            if not isinstance(value, list):
                raise mismatch(path, "a list", value)
            return _read_list(value, shape, path, findings)
        case Table():
            if not isinstance(value, dict):
                raise mismatch(path, "a map", value)
            return {
                name: read(
                    _present(item, shape.item), shape.item, f"{path}[{name[:80]}]", findings
                )
                for name, item in value.items()
            }
        case Refused():
            if value and value not in shape.harmless:
                findings.refused.append(forbidden_field(path, shape.why))
    return value


def _read_list(value: Sequence[Any], shape: Many, path: str, findings: Findings) -> list[Any]:
    clean = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if findings.part and shape.shared:
            if item is None:
                raise mismatch(where, "an item that can be told from others", item)
            if isinstance(item, dict):
                where = f"{path}{named(item, _identity(shape))}"
        clean.append(read(_present(item, shape.item), shape.item, where, findings))
    return clean


def _identity(shape: Many) -> tuple[tuple[str, Any], ...]:
    """What names an item, and what each is where nothing else is said."""
    known = shape.item.fields if isinstance(shape.item, Fields) else {}
    return tuple(
        (name, _present(None, known[name]) if default is None and name in known else default)
        for name, default in shape.identity
    )


def named(item: Mapping[str, Any], identity: Iterable[tuple[str, Any]]) -> str:
    """How the paths of an apply call a list's item: `[name="main"]`."""
    parts = sorted((name, item.get(name, default)) for name, default in identity)
    return f"[{','.join(f'{name}={json.dumps(value)[:80]}' for name, value in parts)}]"


_PLAIN = ("str", "int", "bool", "number")
_EMPTY: Mapping[str, Any] = {
    "str": "",
    "int": 0,
    "bool": False,
    "bytes": "",
    "quantity": "0",
    "int-or-str": 0,
    "number": 0,
}


def _present(value: Any, shape: Shape) -> Any:
    """A value, or for null what stands there once it is stored."""
    if value is not None:
        return value
    match shape:
        case Fields() | Table():
            return {}
        case Many():
            return []
        case str():
            return _EMPTY.get(shape)
    return None


def _read_fields(value: Any, shape: Fields, path: str, findings: Findings) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise mismatch(path, "an object", value)
    clean: dict[str, Any] = {}
    for name, item in value.items():
        where = f"{path}.{name}" if path else name
        known = shape.fields.get(name)
        if known is None:
            findings.unknown.append(where[:200])
        elif item is not None:
            value = read(item, known, where, findings)
            # Kubernetes shows few empty lists and no empty maps.
            if value or findings.part or not _dropped(known):
                clean[name] = value
    return clean


def settle(obj: dict[str, Any], shape: Fields) -> None:
    """Leave out what is as good as left out, and fill in what is always there, in place."""
    fields, always = shape.fields, shape.always
    missing = [name for name in always if obj.get(name) is None]
    # An object has few of the fields that its kind has.
    for name, item in list(obj.items()):
        inner = fields.get(name)
        if item is None or inner is None:
            continue
        if isinstance(inner, str):
            plain = name not in shape.optional and name not in always
            if plain and inner in _PLAIN and not item:
                del obj[name]
        elif not item and _dropped(inner):
            del obj[name]
        else:
            _settle_inside(item, inner)
    for name in missing:
        inner = fields[name]
        obj[name] = _present(None, inner) if not isinstance(inner, Many) else None
        if isinstance(inner, Fields):
            settle(obj[name], inner)


def fold(obj: dict[str, Any], shape: Fields) -> None:
    """Make of an object, in place, what the store can tell.

    There an empty list that is always shown is null, and an empty map is none.
    """
    for name in shape.always:
        if isinstance(shape.fields[name], Many) and not obj.get(name):
            obj[name] = None
    for name, item in list(obj.items()):
        if not isinstance(item, dict):
            continue
        inner = shape.fields.get(name)
        if isinstance(inner, Fields):
            fold(item, inner)
        elif isinstance(inner, Table) and inner.kept and not item:
            del obj[name]


def _settle_inside(value: Any, shape: Shape) -> None:
    match shape:
        case Fields():
            settle(value, shape)
        case Many() if not isinstance(shape.item, str):
            for item in value:
                _settle_inside(item, shape.item)
        case Table() if not isinstance(shape.item, str):
            for item in value.values():
                _settle_inside(item, shape.item)


def _dropped(shape: Shape) -> bool:
    """True if an empty value of this shape is as if it had been left out."""
    return isinstance(shape, Table | Many) and not shape.kept


def _read_scalar(value: Any, shape: Scalar, path: str) -> Any:
    match shape:
        case "str":
            if isinstance(value, str):
                return value
            raise mismatch(path, "a string", value)
        case "int":
            if (
                isinstance(value, int)
                and not isinstance(value, bool)
                and -_INT64 <= value < _INT64
            ):
                return value
            raise mismatch(path, "a whole number of 64 bits", value)
        case "bool":
            if isinstance(value, bool):
                return value
            raise mismatch(path, "true or false", value)
        case "bytes":
            return _read_bytes(value, path)
        case "time":
            if isinstance(value, str) and _TIME.fullmatch(value):
                return value
            raise mismatch(path, "a time such as 2006-01-02T15:04:05Z", value)
        case "quantity":
            return _read_quantity(value, path)
        case "int-or-str":
            if isinstance(value, int | str) and not isinstance(value, bool):
                return value
            raise mismatch(path, "a whole number or a string", value)
        case "number":
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
            raise mismatch(path, "a number", value)
    bound(value, path, _DEPTH)
    return value


def _read_bytes(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise mismatch(path, "base64", value)
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        # Never the value itself: it may be a secret.
        raise ShapeError(f"{path}: illegal base64 data") from None
    return value


def _read_quantity(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise mismatch(path, "a quantity", value)
    try:
        return quantity.canonical(value)
    except ValueError as error:
        raise ShapeError(f"{path}: {error}") from None


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


def mismatch(path: str, expected: str, value: Any) -> ShapeError:
    """The error of a value that has another type than what stands at `path`."""
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
    },
    atomic=True,
    optional=("controller", "blockOwnerDeletion"),
    always=("apiVersion", "kind", "name", "uid"),
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
    },
    optional=("deletionGracePeriodSeconds",),
)


def kind(
    fields: Mapping[str, Shape],
    *,
    optional: tuple[str, ...] = (),
    always: tuple[str, ...] = (),
) -> Fields:
    """The shape of a whole object: its own fields beside apiVersion, kind and metadata."""
    whole = {"apiVersion": "str", "kind": "str", "metadata": METADATA, **fields}
    return Fields(whole, optional=optional, always=always)


def member(shape: Shape | None, name: str) -> Shape | None:
    """The shape of `name` inside `shape`; None where the shape does not say."""
    match shape:
        case Fields():
            return shape.fields.get(name)
        case Table():
            return shape.item
        case "free":
            return shape
    return None
