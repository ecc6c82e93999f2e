"""What deletions bring about: owned objects go with their owners, contents with a namespace."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinykube import kinds, objects, status
from tinykube.control import Loop
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.registry import FOREGROUND, ORPHAN, Deletion, Registry
from tinykube.store import Change, Row

_BATCH = 100


class Collector(Loop):
    """Deletes objects whose owners are all gone, and serves the deletion policies."""

    name = "garbage collector"

    def __init__(self, registry: Registry) -> None:
        self._gone: list[str] = []
        self._suspects: list[str] = []
        self._leaving: set[str] = set()
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._gone = [uid for uid in self.store.owners() if self.store.by_uid(uid) is None]
        self._suspects = []
        self._leaving = {
            objects.uid(obj)
            for resource in self.registry.catalog.stored()
            for row in self.store.rows(resource.key)
            if (ORPHAN in row.data or FOREGROUND in row.data)
            and objects.terminating(obj := objects.load(row.data))
        }

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            owned = '"ownerReferences":[' in change.data
            if change.type == "DELETED":
                self._gone.append(objects.uid(change.after))
                if owned:
                    owners = change.after["metadata"]["ownerReferences"]
                    self._leaving.update(owner["uid"] for owner in owners)
            elif owned:
                self._suspects.append(objects.uid(change.after))
            if change.type == "MODIFIED" and (ORPHAN in change.data or FOREGROUND in change.data):
                self._leaving.add(objects.uid(change.after))
            self.wake()

    def step(self) -> bool:
        """See Loop."""
        gone, self._gone = self._gone[:_BATCH], self._gone[_BATCH:]
        for uid in gone:
            for key, row in self.store.dependents(uid):
                self._check(key, row)
        suspects, self._suspects = self._suspects[:_BATCH], self._suspects[_BATCH:]
        for uid in suspects:
            if (found := self.store.by_uid(uid)) is not None:
                self._check(*found)
        leaving, self._leaving = self._leaving, set()
        for uid in leaving:
            if (found := self.store.by_uid(uid)) is not None:
                self._leave(*found)
        return bool(self._gone or self._suspects)

    def _check(self, key: str, row: Row) -> None:
        """Delete an object none of whose owners is left; drop the owners that are gone."""
        obj: JSON = objects.load(row.data)
        owners = obj["metadata"].get("ownerReferences") or []
        alive = [owner for owner in owners if self._exists(owner, row.namespace)]
        if len(alive) == len(owners):
            return
        if alive:
            kept = {owner["uid"] for owner in alive}
            self._disown(key, obj, lambda uid: uid in kept)
        elif not objects.terminating(obj):
            self._delete(key, obj, "Background")

    def _exists(self, owner: JSON, namespace: str) -> bool:
        found = self.store.by_uid(owner["uid"])
        # An owner is a neighbour in the namespace, or the cluster's.
        return found is not None and found[1].namespace in ("", namespace)

    def _disown(self, key: str, obj: JSON, keep: Callable[[str], bool]) -> None:
        def change(current: JSON) -> bool:
            owners = current["metadata"].get("ownerReferences") or []
            kept = [owner for owner in owners if keep(owner["uid"])]
            if kept:
                current["metadata"]["ownerReferences"] = kept
            else:
                current["metadata"].pop("ownerReferences", None)
            return kept != owners

        resource = self.registry.catalog.by_key(key)
        if resource is not None:
            self.registry.modify(
                resource, objects.namespace(obj), objects.name(obj), change, uid=objects.uid(obj)
            )

    def _delete(self, key: str, obj: JSON, propagation: str) -> None:
        resource = self.registry.catalog.by_key(key)
        if resource is None:
            return
        deletion = Deletion(propagation=propagation, uid=objects.uid(obj))
        try:
            self.registry.delete(resource, objects.namespace(obj), objects.name(obj), deletion)
        except status.ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    def _leave(self, key: str, row: Row) -> None:
        """Serve the policy that the deletion of an owner asked for."""
        obj: JSON = objects.load(row.data)
        finalizers = obj["metadata"].get("finalizers") or ()
        uid, resource = objects.uid(obj), self.registry.catalog.by_key(key)
        if resource is None or not objects.terminating(obj):
            return
        if ORPHAN in finalizers:
            for other, dependent in self.store.dependents(uid):
                self._disown(other, objects.load(dependent.data), lambda owner: owner != uid)
            self.registry.remove_finalizer(resource, obj, ORPHAN)
        elif FOREGROUND in finalizers:
            blocked = False
            for other, row_ in self.store.dependents(uid):
                dependent = objects.load(row_.data)
                if not objects.terminating(dependent):
                    self._delete(other, dependent, "Foreground")
            for _, row_ in self.store.dependents(uid):
                owners = objects.load(row_.data)["metadata"].get("ownerReferences") or ()
                blocked = blocked or any(
                    owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners
                )
            if not blocked:
                self.registry.remove_finalizer(resource, obj, FOREGROUND)


class NamespaceCleaner(Loop):
    """Empties namespaces that are being deleted, then lets them go."""

    name = "namespaces"

    def __init__(self, registry: Registry) -> None:
        self._leaving: set[str] = set()
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._leaving = {
            row.name
            for row in self.store.rows(kinds.NAMESPACES.key)
            if objects.terminating(objects.load(row.data))
        }

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.NAMESPACES.key:
                if change.type == "DELETED":
                    self._leaving.discard(change.name)
                elif objects.terminating(change.after):
                    self._leaving.add(change.name)
                    self.wake()
            elif change.type == "DELETED" and change.namespace in self._leaving:
                self.wake()

    def step(self) -> bool:
        """See Loop."""
        for namespace in sorted(self._leaving):
            catalog = self.registry.catalog
            found = [
                resource
                for key in self.store.resources_in(namespace)
                if (resource := catalog.by_key(key)) is not None
            ]
            if not found:
                self.registry.modify(kinds.NAMESPACES, "", namespace, _let_go)
                continue
            for resource in found:
                if self._empty(resource, namespace):
                    return True
        return False

    def _empty(self, resource: Resource, namespace: str) -> bool:
        """Delete a batch of a resource; True if there may be more to do at once."""
        begun = 0
        for row in self.store.rows(resource.key, namespace):
            if objects.terminating(objects.load(row.data)):
                continue
            try:
                self.registry.delete(resource, namespace, row.name, Deletion())
            except status.ApiError as error:
                if error.reason != "NotFound":
                    raise
            begun += 1
            if begun == _BATCH:
                return True
        return False


def _let_go(namespace: JSON) -> bool:
    namespace["spec"]["finalizers"] = []
    return True
