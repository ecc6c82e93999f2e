"""How an object is deleted, or begins to be: it may wait for its pod's end or finalizers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tinykube import kinds, objects, rules, status
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.store import Store
from tinykube.verbs import reference, written
from tinykube.verbs.written import Written

_LASTING = ("default", "kube-system", "kube-public")


def delete(
    store: Store, resource: Resource, previous: str, deletion: Deletion, *, dry_run: bool = False
) -> Written:
    """Delete the object whose JSON is `previous`, or begin to.

    Raises:
        ApiError: 409 (a precondition failed), 403 (it cannot be deleted).
    """
    obj: JSON = objects.load(resource.shown(previous))
    meta = obj["metadata"]
    _check(resource, meta, deletion)
    name = meta["name"]
    if resource is kinds.NAMESPACES and name in _LASTING:
        raise status.forbidden("namespaces", "", name, "this namespace may not be deleted")
    if not _mark(resource, obj, deletion):
        return Written(resource.shown(previous))
    if dry_run:
        return Written(objects.dump(obj), gone=written.released(resource, obj))
    if not written.released(resource, obj):
        return written.write(store, resource, obj, previous)
    if resource is kinds.PODS:
        return _end(store, obj, previous)
    return _remove(store, resource, previous)


def _end(store: Store, pod: JSON, previous: str) -> Written:
    """Take out a pod that nothing keeps: whoever watches sees first that it is to go."""
    with store.write() as transaction:
        marked = transaction.pass_by(kinds.PODS.key, pod, previous)
        data = transaction.remove(kinds.PODS.key, pod, marked)
    return Written(data, gone=True)


def _remove(store: Store, resource: Resource, previous: str) -> Written:
    """Take out what nothing keeps; its last state says nothing of a deletion."""
    obj: JSON = objects.load(resource.shown(previous))
    with store.write() as transaction:
        data = transaction.remove(resource.key, resource.stored(obj), previous)
    return Written(resource.shown(data), gone=True)


def _check(resource: Resource, meta: JSON, deletion: Deletion) -> None:
    """Check the preconditions of a deletion. Raises ApiError 409."""
    for label, wanted, found, why in (
        ("UID", deletion.uid, meta["uid"], "deleted and then recreated"),
        ("ResourceVersion", deletion.version, meta["resourceVersion"], "modified"),
    ):
        if not wanted or wanted == found:
            continue
        if resource is kinds.NAMESPACES:
            raise reference.unmet(resource, meta["name"], wanted, found, field=label)
        raise status.conflict(
            resource.kind,
            resource.group,
            meta["name"],
            f"the {label} in the precondition ({wanted[:64]}) does not match the {label} "
            f"in record ({found}). The object might have been {why}",
        )


def _mark(resource: Resource, obj: JSON, deletion: Deletion) -> bool:
    """Write into `obj` that its deletion was asked for; False if that changes nothing."""
    meta = obj["metadata"]
    before = objects.copy(meta)
    grace = _grace(obj, deletion) if resource is kinds.PODS else 0
    if not meta.get("deletionTimestamp") or grace < meta.get("deletionGracePeriodSeconds", 0):
        moment = datetime.now(UTC) + timedelta(seconds=grace)
        meta["deletionTimestamp"] = objects.stamp(moment)
        if resource is not kinds.NAMESPACES:
            meta["deletionGracePeriodSeconds"] = grace
        if not before.get("deletionTimestamp") and meta.get("generation"):
            # Whoever acts on it has something else to do now.
            meta["generation"] += 1
        policy = deletion.propagation or ("Orphan" if resource.orphans else "")
        extra = {"Orphan": rules.ORPHAN, "Foreground": rules.FOREGROUND}.get(policy)
        if extra and extra not in meta.get("finalizers", ()):
            meta.setdefault("finalizers", []).append(extra)
        rules.of(resource).deleting(obj)
    if resource is kinds.NAMESPACES:
        obj["status"]["phase"] = "Terminating"
    return before != meta or written.released(resource, obj)


def _grace(pod: JSON, deletion: Deletion) -> int:
    """How long the pod has to end: none for one that never ran or has ended."""
    if not pod["spec"].get("nodeName") or objects.finished(pod):
        return 0
    grace = deletion.grace
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
    # A grace period below nothing means "at once, but let the node end it first", as Kubernetes.
    return 1 if grace < 0 else int(grace)
