"""From objects to fields: which a value has, and in which two values differ.

Maps and keyed lists are looked into; what a shape calls atomic, and lists without a key, is one
field as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from tinykube import objects
from tinykube.fieldsets.tree import Path
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Shape, Table

# Fields of the system or of the object's identity: nobody owns them.
_UNOWNED = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "selfLink",
    }
)
_ABSENT = object()


def owned(obj: Mapping[str, Any]) -> JSON:
    """The part of an object that can belong to someone."""
    own = {key: item for key, item in obj.items() if key not in ("apiVersion", "kind")}
    meta = own.get("metadata")
    if isinstance(meta, dict):
        own["metadata"] = {key: item for key, item in meta.items() if key not in _UNOWNED}
        if not own["metadata"]:
            del own["metadata"]
    return own


def key_of(item: Any, shape: Many) -> str | None:
    """How a list's item is named in a path; None for what has no such name."""
    if shape.key == "*":
        return f"v:{_spelled(item)}"
    if not isinstance(item, dict):
        return None
    parts = [
        f'"{name}":{_spelled(value)}'
        for name, default in shape.identity
        if (value := item.get(name, default)) is not None
    ]
    return f"k:{{{','.join(parts)}}}"


def _spelled(value: Any) -> str:
    return encode_basestring_ascii(value) if isinstance(value, str) else objects.dump(value)


def _children(value: Any, shape: Shape | None) -> dict[str, tuple[Any, Shape | None]] | None:
    """What is inside a value by its path element; None if it is one field as a whole."""
    match shape:
        case Fields() if isinstance(value, dict) and not shape.atomic:
            known = shape.fields
            return {
                f"f:{name}": (item, known.get(name))
                for name, item in value.items()
                # A list that is null is none.
                if item is not None or not isinstance(known.get(name), Many)
            }
        case Table() if isinstance(value, dict) and not shape.atomic:
            return {f"f:{name}": (item, shape.item) for name, item in value.items()}
        case "free" if isinstance(value, dict):
            return {f"f:{name}": (item, shape) for name, item in value.items()}
        case Many() if shape.shared and isinstance(value, list):
            inner = None if shape.key == "*" else shape.item
            found: dict[str, tuple[Any, Shape | None]] = {}
            for item in value:
                name = key_of(item, shape)
                if name is None:
                    return None
                found[name] = (item, inner)
            return found
    return None


def grown(value: Any, shape: Shape | None, zero: Any = None) -> JSON:
    """The set of all that is in a value and not in `zero`, which has no more than structures.

    Without `zero` the value itself is in the set too.
    """
    node: JSON = {}
    for element, (item, inner) in (_children(value, shape) or {}).items():
        name = element[2:]
        if isinstance(zero, dict) and name in zero:
            if _children(item, inner) is None:
                if item != zero[name]:
                    node[element] = {}
                continue
            below = grown(item, inner, zero[name] or {})
            if below:
                node[element] = below
        else:
            node[element] = grown(item, inner) if isinstance(item, dict | list) else {}
    if zero is None and node:
        node["."] = {}
    return node


def _everything(value: Any, shape: Shape | None, at: Path, found: list[Path]) -> None:
    """Add a value's own path and those of all that is in it."""
    found.append(at)
    if not isinstance(value, dict | list):
        return
    for element, (item, inner) in (_children(value, shape) or {}).items():
        _everything(item, inner, (*at, element), found)


def configured(value: Any, shape: Shape | None, at: Path = ()) -> Iterator[Path]:
    """The fields that an applied configuration names: leaves, items, and keys of free maps."""
    children = _children(value, shape)
    if children is None or (not children and isinstance(value, dict)):
        if at:
            yield at
        return
    named = isinstance(shape, Many | Table) or shape == "free"
    for element, (item, inner) in children.items():
        place = (*at, element)
        if named:
            yield place
        yield from (path for path in configured(item, inner, place) if not named or path != place)


def doubles(value: Any, shape: Shape | None, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """The lists in which two items have one name, and that name."""
    if isinstance(shape, Many) and shape.shared and isinstance(value, list):
        seen: set[str] = set()
        for item in value:
            name = key_of(item, shape)
            if name is not None and name in seen:
                yield at, name
            seen.add(name or "")
    for element, (item, inner) in (_children(value, shape) or {}).items():
        yield from doubles(item, inner, (*at, element))


def differences(
    old: Any, new: Any, shape: Shape | None, changed: list[Path], gone: list[Path], at: Path = ()
) -> None:
    """Add to `changed` what is new or other in `new`, to `gone` what is no longer there."""
    if old == new and type(old) is type(new):
        return
    both = isinstance(old, dict) and isinstance(new, dict)
    if both and isinstance(shape, Fields) and not shape.atomic:
        _members_differ(old, new, shape, changed, gone, at)
        return
    after = _children(new, shape)
    before = _children(old, shape) if old is not None else {}
    if after is None or before is None:
        changed.append(at)
        after, before = after or {}, before or {}
    for element, (item, inner) in after.items():
        found = before.get(element)
        if found is None:
            _everything(item, inner, (*at, element), changed)
        else:
            differences(found[0], item, inner, changed, gone, (*at, element))
    for element, (item, inner) in before.items():
        if element not in after:
            _everything(item, inner, (*at, element), gone)


def _members_differ(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    shape: Fields,
    changed: list[Path],
    gone: list[Path],
    at: Path,
) -> None:
    """`differences` of two objects whose fields are known: what is the same is not looked into."""
    known = shape.fields
    for name, item in new.items():
        inner = known.get(name)
        found = old.get(name, _ABSENT)
        if found is item or _absent(item, inner):
            continue
        if _absent(found, inner):
            _everything(item, inner, (*at, f"f:{name}"), changed)
        elif found != item or type(found) is not type(item):
            differences(found, item, inner, changed, gone, (*at, f"f:{name}"))
    for name, item in old.items():
        inner = known.get(name)
        if not _absent(item, inner) and _absent(new.get(name, _ABSENT), inner):
            _everything(item, inner, (*at, f"f:{name}"), gone)


def _absent(item: Any, shape: Shape | None) -> bool:
    """True for a field that is not there; a list that is null is none."""
    return item is _ABSENT or (item is None and isinstance(shape, Many))
