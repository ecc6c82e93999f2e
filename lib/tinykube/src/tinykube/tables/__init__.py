"""Tables, as kubectl shows them: `meta.k8s.io/v1, Kind=Table`.

A kind of Kubernetes has the columns that its own API server gives; a custom one those of its
definition (`Resource.columns`), or name and age.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tinykube import kinds, objects
from tinykube.kinds import Column, Resource
from tinykube.objects import JSON
from tinykube.tables import core, jsonpath, others, pods
from tinykube.tables.column import AGE, NAME, Cell, Heading, Printer, created, name
from tinykube.tables.durations import age

__all__ = ["definitions", "metadata_only", "row", "table"]

_RBAC = "rbac.authorization.k8s.io"
_PRINTERS: Mapping[str, Printer] = {
    "namespaces": core.NAMESPACES,
    "pods": pods.PODS,
    "secrets": core.SECRETS,
    "configmaps": core.CONFIG_MAPS,
    "serviceaccounts": core.SERVICE_ACCOUNTS,
    "persistentvolumes": core.VOLUMES,
    "persistentvolumeclaims": core.CLAIMS,
    "events": core.EVENTS,
    "events.events.k8s.io": core.EVENTS,
    "nodes": core.NODES,
    "services": core.SERVICES,
    "endpoints": core.ENDPOINTS,
    "resourcequotas": core.QUOTAS,
    "jobs.batch": others.JOBS,
    "statefulsets.apps": others.STATEFUL_SETS,
    "leases.coordination.k8s.io": others.LEASES,
    f"rolebindings.{_RBAC}": others.BINDINGS,
    f"clusterrolebindings.{_RBAC}": others.BINDINGS,
    "priorityclasses.scheduling.k8s.io": others.PRIORITY_CLASSES,
    "endpointslices.discovery.k8s.io": others.ENDPOINT_SLICES,
    "storageclasses.storage.k8s.io": others.STORAGE_CLASSES,
    "runtimeclasses.node.k8s.io": others.RUNTIME_CLASSES,
}
_BUILT_IN = frozenset(item.key for item in kinds.STORED)
_BY_DEFAULT = Printer(
    (NAME, Heading("Created At", "date")),
    lambda obj: (name(obj), obj["metadata"].get("creationTimestamp")),
)
_CUSTOM = Printer(
    (NAME, Heading("Age", "date", description=AGE.description)),
    lambda obj: (name(obj), created(obj)),
)


def printer(resource: Resource) -> Printer:
    """How objects of a resource are shown."""
    if (own := _PRINTERS.get(resource.key)) is not None:
        return own
    if resource.columns:
        return _of_columns(resource.columns)
    return _BY_DEFAULT if resource.key in _BUILT_IN else _CUSTOM


def _of_columns(columns: Sequence[Column]) -> Printer:
    headings = [
        Heading(item.name, item.type, item.format, item.priority, item.description)
        for item in columns
    ]

    def cells(obj: JSON) -> Sequence[Cell]:
        return (name(obj), *(_cell(column, obj) for column in columns))

    return Printer((NAME, *headings), cells)


def _cell(column: Column, obj: JSON) -> Cell:
    """What a column shows; nothing where its path finds nothing or another type."""
    try:
        found = jsonpath.find(column.path, obj)
    except jsonpath.PathError:
        return None
    if not found or found[0] is None:
        return None
    value = found[0]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match column.type:
        case "integer":
            return int(value) if number else None
        case "number":
            return value if number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return age(value)
    return " ".join(_text(item) for item in found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else objects.dump(value)


def definitions(resource: Resource) -> list[JSON]:
    """The columns of a resource's table."""
    return [heading.definition() for heading in printer(resource).headings]


def metadata_only(obj: JSON) -> JSON:
    """An object without all but its metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def row(resource: Resource, obj: JSON, include: str) -> JSON:
    """An object as a row; `include` says what goes with it: `None`, `Metadata` or `Object`."""
    chosen = printer(resource)
    made: JSON = {"cells": list(chosen.cells(obj))}
    if conditions := chosen.conditions(obj):
        made["conditions"] = conditions
    match include:
        case "Object":
            made["object"] = obj
        case "Metadata":
            made["object"] = metadata_only(obj)
        case _:
            made["object"] = None
    return made


def table(
    resource: Resource, objs: Iterable[JSON], meta: JSON, include: str, *, headed: bool = True
) -> JSON:
    """A whole table; later tables of a watch come without the columns."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions(resource) if headed else [],
        "rows": [row(resource, obj, include) for obj in objs],
    }
