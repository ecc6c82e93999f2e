"""Custom resources: what a definition adds to what is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinykube import objects, schema
from tinykube.crd import defaulting, pruning, validation
from tinykube.crd.rules import RuleSet
from tinykube.crd.structural import META_FIELDS, UNSET, Node, build, check, shape
from tinykube.kinds import Column, Resource
from tinykube.names import version_rank
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.rules.metadata import metadata
from tinykube.scale import find
from tinykube.schema import Fields, Findings, ShapeError
from tinykube.status import ApiError, Cause

if TYPE_CHECKING:
    from tinykube.rbac import Caller
    from tinykube.registry import Registry

# In the order in which Kubernetes lists them.
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
# Levels of JSON in an object.
_DEPTH = 128
_MOST_REPLICAS = 2**31 - 1
_COLUMN = "Custom resource definition column (in JSONPath format): "


@dataclass(frozen=True)
class Scale:
    """Where a resource has what its scale subresource shows; paths such as `.spec.replicas`."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class CustomResource(Resource):
    """One version of a custom resource.

    Attributes:
        node: the version's schema.
        home_node: the schema of the version that the store holds.
        home: that version.
        settled: False if stored objects may have been written under another schema.
    """

    node: Node = field(default_factory=Node)
    home_node: Node = field(default_factory=Node)
    singular_name: str = ""
    home: str = ""
    settled: bool = True
    scale: Scale | None = None
    terminating: bool = False

    @property
    def singular(self) -> str:
        """See Resource."""
        return self.singular_name

    def read(self, body: JSON, findings: Findings, *, part: bool = False) -> JSON:
        """See Resource."""
        schema.bound(body, "", _DEPTH)
        clean: JSON = objects.copy(
            {key: value for key, value in body.items() if key not in META_FIELDS}
        )
        clean.update(schema.read(_meta(body), _META_SHAPE, "", findings))
        if not part:
            schema.settle(clean, _META_SHAPE)
            defaulting.drop_nulls(clean, self.node)
            defaulting.fill(clean, self.node)
        pruning.prune(clean, self.node, findings)
        findings.unknown.sort()
        if part:
            check({key: clean[key] for key in clean if key not in META_FIELDS}, self.node, "")
        return clean

    def complete(self, obj: JSON) -> None:
        """See Resource."""
        schema.settle(obj, _META_SHAPE)
        defaulting.fill(obj, self.node)

    def ownable(self, obj: JSON) -> bool:
        """See Resource."""
        if not self.status:
            return True
        try:
            check(obj.get("status"), self.node.child("status"), "status")
        except ShapeError:
            return False
        return True

    def shown(self, data: str) -> str:
        """See Resource."""
        if self.settled and self.version == self.home:
            return data
        obj: JSON = objects.load(data)
        obj["apiVersion"] = self.api_version
        if not self.settled:
            defaulting.drop_nulls(obj, self.home_node)
            defaulting.fill(obj, self.home_node)
        pruning.prune(obj, self.node, Findings())
        return objects.dump(obj)

    def stored(self, obj: JSON) -> JSON:
        """See Resource."""
        kept = {**obj, "apiVersion": f"{self.group}/{self.home}"}
        if self.version != self.home:
            kept = objects.copy(kept)
            pruning.prune(kept, self.home_node, Findings())
        return kept

    def differs(self, new: JSON, old: JSON) -> bool:
        """See Resource."""
        before = {key: value for key, value in old.items() if key != "metadata"}
        return before != {key: value for key, value in new.items() if key != "metadata"}


# As the messages of Kubernetes name them.
_GO_TYPES = {
    str: "string",
    float: "float64",
    bool: "bool",
    list: "[]interface {}",
    int: "int64",
    type(None): "<nil>",
}


def _misfit(obj: JSON, path: str) -> str:
    """Why there can be no whole number at a path, as Go's accessors say it; empty if it can."""
    value: Any = obj
    at = ""
    for name in path.removeprefix(".").split("."):
        at += f".{name}"
        if value is None:
            return ""
        if not isinstance(value, dict):
            return _accessor(at, value, "map[string]interface{}")
        if name not in value:
            return ""
        value = value[name]
    whole = isinstance(value, int) and not isinstance(value, bool)
    return "" if whole else _accessor(at, value, "int64")


def _accessor(path: str, value: Any, expected: str) -> str:
    kind = _GO_TYPES.get(type(value), "map[string]interface {}")
    return f"{path} accessor error: {_shown(value)} is of the type {kind}, expected {expected}"


