"""Server-side apply: what an apply makes of an object, and whom it conflicts with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tinykube import objects, schema
from tinykube.fieldsets import tree, walk
from tinykube.fieldsets.managers import APPLY, UPDATE, entry, ordered, same, without, written, zero
from tinykube.fieldsets.tree import Path
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Shape, Table
from tinykube.status import ApiError, Cause

_BEFORE = "before-first-apply"


def apply(
    live: JSON | None,
    config: JSON,
    shape: Shape,
    manager: str,
    *,
    force: bool,
    ignored: JSON | None = None,
    subresource: str = "",
    key: str = "",
    custom: bool = False,
) -> JSON:
    """The object that an apply of `config` makes of `live` (None: it is created).

    Args:
        live: the object as it is.
        config: what its manager wants.
        shape: the objects' shape.
        manager: who applies.
        force: fields of others are taken over.
        ignored: what the manager wants besides and this way does not write; as in Kubernetes, what
            it would have changed makes this a new moment.
        subresource: the one that is applied to.
        key: the store's name of the resource.
        custom: True for a custom resource.

    Raises:
        ApiError: 409 with a cause for each field that another manager owns with another value.
    """
    own = entry(manager, APPLY, config["apiVersion"], subresource)
    wanted = tree.of(walk.configured(walk.owned(config), shape))
    current: JSON = live or {"metadata": {}}
    entries = _known(current, live, shape, key, custom=custom)
    earlier = next((item for item in entries if same(item, own)), None)
    others = [item for item in entries if not same(item, own)]
    result: JSON = _overlay(objects.copy(current), config, shape)
    if earlier is not None:
        _prune(result, earlier["fieldsV1"], wanted, others)
    changed: list[Path] = []
    gone: list[Path] = []
    before, after = (written(obj, custom=custom) for obj in (current, result))
    walk.differences(before, after, shape, changed, gone)
    if not force:
        _check(others, changed)
    kept = without(others, changed, gone, own)
    if wanted:
        own["fieldsV1"] = wanted
        if changed or gone or live is None or _touches(current, ignored or {}, shape):
            own["time"] = objects.now()
        elif earlier is not None and "time" in earlier:
            own["time"] = earlier["time"]
        kept.append(own)
    result["metadata"].pop("managedFields", None)
    if kept:
        result["metadata"]["managedFields"] = ordered(kept)
    return result


def _touches(current: JSON, ignored: JSON, shape: Shape) -> bool:
    return bool(_overlay(objects.copy(current), ignored, shape) != current)


def doubled(config: JSON, shape: Shape) -> list[str]:
    """What an apply names twice, in Kubernetes' words: no list of it can be merged."""
    return [
        f"{tree.spell(path)}: duplicate entries for key {tree.spell((name,))}"
        for path, name in walk.doubles(config, shape)
    ]


def _known(
    current: JSON, live: JSON | None, shape: Shape, key: str, *, custom: bool
) -> Sequence[JSON]:
    """The entries of an object; what was written before any were kept has one of its own."""
    entries: Sequence[JSON] = current["metadata"].get("managedFields") or ()
    if entries or live is None:
        return entries
    fields = walk.grown(walk.owned(live), shape, zero(key, custom=custom))
    if not fields:
        return ()
    before = entry(_BEFORE, UPDATE, live["apiVersion"], "")
    before["fieldsV1"] = fields
    before["time"] = objects.now()
    return [before]


def _check(others: Sequence[JSON], changed: Sequence[Path]) -> None:
    found = [
        (_name(item), tree.spell(path))
        for item in others
        for path in tree.members(
            tree.of(path for path in changed if tree.has(item.get("fieldsV1") or {}, path))
        )
    ]
    if not found:
        return
    causes = [
        Cause("FieldManagerConflict", f"conflict with {name}", field) for name, field in found
    ]
    if len(found) == 1:
        ((name, field),) = found
        detail = f"1 conflict: conflict with {name}: {field}"
    else:
        lines = []
        for name in sorted({name for name, _ in found}):
            lines.append(f"conflicts with {name}:")
            lines += [f"- {field}" for owner, field in found if owner == name]
        detail = f"{len(found)} conflicts: " + "\n".join(lines)
    raise ApiError(409, "Conflict", f"Apply failed with {detail}", causes=causes)


