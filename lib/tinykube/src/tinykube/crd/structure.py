"""What makes a schema structural, and what else its levels must keep to.

The paths and words are those of Kubernetes' API server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinykube import objects
from tinykube.crd import pruning, validation
from tinykube.crd.expressions import Expressions
from tinykube.crd.structural import META_FIELDS, build
from tinykube.objects import JSON
from tinykube.schema import Findings, ShapeError
from tinykube.status import Cause, forbidden_field, required, unsupported

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNKNOWN = ("id", "$schema", "$ref", "additionalItems", "patternProperties", "definitions")
_REASONS = (
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
)
_LISTS = ("allOf", "anyOf", "oneOf")
# What says how a value is built; it has no place below a junction.
_FORBIDDEN_INSIDE = {
    "type": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "additionalProperties": "must be undefined to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a schema we are: its path, and what the levels above have decided."""

    path: str
    level: str = "root"
    no_defaults: str = ""
    in_metadata: bool = False
    loose: str = ""

    def below(self, name: str, level: str = "field", **changes: Any) -> _Place:
        return replace(self, path=f"{self.path}.{name}", level=level, **changes)


def faults(props: JSON, path: str) -> list[Cause]:
    """The faults of a whole schema.

    Args:
        props: the schema, cleaned.
        path: where it stands in the definition.
    """
    found = [*_unsupported(props, path)]
    if not found:
        found = [*_level(props, _Place(path)), *_complete(props, path)]
    if not found:
        found = list(_defaults(props, path, "root"))
    if not found:
        found = list(_rules(props, _Place(path)))
    return found


def _unsupported(props: JSON, path: str) -> Iterator[Cause]:
    """Words of JSON schema that have no place here; nothing else is looked at then."""
    for name in _UNKNOWN:
        if props.get(name):
            yield forbidden_field(f"{path}.{name}", f"{name} is not supported")
    for where, part in (*_parts(props, path), *_structure(props, path)):
        yield from _unsupported(part, where)


def _level(props: JSON, place: _Place) -> Iterator[Cause]:
    path, kind = place.path, props.get("type") or ""
    if kind and kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
    if props.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", why)
    if "default" in props and place.no_defaults:
        yield forbidden_field(f"{path}.default", f"must not be set {place.no_defaults}")
    yield from _kind(props, place, kind)
    yield from _extensions(props, path, kind)
    yield from _list_type(props, path, kind)
    yield from _pattern(props, path)
    yield from _junctions(props, path)
    yield from _inside(props, place, kind)


def _kind(props: JSON, place: _Place, kind: str) -> Iterator[Cause]:
    path, level = place.path, place.level
    embedded = props.get("x-kubernetes-embedded-resource")
    free = props.get("x-kubernetes-preserve-unknown-fields")
    if embedded and kind != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        yield (
            validation.invalid(f"{path}.type", kind, why)
            if kind
            else required(f"{path}.type", why)
        )
    elif not kind and not free and not props.get("x-kubernetes-int-or-string"):
        where = {
            "root": "at the root",
            "item": "for specified array items",
            "field": "for specified object fields",
        }
        yield required(f"{path}.type", f"must not be empty {where[level]}")
    if level == "root":
        if kind not in ("", "object"):
            yield validation.invalid(f"{path}.type", kind, "must be object at the root")
        if props.get("nullable"):
            yield forbidden_field(f"{path}.nullable", "nullable cannot be true at the root")
        yield from _metadata(props, path)
    if embedded and not free and not props.get("properties"):
        yield required(
            f"{path}.properties",
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields",
        )
    if kind == "array" and props.get("items") is None:
        yield required(f"{path}.items", "must be specified")


def _metadata(props: JSON, path: str) -> Iterator[Cause]:
    known = props.get("properties") or {}
    for name in ("kind", "apiVersion"):
        if name in known and known[name].get("type") != "string":
            where = f"{path}.properties[{name}].type"
            yield validation.invalid(where, known[name].get("type", ""), "must be string")
    meta = known.get("metadata")
    if meta is None:
        return
    if meta.get("type") != "object":
        where = f"{path}.properties[metadata].type"
        yield validation.invalid(where, meta.get("type", ""), "must be object")
    inner = set(meta.get("properties") or ())
    if not inner <= {"name", "generateName"} or set(meta) - {"type", "properties", "description"}:
        yield forbidden_field(
            f"{path}.properties[metadata]",
            "must not specify anything other than name and generateName, but metadata is "
            "implicitly specified",
        )


