"""YAML as Juju reads it, from people we need not trust.

Juju decodes with go-yaml: dates stay strings, `1e3` is a float, `1:30` is a string, a key
may not appear twice. PyYAML differs in all four, so the loader here is told otherwise.
Documents are bounded before anything is built from them: bytes, nesting, and the number of
nodes *after* aliases are expanded, because nine short lines of aliases make a billion nodes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import BadRequestError
from .text import valid

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 200_000


class DocumentError(BadRequestError):
    """A document that cannot be read: where it is and what is wrong with it."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem


def load(text: str | bytes, source: str) -> Any:
    """Read one document; an empty one is None.

    Args:
        text: The YAML.
        source: What to call it in errors, mostly its path.

    Raises:
        DocumentError: Not YAML, more than one document, or beyond a bound.
    """
    documents = load_all(text, source)
    if len(documents) > 1:
        raise DocumentError(source, f"expected one YAML document, found {len(documents)}")
    return documents[0] if documents else None


def load_all(text: str | bytes, source: str) -> list[Any]:
    """Read every document of a stream; see `load`."""
    data = valid(text).encode() if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise DocumentError(source, f"{len(data)} bytes of YAML; at most {MAX_BYTES} are read")
    try:
        _check_events(data, source)
        return list(_construct(data, source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise DocumentError(source, f"not valid YAML: {error.problem}{where}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DocumentError(source, f"not valid YAML: {' '.join(str(error).split())}") from None


def read(path: Path) -> Any:
    """Read one document from a file.

    Raises:
        DocumentError: As `load`, or the file cannot be read.
    """
    return load(read_bytes(path), str(path))


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        DocumentError: It is larger, missing, or not a file we may read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise DocumentError(str(path), f"cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise DocumentError(str(path), f"more than {limit} bytes")
    return data


def dump(value: Any) -> str:
    """Write a document: block style, keys in the order given, unicode as it is."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)


def scalar(value: Any) -> str:
    """A scalar where text is wanted, as Juju decodes it: `true` for true, nothing for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def brief(value: Any) -> str:
    """A value for an error, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Dumper(yaml.SafeDumper):
    """Repeats equal lists and mappings instead of naming them by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_string)


class _Loader(yaml.SafeLoader):
    """SafeLoader with go-yaml's idea of scalars, and without repeated keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rsplit(":", 1)[-1] not in {"timestamp", "int", "float"}
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a scalar", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} appears twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(
        r"^(?:[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$"
    ),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    for prefix, base in (("0b", 2), ("0x", 16), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    if len(digits) > 1 and digits.startswith("0"):
        return sign * int(digits, 8)
    if len(digits) > 4000:
        raise yaml.constructor.ConstructorError(
            None, None, "a number of more than 4000 digits", node.start_mark
        )
    return sign * int(digits)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _check_events(data: bytes, source: str) -> None:
    """Bound nesting and size while parsing, which is iterative, before composing, which is not."""
    depth = 0
    for count, event in enumerate(yaml.parse(data, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise DocumentError(source, f"nested more than {MAX_DEPTH} levels deep")
        if count > 2 * MAX_NODES:
            raise DocumentError(source, f"more than {MAX_NODES} values")


def _construct(data: bytes, source: str) -> Iterator[Any]:
    loader = _Loader(data)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _check_expansion(node, source)
            yield loader.construct_document(node)
    finally:
        loader.dispose()


def _check_expansion(root: yaml.Node, source: str) -> None:
    """Count nodes as if every alias were written out; refuse bombs and loops."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: frozenset[int]) -> int:
        if id(node) in above:
            raise DocumentError(source, "an alias that contains itself")
        if id(node) in sizes:
            return sizes[id(node)]
        total = 1
        inside = above | {id(node)}
        if isinstance(node, yaml.SequenceNode):
            total += sum(size(child, inside) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            total += sum(size(child, inside) for pair in node.value for child in pair)
        sizes[id(node)] = total
        if total > MAX_NODES:
            raise DocumentError(source, f"more than {MAX_NODES} values once aliases are expanded")
        return total

    size(root, frozenset())
