"""Validation of values against a schema, in the words of Kubernetes' API server.

What an update leaves unchanged is not held against it: an object that was stored under an earlier
schema can be changed elsewhere (Kubernetes calls it ratcheting).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from tinykube import objects
from tinykube.crd import formats
from tinykube.crd.structural import UNSET, Node
from tinykube.status import Cause

# How Kubernetes spells the path of the whole.
NOWHERE = "<nil>"
# The formats of values that are no strings.
_FORMATS = {"integer": "int64", "number": "float64", "boolean": "", "object": ""}
_INT32, _INT64 = 2**31, 2**63


def quoted(value: Any) -> str:
    """A value as messages show it, cut so that a hostile one cannot fill a log."""
    if isinstance(value, str):
        shown = value
    elif value is None or isinstance(value, bool | int | float | list | dict):
        shown = objects.dump(value)
    else:
        shown = str(value)
    shown = shown if len(shown) <= 512 else shown[:512] + "..."
    return objects.dump(shown) if isinstance(value, str) else shown


def invalid(path: str, value: Any, detail: str) -> Cause:
    """The value breaks a rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {quoted(value)}: {detail}", path or NOWHERE)


def too_many(path: str, found: int, most: int) -> Cause:
    """More items than allowed."""
    noun = "item" if most == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {found}: must have at most {most} {noun}", path)


@lru_cache(maxsize=512)
def pattern(text: str) -> Any:
    """A compiled pattern of Go's syntax; its time is bounded by the length of what it reads.

    Raises:
        ValueError: what is wrong with it.
    """
    # Only who has definitions with patterns pays for the library.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options=options)
    except re2.error as error:
        detail = error.args[0]
        raise ValueError(detail.decode() if isinstance(detail, bytes) else str(detail)) from None


