"""What a resource is: its names, its shape and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinykube import names, schema
from tinykube.objects import JSON
from tinykube.schema import Fields, Findings

if TYPE_CHECKING:
    from tinykube.rules.base import Rules

ALL_VERBS = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, as `additionalPrinterColumns` has it.

    Attributes:
        type: `string`, `integer`, `number`, `boolean` or `date`.
        path: a JSONPath in the object, `.spec.replicas`.
        format: what OpenAPI calls the type's format.
        priority: 0 for what is always shown; what is higher is shown on demand.
    """

    name: str
    type: str
    path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, eq=False)
class Resource:
    """One kind of object.

    Attributes:
        plural: its name in paths, `pods`.
        shape: what its objects look like.
        short: the short names kubectl knows.
        verbs: what may be asked of it.
        status: True if `status` is written through its own subresource only.
        subresources: those of GET or POST besides `status`, by name and kind.
        selectable: fields a field selector may name besides metadata's.
        generation: True if `metadata.generation` counts the changes of its spec.
        returns: True if a deletion answers with the object rather than a Status.
        served: False for a version that is only stored.
        categories: the groups of resources, such as `all`, that it belongs to.
        columns: what a table of its objects shows; empty for the renderer's own choice.
        orphans: True if its dependents stay when a deletion does not say what becomes of them.
        upserts: True if an update of an object that is not there creates it.
        unconditional: False if an update must name the resource version that it is made for.
        strategic: False if a strategic merge patch is not taken.
        list_kind: the kind of a list; empty for the kind with `List` behind it.
        typed: False for a custom resource, which Kubernetes reads into no type of Go's: an object
            says its apiVersion and kind, also in lists, and some faults have other words.
        deprecation: what whoever uses this version is warned of.
        rules: what it demands of its objects, where it is not built in.
        document: its schema as OpenAPI has it, where it is not built in.
        name_fault: says what is wrong with a name.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    shape: Fields
    short: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    status: bool = False
    subresources: Mapping[str, str] = field(default_factory=dict)
    selectable: tuple[str, ...] = ()
    generation: bool = False
    returns: bool = False
    served: bool = True
    categories: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    orphans: bool = False
    upserts: bool = False
    unconditional: bool = True
    strategic: bool = True
    list_kind: str = ""
    typed: bool = True
    deprecation: str = ""
    rules: Rules | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    name_fault: Callable[[str], str] = names.subdomain_fault

    @cached_property
    def key(self) -> str:
        """The store's name for it: `pods`, `roles.rbac.authorization.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def api_version(self) -> str:
        """What its objects have as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def prefix(self) -> str:
        """How the JSON of each of its objects begins in the store."""
        return f'{{"apiVersion":"{self.api_version}","kind":"{self.kind}",'

    @property
    def singular(self) -> str:
        """Its name in the singular, as kubectl takes it."""
        return self.kind.lower()

    def read(self, body: JSON, findings: Findings, *, part: bool = False) -> JSON:
        """A clean copy of a client's object. Raises ShapeError.

        Args:
            body: the object as it came.
            findings: filled with what was dropped.
            part: it is what a manager applies, not a whole object: nothing is filled in.
        """
        clean: JSON = schema.read(body, self.shape, "", findings)
        if not part:
            schema.settle(clean, self.shape)
        return clean

    def complete(self, obj: JSON) -> None:
        """Fill in, in place, what `read` fills in of an object that is whole."""
        schema.settle(obj, self.shape)

    def fold(self, obj: JSON) -> None:
        """Make of an object, in place, what the store cannot tell from it."""
        schema.fold(obj, self.shape)

    def ownable(self, obj: JSON) -> bool:
        """False if a status, which a write of the whole object ignores, has types of its own.

        Nobody owns a field of what is written so.
        """
        del obj
        return True

    def shown(self, data: str) -> str:
        """Stored JSON as this version of the resource shows it."""
        return data

    def differs(self, new: JSON, old: JSON) -> bool:
        """True if the object's generation rises."""
        return bool(new.get("spec") != old.get("spec"))

    def stored(self, obj: JSON) -> JSON:
        """An object of this version as the store keeps it."""
        return obj

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a field selector may name."""
        both = self.namespaced or (self.typed and not self.selectable)
        own = ("metadata.name", "metadata.namespace") if both else ("metadata.name",)
        return own + self.selectable

    @property
    def unknown_field(self) -> str:
        """What is said of a field that no selector may name; `{}` stands for it."""
        if self.plural == "jobs" and self.typed:
            return 'field label "{}" not supported for batchv1.Job'
        if self.selectable or not self.typed:
            return "field label not supported: {}"
        return '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def field_of(obj: Mapping[str, Any], path: str) -> str:
    """A selectable field as field selectors compare it: a string, empty where absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        # An absent restart policy and the like are defaulted before they are stored.
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def body(resource: Resource, obj: JSON) -> JSON:
    """The object with apiVersion and kind in front, as the store keeps it."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        **{key: value for key, value in obj.items() if key not in ("apiVersion", "kind")},
    }
