"""`metadata.managedFields`: who wrote which field last.

Every write is recorded as a real API server does: a field that a write adds or changes belongs to
its manager from then on, one that it removes to nobody. The contract is
https://kubernetes.io/docs/reference/using-api/server-side-apply/.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from tinykube import objects
from tinykube.fieldsets import tree, walk
from tinykube.fieldsets.tree import Path
from tinykube.objects import JSON
from tinykube.schema import Shape

APPLY, UPDATE = "Apply", "Update"
# More managers that only update than this are counted as one.
_MOST_UPDATES = 10
_ANCIENT = "ancient-changes"
# What a new object of a kind has before anything is written: structures that are never absent.
_ZERO: Mapping[str, JSON] = {
    "pods": {"spec": {"containers": None}, "status": {}},
    "services": {"spec": {}, "status": {"loadBalancer": {}}},
    "persistentvolumeclaims": {"spec": {"resources": {}}, "status": {}},
    "events": {
        "source": {},
        "reportingComponent": "",
        "reportingInstance": "",
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
    },
    "priorityclasses.scheduling.k8s.io": {"value": 0},
    "nodes": {
        "spec": {},
        "status": {"daemonEndpoints": {"kubeletEndpoint": {}}, "nodeInfo": {}},
    },
    "statefulsets.apps": {
        "spec": {
            "selector": None,
            "template": {"metadata": {}, "spec": {"containers": None}},
            "serviceName": "",
            "updateStrategy": {},
        },
        "status": {"replicas": 0},
    },
    "jobs.batch": {
        "spec": {"template": {"metadata": {}, "spec": {"containers": None}}},
        "status": {},
    },
}
_PLAIN_ZERO: JSON = {"spec": {}, "status": {}}
# What admission fills into a new object is nobody's.
_FILLED: tuple[Path, ...] = (("f:metadata", "f:finalizers"),)
# One by two names: who gives one gives both.
_ACCOUNT: frozenset[Path] = frozenset(
    {("f:spec", "f:serviceAccount"), ("f:spec", "f:serviceAccountName")}
)
_ADMITTED: Mapping[str, tuple[Path, ...]] = {
    "pods": (
        ("f:spec", "f:serviceAccount"),
        ("f:spec", "f:serviceAccountName"),
        ("f:spec", "f:priority"),
        ("f:spec", "f:preemptionPolicy"),
        ("f:spec", "f:tolerations"),
    ),
    "namespaces": (("f:spec", "f:finalizers"),),
    "jobs.batch": (("f:spec", "f:selector"), ("f:metadata", "f:labels")),
    "services": (("f:spec", "f:clusterIPs"),),
}


def filled(obj: JSON) -> frozenset[Path]:
    """The fields of two elements that an object has as its client sent it."""
    found = {
        (f"f:{part}", f"f:{name}")
        for part in ("metadata", "spec")
        if isinstance(obj.get(part), dict)
        for name in obj[part]
    }
    return frozenset(found | _ACCOUNT if found & _ACCOUNT else found)


def zero(key: str, *, custom: bool) -> JSON:
    """A kind's object before anything is written into it; `key` is the store's name for it."""
    return {"metadata": {}, **({} if custom else {**_PLAIN_ZERO, **_ZERO.get(key, {})})}


def written(obj: JSON, *, custom: bool) -> JSON:
    """What of an object belongs to those who write it; some structures are always there."""
    return {"metadata": {}, **({} if custom else _PLAIN_ZERO), **walk.owned(obj)}


def untimed(obj: Mapping[str, Any]) -> JSON:
    """An object without the moments of its entries: who writes the same again changes nothing."""
    meta = obj["metadata"]
    entries = [
        {key: value for key, value in item.items() if key != "time"}
        for item in meta.get("managedFields") or ()
    ]
    return {**obj, "metadata": {**meta, "managedFields": entries}}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True if two entries are of one manager."""
    keys = ["manager", "operation", "subresource"]
    if one.get("operation") == UPDATE:
        keys.append("apiVersion")
    return all((one.get(key) or "") == (other.get(key) or "") for key in keys)


def entry(manager: str, operation: str, api_version: str, subresource: str) -> JSON:
    """An entry that owns nothing yet."""
    made: JSON = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    }
    if subresource:
        made["subresource"] = subresource
    return made


