"""IR YAML as plain data, read with bounds on everything a hostile document can blow up.

A pipeline package is one YAML document (the pipeline spec) or two (the platform spec follows), or
JSON, which is read as such: YAML 1.1 knows neither its pairs of surrogates nor `1e3`. For YAML one
pass over the parser's events builds the data: no object of YAML's own kinds is ever made, aliases
are followed but counted, duplicate keys, merge keys and tags are refused.
"""

from __future__ import annotations

import json
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from .errors import SpecError

MAX_BYTES: Final = 10 * 1024 * 1024
"""Largest document that is read, in bytes."""
MAX_DEPTH: Final = 100
"""Deepest nesting of maps and lists."""
MAX_NODES: Final = 1_000_000
"""Most values in the documents of one package, each alias counted with all it stands for."""
MAX_ALIASES: Final = 1_000
MAX_KEY: Final = 1_024
"""Longest key, in characters."""

_PLAIN = frozenset({"!", None})
_STRING = "tag:yaml.org,2002:str"


class _Builder:
    """Builds the documents of one stream."""

    def __init__(self, text: str) -> None:
        self._loader = yaml.CSafeLoader(text)
        self._resolver: Any = Resolver()
        self._constructor = SafeConstructor()
        self._nodes = 0
        self._aliases = 0
        self._anchors: dict[str, tuple[Any, int]] = {}

    def documents(self) -> list[Any]:
        found: list[Any] = []
        while True:
            event = self._loader.get_event()
            if isinstance(event, yaml.StreamEndEvent):
                return found
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                found.append(self._value(self._loader.get_event(), 0))

    def _count(self, nodes: int = 1) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise SpecError("", f"the document has more than {MAX_NODES} values")

    def _value(self, event: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _error(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._count()
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif event.tag not in _PLAIN:
            raise _error(event, f"the tag {event.tag[:80]!r} is not allowed")
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(inner := self._loader.get_event(), yaml.SequenceEndEvent):
                value.append(self._value(inner, depth + 1))
        else:
            value = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _alias(self, event: Any) -> Any:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise _error(event, f"more than {MAX_ALIASES} aliases")
        if event.anchor not in self._anchors:
            raise _error(event, f"the alias {event.anchor[:80]!r} names nothing before it")
        value, size = self._anchors[event.anchor]
        self._count(size)
        return value

    def _mapping(self, depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _error(event, "a key must be a string")
            self._count()
            key = event.value
            if len(key) > MAX_KEY:
                raise _error(event, f"a key is longer than {MAX_KEY} characters")
            if key == "<<" and event.implicit[0]:
                raise _error(event, "merge keys (<<) are not allowed")
            if key in value:
                raise _error(event, f"the key {key!r} appears twice")
            value[key] = self._value(self._loader.get_event(), depth + 1)
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag not in _PLAIN:
            raise _error(event, f"the tag {event.tag[:80]!r} is not allowed")
        tag = self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        match tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool":
                return self._constructor.construct_yaml_bool(node)
            case "int":
                # YAML 1.1 has sexagesimal numbers (1:30), which no IR means.
                if ":" in event.value or len(event.value) > 100:
                    return event.value
                return self._constructor.construct_yaml_int(node)
            case "float":
                if ":" in event.value:
                    return event.value
                return self._constructor.construct_yaml_float(node)
            case _:
                # Text, and what YAML 1.1 would take for a date: KFP's IR has no dates.
                return event.value


def _error(event: Any, problem: str) -> SpecError:
    mark = event.start_mark
    return SpecError("", f"line {mark.line + 1}, column {mark.column + 1}: {problem}")


def _json(text: str) -> Any:
    """Read a JSON object within the same bounds."""

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    raise SpecError("", f"the key {key[:80]!r} appears twice")
                seen.add(key)
        return found

    def constant(name: str) -> Any:
        raise SpecError("", f"{name} is not a JSON value")

    try:
        value = json.loads(text, object_pairs_hook=mapping, parse_constant=constant)
    except RecursionError as error:
        raise SpecError("", f"nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        # An integer of thousands of digits.
        raise SpecError("", f"the document cannot be read: {error}") from error
    pending, nodes = [(value, 0)], 0
    while pending:
        each, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise SpecError("", f"nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise SpecError("", f"the document has more than {MAX_NODES} values")
        if isinstance(each, dict):
            if any(len(key) > MAX_KEY for key in each):
                raise SpecError("", f"a key is longer than {MAX_KEY} characters")
            pending += [(inner, depth + 1) for inner in each.values()]
        elif isinstance(each, list):
            pending += [(inner, depth + 1) for inner in each]
    return value


def read(text: bytes | str) -> list[Any]:
    """Read all documents of a package.

    Args:
        text: UTF-8 YAML or JSON.

    Returns:
        Plain data: dict (string keys), list, str, int, float, bool, None.

    Raises:
        SpecError: it is too large, is not YAML, or holds something that IR YAML never has.
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    if len(text) > MAX_BYTES:
        raise SpecError(
            "", f"the document has {len(text)} bytes; at most {MAX_BYTES} bytes are accepted"
        )
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError("", f"the document is not UTF-8: {error}") from error
    if decoded.lstrip().startswith("{"):
        try:
            return [_json(decoded)]
        except json.JSONDecodeError:
            # YAML may begin with a brace as well; its reader says what is wrong.
            pass
    try:
        return _Builder(decoded).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError("", f"not YAML: {place}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        # A character that YAML does not allow: the error's own text quotes the document.
        raise SpecError("", f"not YAML: {str(error).splitlines()[0][:200]}") from error
