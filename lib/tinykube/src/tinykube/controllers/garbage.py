"""What deletions bring about: owned objects go with their owners, contents with a namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tinykube import kinds, objects, status
from tinykube.control import Loop
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.rules import FOREGROUND, ORPHAN
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
        self._gone = []
        # Of an owner that is not there nobody knows whether it ever was.
        self._suspects = [
            objects.uid(objects.load(row.data))
            for uid in self.store.owners()
            if self.store.by_uid(uid) is None
            for _, row in self.store.dependents(uid)
        ]
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
        if self._gone or self._suspects or self._leaving:
            self.wake()

    def step(self) -> bool:
        """See Loop."""
        gone, self._gone = self._gone[:_BATCH], self._gone[_BATCH:]
        for uid in gone:
            for key, row in self.store.dependents(uid):
                self._check(key, row, uid)
        suspects, self._suspects = self._suspects[:_BATCH], self._suspects[_BATCH:]
        for uid in suspects:
            if (found := self.store.by_uid(uid)) is not None:
                self._check(*found)
        leaving, self._leaving = self._leaving, set()
        for uid in leaving:
            if (found := self.store.by_uid(uid)) is not None:
                self._leave(*found)
        return bool(self._gone or self._suspects)

    def _check(self, key: str, row: Row, gone: str = "") -> None:
        """Delete an object none of whose owners is left; drop the owners that are gone."""
        obj: JSON = objects.load(row.data)
        owners = obj["metadata"].get("ownerReferences") or []
        kept = [
            owner
            for owner in owners
            if owner["uid"] != gone and not self._dangling(owner, row.namespace)
        ]
        if len(kept) == len(owners):
            return
        if kept:
            uids = {owner["uid"] for owner in kept}
            self._disown(key, obj, lambda uid: uid in uids)
        elif not objects.terminating(obj):
            self._delete(key, obj, "Background")

    def _dangling(self, owner: JSON, namespace: str) -> bool:
        """True if a reference surely names nothing: what cannot be told is kept, as elsewhere.

        An owner is a neighbour in the namespace, or the cluster's.
        """
        catalog = self.registry.catalog
        found = self.store.by_uid(owner["uid"])
        if found is None:
            resource = catalog.by_kind(owner["apiVersion"], owner["kind"])
            return resource is not None and (bool(namespace) or not resource.namespaced)
        key, row = found
        resource = catalog.by_key(key)
        if resource is not None and (resource.kind, row.name) != (owner["kind"], owner["name"]):
            return True
        return bool(row.namespace and namespace) and row.namespace != namespace

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
                if self._has_another(dependent, uid, row_.namespace):
                    self._disown(other, dependent, lambda owner: owner != uid)
                elif not objects.terminating(dependent):
                    self._delete(other, dependent, "Foreground")
            for _, row_ in self.store.dependents(uid):
                owners = objects.load(row_.data)["metadata"].get("ownerReferences") or ()
                blocked = blocked or any(
                    owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners
                )
            if not blocked:
                self.registry.remove_finalizer(resource, obj, FOREGROUND)

    def _has_another(self, dependent: JSON, uid: str, namespace: str) -> bool:
        """True if somebody else than `uid` owns a dependent, and is not about to go as well."""
        for owner in dependent["metadata"].get("ownerReferences") or ():
            if owner["uid"] == uid or self._dangling(owner, namespace):
                continue
            found = self.store.by_uid(owner["uid"])
            other = None if found is None else objects.load(found[1].data)
            finalizers = () if other is None else other["metadata"].get("finalizers") or ()
            if other is None or not (objects.terminating(other) and FOREGROUND in finalizers):
                return True
        return False


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
            self._report(namespace, found)
        return False

    def _report(self, namespace: str, resources: Sequence[Resource]) -> None:
        """Say in the namespace's conditions what it waits for."""
        left: Counter[str] = Counter()
        held: Counter[str] = Counter()
        for resource in resources:
            for row in self.store.rows(resource.key, namespace):
                left[f"{resource.plural}.{resource.group}"] += 1
                held.update(objects.load(row.data)["metadata"].get("finalizers") or ())
        conditions = _conditions(left, held)

        def change(current: JSON) -> bool:
            before = objects.dump(current["status"])
            for type_, value, reason, message in conditions:
                objects.set_condition(
                    current["status"], type_, value, reason=reason, message=message
                )
            return objects.dump(current["status"]) != before

        if left:
            self.registry.modify(kinds.NAMESPACES, "", namespace, change)

    def _empty(self, resource: Resource, namespace: str) -> bool:
        """Delete a batch of a resource; True if there may be more to do at once."""
        begun = 0
        for row in self.store.rows(resource.key, namespace):
            if objects.terminating(objects.load(row.data)):
                continue
            try:
                self.registry.delete(
                    resource, namespace, row.name, Deletion(propagation="Background")
                )
            except status.ApiError as error:
                if error.reason != "NotFound":
                    raise
            begun += 1
            if begun == _BATCH:
                return True
        return False


def _conditions(left: Counter[str], held: Counter[str]) -> list[tuple[str, str, str, str]]:
    """Type, status, reason and message of the conditions of a namespace that is being emptied."""

    def listed(counts: Counter[str], word: str) -> str:
        return ", ".join(
            f"{name}{word} {number} resource instances" for name, number in sorted(counts.items())
        )

    found = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            f"Some resources are remaining: {listed(left, ' has')}",
        ),
    ]
    if held:
        message = f"Some content in the namespace has finalizers remaining: {listed(held, ' in')}"
        return [*found, ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message)]
    message = "All content-preserving finalizers finished"
    return [*found, ("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message)]


def _let_go(namespace: JSON) -> bool:
    # Others that empty it have names of their own there.
    before = namespace["spec"].get("finalizers") or []
    after = [name for name in before if name != "kubernetes"]
    namespace["spec"] = {"finalizers": after} if after else {}
    return len(before) != len(after)