def ordered(entries: Sequence[JSON]) -> list[JSON]:
    """Entries in Kubernetes' order: those who apply first, then by time and name."""
    return sorted(
        entries,
        key=lambda item: (
            item.get("operation", ""),
            item.get("time", ""),
            item.get("manager", ""),
            item.get("apiVersion", ""),
            item.get("subresource", ""),
        ),
    )


def created(
    new: JSON,
    shape: Shape,
    key: str,
    manager: str,
    *,
    custom: bool = False,
    given: Container[Path] = (),
) -> None:
    """A new object belongs to who made it, less what admission fills in.

    Args:
        new: the object, defaults and all.
        shape: its shape.
        key: the store's name of its resource.
        manager: who made it.
        custom: True for a custom resource.
        given: which fields, of those that admission fills in, it had before.
    """
    new["metadata"].pop("managedFields", None)
    fields = walk.grown(walk.owned(new), shape, zero(key, custom=custom))
    if not custom:
        fields.pop("f:status", None)
    for part, name in (*_FILLED, *_ADMITTED.get(key, ())):
        if (part, name) not in given:
            tree.prune(fields, (part, name))
    if fields:
        own = entry(manager, UPDATE, new["apiVersion"], "")
        own["time"] = objects.now()
        own["fieldsV1"] = fields
        new["metadata"]["managedFields"] = [own]


def updated(
    new: JSON,
    old: JSON,
    entries: Sequence[JSON],
    shape: Shape,
    manager: str,
    subresource: str,
    *,
    custom: bool = False,
) -> list[JSON]:
    """The entries after a write that was no apply.

    An object whose entries were reset by a client has none until it is applied to.
    """
    if not entries:
        return []
    changed: list[Path] = []
    gone: list[Path] = []
    before, after = (written(obj, custom=custom) for obj in (old, new))
    walk.differences(before, after, shape, changed, gone)
    if not changed and not gone:
        return list(entries)
    own = entry(manager, UPDATE, new["apiVersion"], subresource)
    kept = without(entries, changed, gone, own)
    if changed:
        mine = next((item for item in kept if same(item, own)), None)
        if mine is None:
            kept.append(mine := own)
        fields = objects.copy(mine["fieldsV1"])
        for path in changed:
            tree.add(fields, path)
        mine["fieldsV1"] = fields
        mine["time"] = objects.now()
    return ordered(_capped(kept))


def without(
    entries: Sequence[JSON], changed: Sequence[Path], gone: Sequence[Path], own: JSON
) -> list[JSON]:
    """The entries, less what was taken over by `own` and what is gone; empty ones are left out."""
    kept = []
    for item in entries:
        fields = item.get("fieldsV1") or {}
        lost = [
            path
            for path in (gone if same(item, own) else (*changed, *gone))
            if tree.has(fields, path)
        ]
        if lost:
            fields = objects.copy(fields)
            for path in lost:
                tree.drop(fields, path)
        if fields:
            kept.append({**item, "fieldsV1": fields})
    return kept


def _capped(entries: list[JSON]) -> list[JSON]:
    """Join the oldest of too many updates."""
    updates = ordered([item for item in entries if item.get("operation") == UPDATE])
    excess = len(updates) - _MOST_UPDATES
    if excess <= 0:
        return entries
    # One more: the joined one counts as well.
    old = updates[: excess + 1]
    joined = entry(_ANCIENT, UPDATE, old[-1]["apiVersion"], "")
    fields: JSON = {}
    for item in old:
        for path in tree.paths(item["fieldsV1"]):
            tree.add(fields, path)
    joined["fieldsV1"] = fields
    if "time" in old[-1]:
        joined["time"] = old[-1]["time"]
    return [item for item in entries if not any(item is other for other in old)] + [joined]


def given(meta: Mapping[str, Any], before: Sequence[JSON]) -> Sequence[JSON]:
    """The entries that a write goes by: a client may edit them, or reset them by an empty list."""
    value = meta.get("managedFields")
    if value is None:
        return before
    if all(not item for item in value):
        return []
    good = all(
        item.get("operation") in (APPLY, UPDATE)
        and isinstance(item.get("fieldsV1"), dict)
        and item.get("fieldsType") == "FieldsV1"
        for item in value
    )
    return value if good else before
