"""Server-side apply: who owns which field, and what an apply may change.

A field set is a set of paths. A path is a tuple of elements as `fieldsV1` spells them: `f:name`
for a field, `k:{"name":"x"}` for the item of a keyed list, `v:"x"` for the value of a set, and `.`
at the end for an item or object itself. Objects get `managedFields` with their first apply; until
then nobody's writes are recorded (and the first apply calls the rest `before-first-apply`, as
Kubernetes does for objects without them).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tinykube import objects, schema
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Shape, Table
from tinykube.status import ApiError, Cause

Path = tuple[str, ...]

# Fields of the system or of the object's identity: nobody owns them.
_UNOWNED = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "managedFields",
                "generateName",
                "selfLink",
            )
        ),
    }
)
_ABSENT = object()
_BEFORE = "before-first-apply"


def paths(value: Any, shape: Shape | None, at: Path = ()) -> dict[Path, Any]:
    """Every leaf of `value` with its value; keyed lists' items also as themselves (`.`)."""
    return {
        path: item
        for path, item in _walk(value, shape, at)
        if path[:1] not in _UNOWNED and path[:2] not in _UNOWNED
    }


def _walk(value: Any, shape: Shape | None, at: Path) -> Iterable[tuple[Path, Any]]:
    match shape:
        case Fields() | Table() if isinstance(value, dict):
            if not value and at:
                yield at, {}
            for name, item in value.items():
                yield from _walk(item, schema.member(shape, name), (*at, f"f:{name}"))
        case Many(key="*") if isinstance(value, list):
            for item in value:
                yield (*at, f"v:{json.dumps(item)}"), item
        case Many() if shape.key and isinstance(value, list):
            for item in value:
                if not isinstance(item, dict):
                    continue
                key = {shape.key: item.get(shape.key)}
                place = (*at, f"k:{json.dumps(key, separators=(',', ':'))}")
                yield (*place, "."), True
                yield from _walk(item, shape.item, place)
        case _:
            yield at, value


def to_fields(found: Iterable[Path]) -> JSON:
    """A field set as `fieldsV1`."""
    tree: JSON = {}
    for path in sorted(found):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
    return tree


def from_fields(tree: Any) -> set[Path]:
    """A `fieldsV1` as a field set; malformed parts are skipped."""
    found: set[Path] = set()

    def walk(node: Any, at: Path) -> None:
        if not isinstance(node, dict):
            return
        if not node and at:
            found.add(at)
        for element, child in node.items():
            walk(child, (*at, element))

    walk(tree, ())
    return found


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("manager", "operation", "subresource")
    return all((one.get(key) or "") == (other.get(key) or "") for key in keys)


def _entry(manager: str, operation: str, api_version: str, subresource: str) -> JSON:
    entry: JSON = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": objects.now(),
        "fieldsType": "FieldsV1",
    }
    if subresource:
        entry["subresource"] = subresource
    return entry


def record(new: JSON, old: JSON, shape: Shape, manager: str, subresource: str) -> None:
    """After a write that was no apply: the changed fields now belong to `manager`.

    Does nothing for objects that were never applied.
    """
    entries = objects.copy(old["metadata"].get("managedFields") or [])
    if not entries:
        new["metadata"].pop("managedFields", None)
        return
    before, after = paths(old, shape), paths(new, shape)
    changed = {path for path, value in after.items() if before.get(path, _ABSENT) != value}
    gone = before.keys() - after.keys()
    own = _entry(manager, "Update", new["apiVersion"], subresource)
    kept = []
    for entry in entries:
        owned = from_fields(entry.get("fieldsV1")) - gone
        if _same(entry, own):
            changed |= owned
            continue
        owned -= changed
        if owned:
            kept.append({**entry, "fieldsV1": to_fields(owned)})
    if changed:
        kept.append({**own, "fieldsV1": to_fields(changed)})
    new["metadata"]["managedFields"] = kept