def _name(item: Mapping[str, Any]) -> str:
    part = f' with subresource "{item["subresource"]}"' if item.get("subresource") else ""
    # One who applies is the same in every version.
    version = f" using {item.get('apiVersion')}" if item.get("operation") == UPDATE else ""
    return f'"{item.get("manager", "")}"{part}{version}'


def _overlay(value: Any, config: Any, shape: Shape | None) -> Any:
    match shape:
        case Fields() | Table() if isinstance(config, dict) and not shape.atomic:
            result = value if isinstance(value, dict) else {}
            for name, item in config.items():
                result[name] = _overlay(result.get(name), item, schema.member(shape, name))
            return result
        case "free" if isinstance(config, dict):
            free = value if isinstance(value, dict) else {}
            return {
                **free,
                **{name: _overlay(free.get(name), config[name], shape) for name in config},
            }
        case Many() if shape.shared and isinstance(config, list):
            return _overlay_list(value if isinstance(value, list) else [], config, shape)
    return objects.copy(config)


def _overlay_list(current: list[Any], config: list[Any], shape: Many) -> list[Any]:
    """Both lists in one: what is shared in the order of `config`, the rest where it was."""
    lefts = [(walk.key_of(item, shape), item) for item in current]
    rights = [(walk.key_of(item, shape), item) for item in config]
    old, new = dict(lefts), dict(rights)
    shared = [key for key, _ in rights if key in old]
    merged: list[Any] = []
    done: set[str | None] = set()
    while lefts or rights:
        if lefts and lefts[0][0] in new:
            key = lefts[0][0]
            if key in done or (shared and shared[0] != key):
                # It came already, or its turn comes later.
                lefts.pop(0)
                continue
        elif lefts:
            merged.append(lefts.pop(0)[1])
            continue
        key, item = rights.pop(0)
        before = old.get(key)
        merged.append(objects.copy(item) if before is None else _overlay(before, item, shape.item))
        done.add(key)
        if shared and shared[0] == key:
            shared.pop(0)
    return merged


def _prune(result: JSON, earlier: JSON, wanted: JSON, others: Sequence[JSON]) -> None:
    """Take away what the manager applied earlier, wants no longer, and nobody else holds."""
    held = [wanted, *(item.get("fieldsV1") or {} for item in others)]
    dropped = [
        path for path in tree.paths(earlier) if not any(tree.has(item, path) for item in held)
    ]
    # The deepest first: an item's key is needed to find the item.
    for path in sorted(dropped, key=len, reverse=True):
        _remove(result, path, held)


def _below(held: JSON, path: Path) -> bool:
    """True if the set has anything at the path or below it."""
    node = held
    for element in path:
        child = node.get(element)
        if child is None:
            return False
        node = child
    return True


def _remove(obj: Any, path: Path, held: Sequence[JSON]) -> None:
    """Take away what `path` names, and what becomes empty by it, unless someone holds it."""
    if any(_below(item, path) for item in held):
        return
    trail: list[tuple[Any, str]] = []
    node: Any = obj
    for element in path:
        if node is None:
            return
        trail.append((node, element))
        node = _child(node, element)
    if _is_key(path, trail):
        # The key goes with its item, if that goes.
        return
    for depth in range(len(trail), 0, -1):
        parent, element = trail[depth - 1]
        _take(parent, element)
        above = path[: depth - 1]
        if parent or not above or len(above) == 1 or any(_below(item, above) for item in held):
            break


def _is_key(path: Path, trail: Sequence[tuple[Any, str]]) -> bool:
    if len(path) < 2 or not path[-2].startswith("k:") or trail[-1][0] is None:
        return False
    return path[-1].removeprefix("f:") in json.loads(path[-2][2:])


def _take(node: Any, element: str) -> None:
    kind, _, rest = element.partition(":")
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
    return isinstance(item, dict) and all(
        item.get(name, value) == value for name, value in key.items()
    )
