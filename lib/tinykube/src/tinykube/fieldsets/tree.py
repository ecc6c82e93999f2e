"""Sets of fields, in the very form of `fieldsV1`: a tree of path elements.

An element is `f:name` for a field, `k:{"name":"x"}` for the item of a keyed list or `v:"x"` for
the value of a set. A node without children is in the set; one with children only if `.` is among
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tinykube.objects import JSON

Path = tuple[str, ...]
_SELF = "."


def add(tree: JSON, path: Path) -> None:
    """Put a path into the set."""
    node, was = tree, False
    for element in path:
        child = node.get(element)
        if child is None:
            if was and not node:
                node[_SELF] = {}
            child = node[element] = {}
            was = False
        else:
            was = True
        node = child
    if was and node:
        node.setdefault(_SELF, {})


def drop(tree: JSON, path: Path) -> bool:
    """Take a path out of the set; False if it was not there."""
    trail: list[tuple[JSON, str]] = []
    node = tree
    for element in path:
        child = node.get(element)
        if child is None:
            return False
        trail.append((node, element))
        node = child
    if node:
        return node.pop(_SELF, None) is not None
    for parent, element in reversed(trail):
        del parent[element]
        if len(parent) == 1 and _SELF in parent and parent is not tree:
            parent.clear()
            break
        if parent:
            break
    return True


def prune(tree: JSON, path: Path) -> None:
    """Take a path and all below it out of the set."""
    *above, last = path
    trail = [tree]
    for element in above:
        child = trail[-1].get(element)
        if child is None:
            return
        trail.append(child)
    if trail[-1].pop(last, None) is None:
        return
    for parent, element in zip(trail[-2::-1], reversed(above), strict=True):
        if parent[element]:
            break
        del parent[element]


def has(tree: JSON, path: Path) -> bool:
    """True if the path is in the set."""
    node = tree
    for element in path:
        child = node.get(element)
        if child is None:
            return False
        node = child
    return not node or _SELF in node


def paths(tree: object, at: Path = ()) -> Iterator[Path]:
    """Every path of the set; malformed parts are skipped."""
    if not isinstance(tree, dict):
        return
    if at and (not tree or _SELF in tree):
        yield at
    for element, child in tree.items():
        if element != _SELF:
            yield from paths(child, (*at, element))


def members(tree: JSON, at: Path = ()) -> Iterator[Path]:
    """Every path of the set in Kubernetes' order: of each level first its own, then the next's."""
    elements = sorted(element for element in tree if element != _SELF)
    for element in elements:
        if not tree[element] or _SELF in tree[element]:
            yield (*at, element)
    for element in elements:
        yield from members(tree[element], (*at, element))


def of(found: Iterable[Path]) -> JSON:
    """The set of these paths."""
    tree: JSON = {}
    for path in found:
        add(tree, path)
    return tree


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
