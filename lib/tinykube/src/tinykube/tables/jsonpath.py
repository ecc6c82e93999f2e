"""The JSONPath of printer columns: fields, indices, `*`, unions of names and simple filters.

The contract is that of `additionalPrinterColumns` in apiextensions.k8s.io/v1: a path without
braces that begins with a dot, such as `.status.conditions[?(@.type=="Ready")].status`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

_Step = Callable[[Any], Iterable[Any]]

_PART = re.compile(
    r"""\.(?P<field>(?:[^.\[\]\\'"]|\\.)+)
    |\.?\[(?P<quote>['"])(?P<name>.*?)(?P=quote)\]
    |\.?\[(?P<index>-?\d+)\]
    |\.?\[(?P<start>-?\d*):(?P<end>-?\d*)\]
    |\.?\[(?P<all>\*)\]
    |\.?\[\?\(@(?P<path>[^=!<>]*?)\s*(?:(?P<operator>==|!=)\s*(?P<value>[^)]*?))?\s*\)\]""",
    re.VERBOSE,
)


class PathError(ValueError):
    """The path cannot be read."""


def find(path: str, value: Any) -> list[Any]:
    """What a path finds in a value; nothing where a field is absent. Raises PathError."""
    found = [value]
    for step in parse(path):
        found = [item for current in found for item in step(current)]
    return found


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[_Step, ...]:
    """The steps of a path. Raises PathError."""
    if path in ("", "."):
        return ()
    steps: list[_Step] = []
    position = 0
    while position < len(path):
        match = _PART.match(path, position)
        if match is None:
            raise PathError(f"{path[:200]!r} cannot be read from {path[position:][:40]!r} on")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> _Step:
    if match["field"] is not None:
        return _field(re.sub(r"\\(.)", r"\1", match["field"]))
    if match["name"] is not None:
        return _field(match["name"])
    if match["index"] is not None:
        return _index(int(match["index"]))
    if match["start"] is not None:
        start, end = (int(text) if text else None for text in (match["start"], match["end"]))
        return lambda value: value[start:end] if isinstance(value, list) else ()
    if match["all"] is not None:
        return _everything
    return _filter(match["path"], match["operator"], match["value"])


def _field(name: str) -> _Step:
    if name == "*":
        return _everything

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(place: int) -> _Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= place < len(value):
            yield value[place]

    return step


def _everything(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _filter(path: str, operator: str | None, literal: str | None) -> _Step:
    wanted = _literal(literal or "")

    def keeps(item: Any) -> bool:
        found = find(path, item)
        if operator is None:
            return bool(found)
        same = bool(found) and found[0] == wanted
        return same if operator == "==" else bool(found) and not same

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from (item for item in value if keeps(item))

    return step


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    known = {"true": True, "false": False, "null": None}
    if text in known:
        return known[text]
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
