"""Changes on behalf of the control plane itself: no rules apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinykube import fieldsets, objects
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.store import Store
from tinykube.verbs import written

# A resource, a namespace (or empty), a name, what changes the object, and its uid (or empty).
Modification = tuple[Resource, str, str, Callable[[JSON], bool], str]


def modify(store: Store, wanted: Sequence[Modification]) -> int:
    """Change several objects, all of them in one write or none; how many of them there are."""
    found, writes = 0, []
    for resource, namespace, name, change, uid in wanted:
        previous = store.get(resource.key, namespace, name)
        if previous is None:
            continue
        obj: JSON = objects.load(previous)
        if uid and objects.uid(obj) != uid:
            continue
        found += 1
        if change(obj):
            before = store.recall(resource.key, namespace, name, previous)
            _record(resource, obj, before)
            writes.append((resource, obj, previous, before))
    if writes:
        with store.write() as transaction:
            for resource, obj, previous, before in writes:
                written.keep(transaction, resource, obj, previous, before)
    return found


def without_finalizer(name: str) -> Callable[[JSON], bool]:
    """A change that takes a finalizer off an object."""

    def change(current: JSON) -> bool:
        finalizers = current["metadata"].get("finalizers") or []
        if name not in finalizers:
            return False
        finalizers.remove(name)
        if not finalizers:
            del current["metadata"]["finalizers"]
        return True

    return change


def _record(resource: Resource, new: JSON, old: JSON) -> None:
    """Write down that the control plane itself changed an object, or its status alone."""
    entries = new["metadata"].get("managedFields")
    if not entries:
        return
    alone = resource.status and all(
        new.get(key) == old.get(key) for key in {*new, *old} if key != "status"
    )
    new["metadata"]["managedFields"] = fieldsets.updated(
        new,
        old,
        entries,
        resource.shape,
        "tinykube",
        "status" if alone else "",
        custom=not resource.typed,
    )
