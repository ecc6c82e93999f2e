"""A schema of a custom resource definition, made ready for use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tinykube import schema
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Shape, ShapeError, Table, mismatch

UNSET: Final = object()
# What every object has of its own; a schema does not prune it from a resource.
META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_CONSTRAINTS = (
    "maximum",
    "minimum",
    "multipleOf",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "enum",
    "format",
)


@dataclass(slots=True, eq=False)
class Node:
    """One level of a schema.

    Attributes:
        types: the JSON types that a value may have; empty for any.
        additional: the schema of keys that are not in `properties`; True if any value may stand
            there; None if such keys are unknown.
        constraints: the limits of the value, by their names in the schema.
        exclusive: which of `maximum` and `minimum` are themselves too much or too little.
        closed: True if keys that are not in `properties` are an error (`additionalProperties:
            false`).
        rules: the entries of `x-kubernetes-validations`.
        keys: the fields that name an item of a list of type `map`.
    """

    types: tuple[str, ...] = ()
    properties: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None
    additional: Node | bool | None = None
    closed: bool = False
    default: Any = UNSET
    nullable: bool = False
    required: tuple[str, ...] = ()
    constraints: dict[str, Any] = field(default_factory=dict)
    exclusive: frozenset[str] = frozenset()
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    none_of: Node | None = None
    preserve: bool = False
    embedded: bool = False
    int_or_string: bool = False
    list_type: str = ""
    map_type: str = ""
    keys: tuple[str, ...] = ()
    rules: tuple[JSON, ...] = ()

    def children(self) -> Iterator[Node]:
        """The schemas of what is inside a value."""
        yield from self.properties.values()
        if self.items is not None:
            yield self.items
        if isinstance(self.additional, Node):
            yield self.additional

    def child(self, name: str) -> Node | None:
        """The schema of a field; None if it is unknown or free."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional, Node):
            return self.additional
        return found

    def any(self, predicate: Any) -> bool:
        """True if the predicate holds for this level or one below it."""
        return bool(predicate(self)) or any(child.any(predicate) for child in self.children())


def build(schema: Mapping[str, Any]) -> Node:
    """Read a schema (JSONSchemaProps, as `tinykube.kinds.apiextensions` cleans them)."""
    integer_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    types: tuple[str, ...] = (schema["type"],) if schema.get("type") else ()
    additional = schema.get("additionalProperties")
    items = schema.get("items")
    inverse = schema.get("not")
    return Node(
        types=("integer", "string") if integer_or_string else types,
        properties={key: build(item) for key, item in (schema.get("properties") or {}).items()},
        items=build(items) if isinstance(items, dict) else None,
        additional=build(additional) if isinstance(additional, dict) else additional or None,
        closed=additional is False,
        default=schema.get("default", UNSET),
        nullable=bool(schema.get("nullable")),
        required=tuple(schema.get("required") or ()),
        constraints={key: schema[key] for key in _CONSTRAINTS if schema.get(key) is not None},
        exclusive=frozenset(
            name
            for name, flag in (("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum"))
            if schema.get(flag)
        ),
        all_of=tuple(build(item) for item in schema.get("allOf") or ()),
        any_of=tuple(build(item) for item in schema.get("anyOf") or ()),
        one_of=tuple(build(item) for item in schema.get("oneOf") or ()),
        none_of=build(inverse) if isinstance(inverse, dict) else None,
        preserve=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        int_or_string=integer_or_string,
        list_type=schema.get("x-kubernetes-list-type") or "",
        map_type=schema.get("x-kubernetes-map-type") or "",
        keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        rules=tuple(schema.get("x-kubernetes-validations") or ()),
    )


_SCALARS: Mapping[str, Shape] = {"string": "str", "integer": "int", "boolean": "bool"}


def shape(node: Node) -> Shape:
    """The schema as merges and field ownership need it: which lists and maps have parts."""
    if node.int_or_string:
        return "int-or-str"
    kind = node.types[0] if node.types else ""
    if kind == "array" and node.items is not None:
        if node.list_type == "set":
            return Many(shape(node.items), key="*")
        if node.list_type == "map" and node.keys:
            return Many(shape(node.items), key=node.keys[0], keys=identity_of(node))
        # An atomic list: it is replaced as a whole.
        return "any"
    if kind == "object" and node.map_type != "atomic":
        if node.properties:
            return Fields({name: shape(child) for name, child in node.properties.items()})
        if isinstance(node.additional, Node):
            return Table(shape(node.additional))
    if node.preserve and kind in ("", "object") and node.map_type != "atomic":
        return "free"
    return _SCALARS.get(kind, "any")


def check(value: Any, node: Node | None, path: str) -> None:
    """Raise ShapeError unless a value and all that is in it have the types of their schema.

    As for server-side apply: a null is of any type, a string with a format of its own is not
    looked into, and what a list of items with keys holds can be told apart.
    """
    if value is None or node is None or node.int_or_string or not node.types:
        return
    match node.types[0]:
        case "object":
            if not isinstance(value, dict):
                raise mismatch(path, "an object", value)
            for name, item in value.items():
                check(item, node.child(name), f"{path}.{name}" if path else name)
        case "array":
            if not isinstance(value, list):
                raise mismatch(path, "a list", value)
            for index, item in enumerate(value):
                where = f"{path}[{index}]"
                if node.list_type == "map":
                    where = f"{path}{_named(item, node, where)}"
                elif node.list_type == "set" and item is None:
                    raise mismatch(where, "a value", item)
                check(item, node.items, where)
        case "string":
            if not isinstance(value, str) and node.constraints.get("format", "byte") == "byte":
                raise mismatch(path, "a string", value)
        case "boolean":
            if not isinstance(value, bool):
                raise mismatch(path, "true or false", value)
        case _:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise mismatch(path, "a number", value)


def _named(item: Any, node: Node, where: str) -> str:
    """How an item of a list with keys is called. Raises ShapeError if it has no name."""
    if not isinstance(item, dict):
        raise mismatch(where, "an object", item)
    identity = identity_of(node)
    if all(item.get(name, default) is None for name, default in identity):
        raise ShapeError(f"{where}: expected one of {', '.join(node.keys)}, by which it is told")
    return schema.named(item, identity)


def identity_of(node: Node) -> tuple[tuple[str, Any], ...]:
    """The keys of a list's items, and what each is where it is left out; None for nothing."""
    items = node.items or Node()
    return tuple((name, _default(items, name)) for name in node.keys)


def _default(item: Node, name: str) -> Any:
    """What the key of a list's item is where it is left out; None for nothing."""
    child = item.properties.get(name)
    return None if child is None or child.default is UNSET else child.default