class _Check:
    """One validation: collects the faults, and counts what was looked at."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def field(self, path: str) -> str:
        """A path as the causes name it."""
        name = path.removeprefix(".")
        if not self.prefix:
            return name or NOWHERE
        return f"{self.prefix}.{name}" if name else self.prefix

    def value(self, value: Any, node: Node, path: str, old: Any) -> tuple[list[Cause], int]:
        """The faults of a value, and how many checks were made of it."""
        if old is not UNSET and _same(old, value):
            return [], 1
        faults = list(self._type(value, node, path))
        count = 2 if faults else 3
        if value is None:
            faults += self._enum(value, node, path)
            return faults, count
        more, extra = self._junctions(value, node, path)
        faults += more
        count += extra
        if isinstance(value, str):
            faults += self._string(value, node, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            faults += self._number(value, node, path)
        elif isinstance(value, list):
            more, extra = self._list(value, node, path, old)
            faults += more
            count += extra
        faults += self._enum(value, node, path)
        if isinstance(value, dict):
            more, extra = self._object(value, node, path, old)
            faults += more
            count += extra
        return faults, count

    def _wrong(self, path: str, value: Any, words: str) -> Cause:
        return invalid(self.field(path), value, f"{path} in body {words}")

    def _type(self, value: Any, node: Node, path: str) -> Iterator[Cause]:
        style = _style(node)
        if not node.types and not style:
            return
        found = _type_of(value)
        if value is None and (node.nullable or not node.types):
            return
        if found in node.types or (found == "integer" and "number" in node.types):
            return
        if found == "number" and "integer" in node.types and float(value).is_integer():
            return
        expected = ",".join(node.types)
        if style and isinstance(value, str | list) and node.types in ((), ("string",)):
            # Its format is looked at in its place; of a list, nothing is.
            return
        if style and found in _FORMATS:
            # Kubernetes compares with the format before the type.
            expected, found = style, _FORMATS[found]
        detail = f'{path} in body must be of type {expected}: "{found}"'
        message = f'Invalid value: "{found}": {detail}'
        yield Cause("FieldValueTypeInvalid", message, self.field(path))

    def _enum(self, value: Any, node: Node, path: str) -> Iterator[Cause]:
        allowed = node.constraints.get("enum")
        if not allowed or (value is None and node.nullable) or _among(value, allowed):
            return
        words = ", ".join(
            objects.dump(item) if isinstance(item, str) else objects.dump(objects.dump(item))
            for item in allowed
        )
        message = f"Unsupported value: {quoted(value)}: supported values: {words}"
        yield Cause("FieldValueNotSupported", message, self.field(path))

    def _string(self, value: str, node: Node, path: str) -> Iterator[Cause]:
        limits = node.constraints
        if not limits:
            return
        if (most := limits.get("maxLength")) is not None and len(value) > most:
            noun = "byte" if most == 1 else "bytes"
            message = f"Too long: may not be more than {most} {noun}"
            yield Cause("FieldValueTooLong", message, self.field(path))
        elif (least := limits.get("minLength")) is not None and len(value) < least:
            yield self._wrong(path, value, f"should be at least {least} chars long")
        elif (text := limits.get("pattern")) and pattern(text).search(value) is None:
            yield self._wrong(path, value, f"should match '{text}'")
        name = limits.get("format") if node.types in ((), ("string",)) else None
        if name and not formats.matches(name, value):
            detail = f"{path} in body must be of type {name}: {quoted(value)}"
            message = f"Invalid value: {quoted(value)}: {detail}"
            yield Cause("FieldValueTypeInvalid", message, self.field(path))

    def _number(self, value: float, node: Node, path: str) -> Iterator[Cause]:
        limits = node.constraints
        if node.types == ("integer",):
            bound = _INT32 if limits.get("format") == "int32" else _INT64
            if not (-bound <= value < bound and float(value).is_integer()):
                style = limits.get("format")
                how = f"with format {style}" if style else "(default format)"
                detail = f"Checked value must be of type integer {how} in {path}"
                yield invalid(self.prefix, "", detail)
        if not limits:
            return
        if (factor := limits.get("multipleOf")) is not None and not _multiple(value, factor):
            yield self._wrong(path, value, f"should be a multiple of {_spell(factor)}")
        if (most := limits.get("maximum")) is not None:
            strict = "maximum" in node.exclusive
            if value > most or (strict and value == most):
                words = "less than" if strict else "less than or equal to"
                yield self._wrong(path, value, f"should be {words} {_spell(most)}")
        if (least := limits.get("minimum")) is not None:
            strict = "minimum" in node.exclusive
            if value < least or (strict and value == least):
                words = "greater than" if strict else "greater than or equal to"
                yield self._wrong(path, value, f"should be {words} {_spell(least)}")

    def _list(self, value: list[Any], node: Node, path: str, old: Any) -> tuple[list[Cause], int]:
        faults: list[Cause] = []
        count = 1
        if node.items is not None:
            earlier = pairs(value, old, node)
            for index, (item, before) in enumerate(zip(value, earlier, strict=True)):
                found, extra = self.value(item, node.items, f"{path}[{index}]", before)
                faults += found
                count += extra
        size, limits = len(value), node.constraints
        if (least := limits.get("minItems")) is not None and size < least:
            faults.append(self._wrong(path, size, f"should have at least {least} items"))
        if (most := limits.get("maxItems")) is not None and size > most:
            faults.append(too_many(self.field(path), size, most))
        return faults, count

    def _object(
        self, value: dict[str, Any], node: Node, path: str, old: Any
    ) -> tuple[list[Cause], int]:
        faults: list[Cause] = []
        count, size, limits = 1, len(value), node.constraints
        before = old if isinstance(old, dict) else {}
        if (least := limits.get("minProperties")) is not None and size < least:
            faults.append(self._wrong(path, size, f"should have at least {least} properties"))
        if (most := limits.get("maxProperties")) is not None and size > most:
            faults.append(too_many(self.field(path), size, most))
        for name, item in value.items():
            child = node.child(name)
            if child is not None:
                where = f"{path}.{name}" if path or name not in node.properties else name
                found, extra = self.value(item, child, where, before.get(name, UNSET))
                faults += found
                count += extra
            elif node.closed:
                detail = f"{path}.{name} in body is a forbidden property"
                faults.append(invalid(self.field(path), "", detail))
        for name in node.required:
            if name not in value:
                where = self.field(f"{path}.{name}")
                faults.append(Cause("FieldValueRequired", "Required value", where))
        return faults, count

    def _junctions(self, value: Any, node: Node, path: str) -> tuple[list[Cause], int]:
        faults: list[Cause] = []
        count = 0
        shown = objects.dump(path)

        def fault(words: str) -> Cause:
            return invalid(self.prefix, "", f"{shown} {words}")

        if node.any_of:
            results = [self.value(value, item, path, UNSET) for item in node.any_of]
            if all(found for found, _ in results):
                faults.append(fault("must validate at least one schema (anyOf)"))
                faults += _nearest(results)
        if node.one_of:
            results = [self.value(value, item, path, UNSET) for item in node.one_of]
            good = sum(not found for found, _ in results)
            if good != 1:
                how = f"Found {good} valid alternatives" if good else "Found none valid"
                faults.append(fault(f"must validate one and only one schema (oneOf). {how}"))
            if not good:
                faults += _nearest(results)
        if node.all_of:
            results = [self.value(value, item, path, UNSET) for item in node.all_of]
            for found, extra in results:
                faults += found
                count += extra
            bad = sum(bool(found) for found, _ in results)
            if bad:
                how = ". None validated" if bad == len(results) else ""
                faults.append(fault(f"must validate all the schemas (allOf){how}"))
        if node.none_of is not None and not self.value(value, node.none_of, path, UNSET)[0]:
            faults.append(fault("must not validate the schema (not)"))
        return faults, count


def _style(node: Node) -> str:
    """The format of a level's values, if it is one that its type can have."""
    style = str(node.constraints.get("format") or "")
    match node.types:
        case ("integer",):
            known = style in ("int32", "int64")
        case ("number",):
            known = style in ("float", "double")
        case () | ("string",):
            known = formats.known(style)
        case _:
            known = False
    return style if known else ""


