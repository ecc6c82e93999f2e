"""How a changed object is stored, and what a write gives back."""

from __future__ import annotations

from dataclasses import dataclass

from tinykube import kinds, objects
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.store import Store, Transaction


@dataclass(frozen=True, slots=True)
class Written:
    """The object after a write.

    Attributes:
        data: its JSON.
        created: True if it was not there before.
        gone: True if a deletion took it out of the store at once.
    """

    data: str
    created: bool = False
    gone: bool = False


def write(store: Store, resource: Resource, new: JSON, previous: str) -> Written:
    """Store a changed object in a transaction of its own; see `keep`."""
    with store.write() as transaction:
        return keep(transaction, resource, new, previous)


def keep(
    transaction: Transaction,
    resource: Resource,
    new: JSON,
    previous: str,
    before: JSON | None = None,
) -> Written:
    """Store a changed object; one whose deletion waited for this is removed.

    `before` is what `previous` says, if that was read already and stays as it is.
    """
    if not released(resource, new):
        data = transaction.replace(resource.key, resource.stored(new), previous, before)
        return Written(resource.shown(data))
    # What is removed is the state that the store has; the change that released it is not kept.
    last: JSON = objects.load(resource.shown(previous))
    version = last["metadata"]["resourceVersion"]
    transaction.remove(resource.key, resource.stored(last), previous)
    new["metadata"]["resourceVersion"] = version
    return Written(objects.dump(new), gone=True)


def released(resource: Resource, obj: JSON) -> bool:
    """True if nothing keeps a deleted object any longer."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if resource is kinds.NAMESPACES and obj["spec"].get("finalizers"):
        return False
    return not meta.get("deletionGracePeriodSeconds")