def _extensions(props: JSON, path: str, kind: str) -> Iterator[Cause]:
    free = props.get("x-kubernetes-preserve-unknown-fields")
    if free is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield validation.invalid(where, False, "must be true or undefined")
    if props.get("x-kubernetes-int-or-string"):
        for name in ("preserve-unknown-fields", "embedded-resource"):
            if props.get(f"x-kubernetes-{name}"):
                where = f"{path}.x-kubernetes-{name}"
                why = "must be false if x-kubernetes-int-or-string is true"
                yield validation.invalid(where, True, why)
    map_type = props.get("x-kubernetes-map-type")
    if map_type is not None:
        if kind != "object":
            why = "must be object if x-kubernetes-map-type is specified"
            yield (
                validation.invalid(f"{path}.type", kind, why)
                if kind
                else required(f"{path}.type", why)
            )
        if map_type not in ("atomic", "granular"):
            where = f"{path}.x-kubernetes-map-type"
            yield unsupported(where, map_type, ("atomic", "granular"))
    if props.get("additionalProperties") not in (None, True) and props.get("properties"):
        yield forbidden_field(
            f"{path}.additionalProperties",
            "additionalProperties and properties are mutual exclusive",
        )


def _list_type(props: JSON, path: str, kind: str) -> Iterator[Cause]:
    list_type, keys = props.get("x-kubernetes-list-type"), props.get("x-kubernetes-list-map-keys")
    where = f"{path}.x-kubernetes-list-type"
    if keys and list_type != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield validation.invalid(where, list_type, why) if list_type else required(where, why)
    if list_type is None:
        return
    if kind != "array":
        why = "must be array if x-kubernetes-list-type is specified"
        yield (
            validation.invalid(f"{path}.type", kind, why)
            if kind
            else required(f"{path}.type", why)
        )
    if list_type not in ("atomic", "set", "map"):
        yield unsupported(where, list_type, ("atomic", "map", "set"))
    items = props.get("items") or {}
    if list_type in ("set", "map") and items.get("nullable"):
        why = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        yield forbidden_field(f"{path}.items.nullable", why)
    if list_type == "set" and kind == "array":
        yield from _set_items(items, path)
    if list_type == "map":
        yield from _map_items(items, keys or [], path)


def _set_items(items: JSON, path: str) -> Iterator[Cause]:
    why = "must be atomic as item of a list with x-kubernetes-list-type=set"
    inner = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and inner not in (None, "atomic"):
        yield validation.invalid(f"{path}.items.x-kubernetes-list-type", inner, why)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield validation.invalid(f"{path}.items.x-kubernetes-map-type", inner, why)


def _map_items(items: JSON, keys: list[str], path: str) -> Iterator[Cause]:
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(where, "must not be empty if x-kubernetes-list-type is map")
    if not items:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        yield validation.invalid(f"{path}.items.type", items.get("type", ""), why)
        return
    known = items.get("properties") or {}
    for index, key in enumerate(keys):
        inner = f"{path}.items.properties[{key}]"
        if key in keys[:index]:
            yield validation.invalid(where, keys, "must not contain duplicate entries")
        if key not in known:
            yield validation.invalid(where, keys, "entries must all be names of item properties")
            continue
        if known[key].get("type") in ("array", "object"):
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield validation.invalid(f"{inner}.type", items["type"], why)
        if key not in (items.get("required") or ()) and "default" not in known[key]:
            yield required(
                f"{inner}.default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                "a required property",
            )
        if known[key].get("nullable"):
            why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield forbidden_field(f"{inner}.nullable", why)


def _pattern(props: JSON, path: str) -> Iterator[Cause]:
    text = props.get("pattern")
    if not text:
        return
    try:
        validation.pattern(text)
    except ValueError as error:
        why = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
        yield validation.invalid(f"{path}.pattern", text, why)


