"""How an object that is there takes a new state, or one part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinykube import fieldsets, kinds, objects, rules, status
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Options
from tinykube.rbac import Caller
from tinykube.schema import Findings
from tinykube.verbs import reference, validity, written
from tinykube.verbs.written import Written

if TYPE_CHECKING:
    from tinykube.registry import Registry

# Written by the system alone; a client's values are ignored.
_SYSTEM = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "selfLink",
    "managedFields",
)


def update(
    registry: Registry,
    resource: Resource,
    new: JSON,
    findings: Findings,
    previous: str,
    caller: Caller,
    options: Options,
    *,
    subresource: str,
    applied: bool = False,
) -> Written:
    """Complete a decoded object, admit it and store it over the one that is there.

    Args:
        registry: what is there.
        resource: what the object is of.
        new: the object; it is changed.
        findings: what its decoding found.
        previous: the JSON that the store has.
        caller: who asks.
        options: what was asked besides.
        subresource: what part of it is written; empty for all but the status.
        applied: it says itself who owns its fields.

    Raises:
        ApiError: 400, 403, 409, 422.
    """
    old: JSON = objects.load(resource.shown(previous))
    reference.place(resource, objects.namespace(old), new)
    meta, before = new["metadata"], old["metadata"]
    name = before["name"]
    if meta.get("uid") and meta["uid"] != before["uid"]:
        raise reference.unmet(resource, name, meta["uid"], before["uid"])
    reference.check_version(meta)
    if meta.get("resourceVersion") not in (None, "", "0", before["resourceVersion"]):
        raise status.conflict(resource.plural, resource.group, name, status.STALE)
    entries = fieldsets.given(meta, before.get("managedFields") or ())
    if not subresource and not resource.ownable(new):
        entries = ()
    new = _allowed(resource, new, old, subresource)
    meta = new["metadata"]
    if subresource:
        validity.judge_part(resource, new, old)
    else:
        _admit(registry, resource, new, old, findings, caller)
    resource.fold(new)
    if not subresource:
        options.warnings += rules.of(resource).warnings(new, old)
    if not applied:
        entries = fieldsets.updated(
            new,
            old,
            entries,
            resource.shape,
            options.manager,
            subresource,
            custom=not resource.typed,
        )
    meta.pop("managedFields", None)
    if entries:
        meta["managedFields"] = list(entries)
    new = kinds.body(resource, new)
    if fieldsets.untimed(new) == fieldsets.untimed(old):
        return Written(resource.shown(previous))
    if resource.generation and not subresource and resource.differs(new, old):
        meta["generation"] = before.get("generation", 1) + 1
    if options.dry_run:
        return Written(resource.shown(objects.dump(resource.stored(new))))
    return written.write(registry.store, resource, new, previous)


def _admit(
    registry: Registry,
    resource: Resource,
    new: JSON,
    old: JSON,
    findings: Findings,
    caller: Caller,
) -> None:
    own = rules.of(resource)
    own.prepare(new, old)
    own.complete(registry, caller, new, old)
    validity.judge(resource, new, old, findings)
    own.admit(registry, caller, new, old)


def _allowed(resource: Resource, new: JSON, old: JSON, subresource: str) -> JSON:
    """The new object, but for what such a write cannot change: that is as it was."""
    if subresource:
        new = _part(resource, new, old, subresource)
    elif resource.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = objects.copy(old["status"])
    meta, before = new["metadata"], old["metadata"]
    for key in _SYSTEM:
        meta.pop(key, None)
        if key in before:
            meta[key] = before[key]
    return new


def _part(resource: Resource, new: JSON, old: JSON, subresource: str) -> JSON:
    """What a write through a subresource makes of an object: one part and, mostly, metadata."""
    part = subresource
    if subresource == "finalize":
        part = "spec"
        new.setdefault(part, {})
    whole = {key: value for key, value in old.items() if key != part}
    if part in new:
        whole[part] = new[part]
    meta = objects.copy(old["metadata"])
    if resource.typed:
        meta = new["metadata"]
        if resource is kinds.PODS:
            # Kubelets once corrupted them.
            meta.pop("ownerReferences", None)
            if "ownerReferences" in old["metadata"]:
                meta["ownerReferences"] = old["metadata"]["ownerReferences"]
    return {**whole, "metadata": meta}