def _shown(value: Any) -> str:
    """A value as Go prints it."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return f"[{' '.join(map(_shown, value))}]"
        case dict():
            return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    return str(value)


_META_SHAPE = Fields({"apiVersion": "str", "kind": "str", "metadata": schema.METADATA})


def _meta(body: JSON) -> JSON:
    return {key: value for key, value in body.items() if key in META_FIELDS}


class CustomRules(Rules):
    """The rules of a custom resource: those of its schema."""

    def __init__(self, resource: CustomResource) -> None:
        self._resource = resource
        self._node = resource.node
        self._rules = RuleSet(resource.node)

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        # The status of a client was taken away after its defaults were filled in.
        if old is None:
            defaulting.fill(new, self._node)

    def validate(self, new: JSON, old: JSON | None) -> list[Cause]:
        """See Rules."""
        before: Any = UNSET if old is None else old
        faults = validation.validate(new, self._node, old=before)
        faults += self._scale(new)
        faults += _embedded(new, self._node, "")
        if old is None or not any(validation.unique(old, self._node)):
            faults += validation.unique(new, self._node)
        found = [*metadata(self._resource, new, old), *faults]
        return [*faults, *self._rules.faults(new, before, found)]

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del registry, caller, new
        if old is None and self._resource.terminating:
            raise ApiError(
                405,
                "MethodNotAllowed",
                "create not allowed while custom resource definition is terminating",
                kind=self._resource.plural,
                group=self._resource.group,
            )

    def validate_status(self, new: JSON, old: JSON) -> list[Cause]:
        """See Rules."""
        faults: list[Cause] = []
        node = self._node.child("status")
        if "status" in new and node is not None:
            before = old.get("status", UNSET)
            faults += validation.validate(new["status"], node, prefix="status", old=before)
        faults += self._scale(new)
        if not any(validation.unique(old, self._node)):
            faults += validation.unique(new, self._node)
        faults += self._rules.faults(new, old, faults)
        return faults

    def _scale(self, obj: JSON) -> Iterator[Cause]:
        scale = self._resource.scale
        if scale is None:
            return
        for path in (scale.spec_replicas, scale.status_replicas):
            value = find(obj, path, UNSET)
            if fault := _misfit(obj, path):
                yield validation.invalid(path, 0, fault)
            elif value is UNSET:
                continue
            elif value < 0:
                yield validation.invalid(path, value, "should be a non-negative integer")
            elif value > _MOST_REPLICAS:
                detail = f"should be less than or equal to {_MOST_REPLICAS}"
                yield validation.invalid(path, value, detail)


def _embedded(value: Any, node: Node, path: str) -> Iterator[Cause]:
    """What resources inside an object lack of what every object has."""
    if node.embedded and isinstance(value, dict):
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                yield Cause("FieldValueRequired", "Required value", f"{path}.{name}")
    if isinstance(value, dict):
        for name, item in value.items():
            child = node.child(name)
            if child is not None:
                known = name in node.properties
                where = f"{path}.{name}" if path and known else name
                yield from _embedded(item, child, where if known else f"{path}[{name}]")
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            yield from _embedded(item, node.items, f"{path}[{index}]")


def versions(definition: Mapping[str, Any]) -> list[CustomResource]:
    """The resources of a definition, the stored version first.

    Args:
        definition: a CustomResourceDefinition whose names are accepted.
    """
    spec = definition["spec"]
    entries: list[JSON] = sorted(spec["versions"], key=lambda entry: not entry["storage"])
    settled = definition["metadata"].get("generation", 1) == 1
    home = entries[0]["name"]
    nodes = [build(_schema(entry)) for entry in entries]
    return [
        _resource(definition, entry, node, home, nodes[0], settled=settled)
        for entry, node in zip(entries, nodes, strict=True)
    ]


def _schema(entry: JSON) -> JSON:
    return (entry.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}


def _resource(
    definition: Mapping[str, Any],
    entry: JSON,
    node: Node,
    home: str,
    home_node: Node,
    *,
    settled: bool,
) -> CustomResource:
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    subresources = entry.get("subresources") or {}
    given = subresources.get("scale")
    scale = None
    if given:
        wanted, found = given["specReplicasPath"], given["statusReplicasPath"]
        scale = Scale(wanted, found, given.get("labelSelectorPath", ""))
    made = CustomResource(
        spec["group"],
        entry["name"],
        spec["names"]["plural"],
        names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        shape=_shape(node),
        short=tuple(names.get("shortNames") or ()),
        verbs=_VERBS,
        status="status" in subresources,
        subresources={"scale": "Scale"} if scale else {},
        selectable=tuple(
            item["jsonPath"].removeprefix(".") for item in entry.get("selectableFields") or ()
        ),
        generation=True,
        served=entry["served"],
        categories=tuple(names.get("categories") or ()),
        columns=_columns(entry.get("additionalPrinterColumns") or ()),
        unconditional=False,
        strategic=False,
        typed=False,
        list_kind=names.get("listKind") or "",
        node=node,
        home_node=home_node,
        singular_name=names.get("singular") or names["kind"].lower(),
        home=home,
        settled=settled,
        scale=scale,
        deprecation=_deprecation(spec, names["kind"], entry),
        terminating=bool(definition["metadata"].get("deletionTimestamp")),
        document=_schema(entry),
    )
    object.__setattr__(made, "rules", CustomRules(made))
    return made


def _deprecation(spec: JSON, kind: str, entry: JSON) -> str:
    if not entry.get("deprecated"):
        return ""
    own = entry.get("deprecationWarning")
    if own is not None:
        return str(own)
    better = [
        item["name"]
        for item in spec["versions"]
        if item["served"]
        and not item.get("deprecated")
        and version_rank(item["name"]) < version_rank(entry["name"])
    ]
    best = min(better, key=version_rank, default="")
    instead = f"; use {spec['group']}/{best} {kind}" if best else ""
    return f"{spec['group']}/{entry['name']} {kind} is deprecated{instead}"


def _columns(given: Sequence[JSON]) -> tuple[Column, ...]:
    return tuple(
        Column(
            item["name"],
            item["type"],
            item["jsonPath"],
            item.get("format", ""),
            item.get("description") or f"{_COLUMN}{item['jsonPath']}",
            item.get("priority", 0),
        )
        for item in given
    )


def _shape(node: Node) -> Fields:
    inside = shape(node)
    known = inside.fields if isinstance(inside, Fields) else {}
    return schema.kind({name: item for name, item in known.items() if name not in META_FIELDS})