def _junctions(props: JSON, path: str) -> Iterator[Cause]:
    """What stands below allOf, anyOf, oneOf and not."""
    either = bool(props.get("x-kubernetes-int-or-string"))
    for name in _LISTS:
        parts = props.get(name) or []
        if name == "anyOf" and either and parts == _INT_OR_STRING:
            continue
        for index, part in enumerate(parts):
            allowed = name == "allOf" and index == 0 and either
            if allowed and part.get("anyOf") == _INT_OR_STRING:
                part = {key: item for key, item in part.items() if key != "anyOf"}
            yield from _nested(part, f"{path}.{name}[{index}]")
    if isinstance(props.get("not"), dict):
        yield from _nested(props["not"], f"{path}.not")


def _nested(props: JSON, path: str) -> Iterator[Cause]:
    for name, why in _FORBIDDEN_INSIDE.items():
        if props.get(name) not in (None, "", False, []):
            yield forbidden_field(f"{path}.{name}", why)
    yield from _pattern(props, path)
    yield from _junctions(props, path)
    if isinstance(props.get("items"), dict):
        yield from _nested(props["items"], f"{path}.items")
    for name, part in (props.get("properties") or {}).items():
        where = f"{path}.properties[{name}]"
        if name == "metadata":
            yield forbidden_field(where, "must not be specified in a nested context")
        yield from _nested(part, where)


def _inside(props: JSON, place: _Place, kind: str) -> Iterator[Cause]:
    del kind
    free = props.get("additionalProperties")
    if free is not None and place.level == "root":
        yield forbidden_field(f"{place.path}.additionalProperties", "must not be used at the root")
    if free is not None and props.get("x-kubernetes-embedded-resource"):
        yield forbidden_field(
            f"{place.path}.additionalProperties",
            "must not be used if x-kubernetes-embedded-resource is set",
        )
    if isinstance(free, dict):
        why = "inside additionalProperties applying to object metadata"
        changes = {"no_defaults": why} if place.in_metadata else {}
        yield from _level(free, place.below("additionalProperties", **changes))
    if isinstance(props.get("items"), dict):
        yield from _level(props["items"], place.below("items", "item"))
    root = place.level == "root"
    for name, part in (props.get("properties") or {}).items():
        more: dict[str, Any] = {}
        if (root or props.get("x-kubernetes-embedded-resource")) and name in META_FIELDS:
            more["in_metadata"] = True
            if root:
                more["no_defaults"] = f"in top-level {name}"
        if root and name == "metadata":
            # It is checked with the root: hardly anything may be said of it.
            continue
        yield from _level(part, place.below(f"properties[{name}]", **more))


def _complete(props: JSON, path: str) -> Iterator[Cause]:
    """Fields that only a junction at the root names; Kubernetes looks at no others."""
    for where, part in _parts(props, path):
        yield from _named(part, props, path, where)


def _parts(props: Mapping[str, Any], path: str) -> Iterator[tuple[str, JSON]]:
    for name in _LISTS:
        for index, part in enumerate(props.get(name) or ()):
            yield f"{path}.{name}[{index}]", part
    if isinstance(props.get("not"), dict):
        yield f"{path}.not", props["not"]


def _structure(props: Mapping[str, Any], path: str) -> Iterator[tuple[str, JSON]]:
    for name, part in (props.get("properties") or {}).items():
        yield f"{path}.properties[{name}]", part
    for name in ("items", "additionalProperties"):
        if isinstance(props.get(name), dict):
            yield f"{path}.{name}", props[name]


def _named(part: JSON, props: JSON, path: str, where: str) -> Iterator[Cause]:
    for inner, deeper in _parts(part, where):
        yield from _named(deeper, props, path, inner)
    if isinstance(part.get("items"), dict):
        if isinstance(props.get("items"), dict):
            yield from _named(part["items"], props["items"], f"{path}.items", f"{where}.items")
        else:
            yield required(f"{path}.items", f"because it is defined in {where}.items")
    for name, deeper in (part.get("properties") or {}).items():
        known = (props.get("properties") or {}).get(name)
        spelled = f"properties[{name}]"
        if known is None:
            yield required(f"{path}.{spelled}", f"because it is defined in {where}.{spelled}")
        else:
            yield from _named(deeper, known, f"{path}.{spelled}", f"{where}.{spelled}")