def _nearest(results: Sequence[tuple[list[Cause], int]]) -> list[Cause]:
    """The faults of the alternative of which most was looked at: the likeliest to be meant."""
    return max(results, key=lambda result: result[1])[0]


def pairs(value: list[Any], old: Any, node: Node) -> list[Any]:
    """For each item of a list the item that it was; UNSET where nothing says which."""
    if node.list_type != "map" or not isinstance(old, list):
        return [UNSET] * len(value)
    known = {_key(item, node.keys): item for item in old if isinstance(item, dict)}
    return [
        known.get(_key(item, node.keys), UNSET) if isinstance(item, dict) else UNSET
        for item in value
    ]


def _key(item: dict[str, Any], keys: Sequence[str]) -> str:
    return objects.dump([item.get(key) for key in keys])


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _same(one: Any, other: Any) -> bool:
    # True == 1 and 1 == 1.0 in Python; types differ in JSON.
    return bool(one == other) and objects.dump(one) == objects.dump(other)


def _among(value: Any, allowed: Sequence[Any]) -> bool:
    return any(
        item == value and isinstance(item, bool) is isinstance(value, bool) for item in allowed
    )


def _multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    return math.isclose(value / factor, round(value / factor), rel_tol=1e-12)


def _spell(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def validate(value: Any, node: Node, *, prefix: str = "", old: Any = UNSET) -> list[Cause]:
    """The faults of a value.

    Args:
        value: the whole object, or the part of it at `prefix`.
        node: its schema.
        prefix: what the paths of causes begin with, `status`.
        old: what the value was before, if it is changed.
    """
    return _Check(prefix).value(value, node, "", old)[0]


def unique(value: Any, node: Node, path: str = "") -> Iterator[Cause]:
    """The faults of lists that are sets or maps: items that are there twice."""
    if isinstance(value, dict):
        for name, item in value.items():
            child = node.child(name)
            if child is not None:
                known = name in node.properties
                where = (
                    f"{path}.{name}" if known and path else name if known else f"{path}[{name}]"
                )
                yield from unique(item, child, where)
    elif isinstance(value, list):
        yield from _twice(value, node, path)
        if node.items is not None:
            for index, item in enumerate(value):
                yield from unique(item, node.items, f"{path}[{index}]")


def _twice(value: list[Any], node: Node, path: str) -> Iterator[Cause]:
    if node.list_type not in ("set", "map"):
        return
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        shown: Any = item
        if node.list_type == "map":
            if item is not None and not isinstance(item, dict):
                detail = "must be an object for an array of list-type map"
                yield invalid(f"{path}[{index}]", item, detail)
                return
            shown = {key: item[key] for key in node.keys if item and key in item}
        text = objects.dump(shown)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            message = f"Duplicate value: {quoted(shown)}"
            yield Cause("FieldValueDuplicate", message, f"{path}[{index}]")
