"""What each quota's objects take together, kept up with every commit.

Nothing is written down: a tally is reckoned from the objects when it is first asked for, and from
each change afterwards, so that a creation costs the same in a full namespace as in an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tinykube import kinds, objects
from tinykube.admission.quotas import charges, counts, scoped
from tinykube.catalog import Catalog
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.store import Change, Store

# Of these more than being there may count.
LIVELY = (kinds.PODS, kinds.CLAIMS, kinds.SERVICES)


class Tally:
    """What the objects of a quota's namespace take of each thing that the quota limits."""

    def __init__(self, quota: JSON) -> None:
        self.spec: JSON = quota["spec"]
        self._quota = quota
        self._hard: Mapping[str, Any] = self.spec.get("hard") or {}
        self.total: dict[str, Fraction] = {}

    def concerns(self, resource: Resource) -> bool:
        """True if objects of this resource may take any of it."""
        if resource in LIVELY:
            return True
        return not self._hard.keys().isdisjoint(counts(resource))

    def add(self, resource: Resource, obj: JSON | None, sign: int = 1) -> None:
        """Put an object in, or take it out by the sign -1; None is no object."""
        if obj is None or not scoped(self._quota, resource, obj):
            return
        for name, amount in charges(resource, obj).items():
            if name in self._hard:
                self.total[name] = self.total.get(name, Fraction(0)) + sign * amount


class Tallies:
    """The tallies that somebody has asked for.

    Args:
        store: the objects.
        catalog: the resources.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        # By namespace and the quota's name.
        self._known: dict[str, dict[str, Tally]] = {}
        store.listen(self._changed)

    def of(self, quota: JSON) -> Mapping[str, Fraction]:
        """What is taken now of each thing that a stored quota limits, if there is any."""
        known = self._known.setdefault(objects.namespace(quota), {})
        tally = known.get(objects.name(quota))
        if tally is None or tally.spec != quota["spec"]:
            tally = known[objects.name(quota)] = self._reckon(quota)
        return tally.total

    def _reckon(self, quota: JSON) -> Tally:
        tally, namespace = Tally(quota), objects.namespace(quota)
        for key in self._store.resources_in(namespace):
            resource = self._catalog.by_key(key)
            if resource is None or resource is kinds.EVENTS:
                continue
            if tally.concerns(resource):
                for row in self._store.rows(key, namespace):
                    tally.add(resource, objects.load(row.data))
        return tally

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            known = self._known.get(change.namespace)
            if not known:
                continue
            if change.resource == kinds.QUOTAS.key and change.type == "DELETED":
                known.pop(change.name, None)
            resource = self._catalog.by_key(change.resource)
            if resource is None:
                # Its definition went before its objects: all is reckoned anew.
                known.clear()
            elif resource is not kinds.EVENTS and (
                change.type != "MODIFIED" or resource in LIVELY
            ):
                self._apply(resource, change, known.values())

    @staticmethod
    def _apply(resource: Resource, change: Change, known: Iterable[Tally]) -> None:
        for tally in known:
            if tally.concerns(resource):
                tally.add(resource, change.before, -1)
                if change.type != "DELETED":
                    tally.add(resource, change.after)