def apply(
    live: JSON | None,
    config: JSON,
    shape: Shape,
    manager: str,
    *,
    force: bool,
    subresource: str = "",
) -> JSON:
    """The object that an apply of `config` makes of `live` (None: it is created).

    Raises:
        ApiError: 409 with a cause for each field that another manager owns with another value.
    """
    wanted = paths(config, shape)
    own = _entry(manager, "Apply", config["apiVersion"], subresource)
    current = live or {"metadata": {}}
    entries = objects.copy(current["metadata"].get("managedFields") or [])
    have = paths(current, shape) if live else {}
    if live and not entries and have:
        before = _entry(_BEFORE, "Update", live["apiVersion"], "")
        entries = [{**before, "fieldsV1": to_fields(have)}]
    others = [entry for entry in entries if not _same(entry, own)]
    previous: set[Path] = set()
    for entry in entries:
        if _same(entry, own):
            previous = from_fields(entry.get("fieldsV1"))
    differing = {
        path
        for path, value in wanted.items()
        if path[-1] != "." and have.get(path, _ABSENT) != value
    }
    _check(others, differing, config, force=force)
    held: set[Path] = set()
    kept = []
    for entry in others:
        owned = from_fields(entry.get("fieldsV1")) - differing
        held |= owned
        if owned:
            kept.append({**entry, "fieldsV1": to_fields(owned)})
    result: JSON = _overlay(objects.copy(current), config, shape)
    dropped = previous - wanted.keys() - held
    # An item as a whole before its fields, its key among them: without it, it is not found.
    for path in sorted(dropped, key=lambda path: len(path) - (path[-1] == ".")):
        _remove(result, path, held | wanted.keys())
    kept.append({**own, "fieldsV1": to_fields(wanted)})
    result["metadata"]["managedFields"] = kept
    if live:
        _keep_time(result, live)
    return result


def _keep_time(result: JSON, live: JSON) -> None:
    """An apply that changes nothing must not differ by its own time stamp."""
    for entry in result["metadata"]["managedFields"]:
        for earlier in live["metadata"].get("managedFields") or ():
            if _same(entry, earlier) and entry["fieldsV1"] == earlier.get("fieldsV1"):
                entry["time"] = earlier.get("time", entry["time"])


def _check(others: list[JSON], differing: set[Path], config: JSON, *, force: bool) -> None:
    if force:
        return
    causes = []
    for entry in others:
        for path in sorted(from_fields(entry.get("fieldsV1")) & differing):
            message = f'conflict with "{entry["manager"]}" using {entry.get("apiVersion", "")}'
            causes.append(Cause("FieldManagerConflict", message, spell(path)))
    if not causes:
        return
    number = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    detail = "; ".join(f"{cause.message}: {cause.field}" for cause in causes[:10])
    raise ApiError(
        409,
        "Conflict",
        f"Apply failed with {number}: {detail}",
        kind=config.get("kind", ""),
        name=config["metadata"].get("name", ""),
        causes=causes,
    )


def spell(path: Path) -> str:
    """A path as conflicts show it: `.spec.containers[name="x"].image`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        match kind:
            case "f":
                text += f".{rest}"
            case "k":
                pairs = ",".join(
                    f"{key}={json.dumps(item)}" for key, item in json.loads(rest).items()
                )
                text += f"[{pairs}]"
            case "v":
                text += f"[={rest}]"
    return text


def _overlay(value: Any, config: Any, shape: Shape | None) -> Any:
    match shape:
        case Fields() | Table() if isinstance(config, dict):
            result = value if isinstance(value, dict) else {}
            for name, item in config.items():
                result[name] = _overlay(result.get(name), item, schema.member(shape, name))
            return result
        case Many(key="*") if isinstance(config, list):
            current = value if isinstance(value, list) else []
            return current + [item for item in config if item not in current]
        case Many() if shape.key and isinstance(config, list):
            current = value if isinstance(value, list) else []
            places = {
                objects.dump(item.get(shape.key)): index for index, item in enumerate(current)
            }
            for item in config:
                place = places.get(objects.dump(item.get(shape.key)))
                if place is None:
                    current.append(objects.copy(item))
                else:
                    current[place] = _overlay(current[place], item, shape.item)
            return current
    return objects.copy(config)


def _remove(obj: Any, path: Path, held: Iterable[Path]) -> None:
    """Take away what `path` names, unless someone still holds something below it."""
    parent = path[:-1] if path[-1] == "." else path
    if any(len(other) > len(parent) and other[: len(parent)] == parent for other in held):
        return
    node: Any = obj
    *above, last = parent
    for element in above:
        node = _child(node, element)
        if node is None:
            return
    kind, _, rest = last.partition(":")
    if kind == "f" and isinstance(node, dict):
        node.pop(rest, None)
    elif kind == "v" and isinstance(node, list):
        value = json.loads(rest)
        if value in node:
            node.remove(value)
    elif kind == "k" and isinstance(node, list):
        wanted = json.loads(rest)
        node[:] = [item for item in node if not _is(item, wanted)]


def _child(node: Any, element: str) -> Any:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return node.get(rest) if isinstance(node, dict) else None
    if kind == "k" and isinstance(node, list):
        wanted = json.loads(rest)
        return next((item for item in node if _is(item, wanted)), None)
    return None


def _is(item: Any, key: Mapping[str, Any]) -> bool:
    return isinstance(item, dict) and all(item.get(name) == value for name, value in key.items())