def _defaults(props: JSON, path: str, level: str) -> Iterator[Cause]:
    """Defaults must themselves be valid, and have no unknown fields."""
    if "default" in props and props["default"] is not None:
        node, where = build(props), f"{path}.default"
        pruned, findings = {"value": objects.copy(props["default"])}, Findings()
        holder = build({"type": "object", "properties": {"value": props}})
        try:
            pruning.prune(pruned, holder, findings)
        except ShapeError as error:
            yield validation.invalid(where, props["default"], str(error))
        if pruned["value"] != props["default"]:
            yield validation.invalid(where, props["default"], "must not have unknown fields")
        else:
            yield from validation.validate(props["default"], node, prefix=where)
            yield from validation.unique(props["default"], node, where)
    for name, part in _structure(props, path):
        if level == "root" and name.endswith("properties[metadata]"):
            continue
        yield from _defaults(part, name, "field")


def _rules(props: JSON, place: _Place) -> Iterator[Cause]:
    """The rules in CEL: each must compile."""
    path = place.path
    for index, rule in enumerate(props.get("x-kubernetes-validations") or ()):
        yield from _rule(rule, props, f"{path}.x-kubernetes-validations[{index}]", place)
    free = props.get("additionalProperties")
    fixed = place.loose or ("" if props.get("x-kubernetes-map-type") != "atomic" else path)
    if isinstance(free, dict):
        yield from _rules(free, place.below("additionalProperties"))
    if isinstance(props.get("items"), dict):
        loose = place.loose or ("" if props.get("x-kubernetes-list-type") == "map" else path)
        yield from _rules(props["items"], place.below("items", "item", loose=loose))
    for name, part in (props.get("properties") or {}).items():
        yield from _rules(part, place.below(f"properties[{name}]", loose=fixed))


class _Spelled:
    """A rule as Kubernetes shows it in a message."""

    def __init__(self, rule: JSON) -> None:
        names = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")
        empty = {"reason": None, "optionalOldSelf": None}
        shown = {
            f"{name[0].upper()}{name[1:]}": rule.get(name, empty.get(name, "")) for name in names
        }
        text = objects.dump(shown)
        for letter, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
            text = text.replace(letter, escaped)
        self.text = text

    def __str__(self) -> str:
        return self.text


def _rule(rule: JSON, props: JSON, path: str, place: _Place) -> Iterator[Cause]:
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        yield required(f"{path}.rule", "rule is not specified")
        return
    if message and not message.strip():
        yield validation.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip() or "\r" in message.strip():
        yield validation.invalid(f"{path}.message", message, "must not contain line breaks")
    elif "\n" in text and not message.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    reason = rule.get("reason")
    if reason and reason not in _REASONS:
        yield unsupported(f"{path}.reason", reason, _REASONS)
    spot = rule.get("fieldPath")
    if spot and not _points(spot, props):
        yield validation.invalid(f"{path}.fieldPath", spot, "must be a valid path")
    compiled = Expressions.of(build(props), root=place.level == "root")
    if fault := compiled.fault(text, "bool"):
        yield validation.invalid(f"{path}.rule", _Spelled(rule), fault)
    elif compiled.uses_old(text):
        if place.loose:
            why = (
                "oldSelf cannot be used on the uncorrelatable portion of the schema within "
                f"{place.loose}"
            )
            yield validation.invalid(f"{path}.rule", text, why)
    elif rule.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        yield validation.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], why)
    speech = rule.get("messageExpression")
    if speech and (fault := compiled.fault(speech, "string")):
        detail = f"messageExpression {fault}"
        yield validation.invalid(f"{path}.messageExpression", _Spelled(rule), detail)


def _points(path: str, props: JSON) -> bool:
    """True if a simple path such as `.spec.replicas` leads to a field of the schema."""
    if not path.startswith("."):
        return False
    node: Any = props
    for name in path[1:].replace("['", ".").replace("']", "").split("."):
        found = (node.get("properties") or {}).get(name)
        if found is None and isinstance(node.get("additionalProperties"), dict):
            found = node["additionalProperties"]
        if found is None:
            return False
        node = found
    return True
