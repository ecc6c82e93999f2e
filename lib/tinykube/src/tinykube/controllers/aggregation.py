"""Aggregated cluster roles: their rules are those of the roles that their selectors choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinykube import kinds, objects
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.registry import Registry
from tinykube.scheduler.requirements import Selector
from tinykube.store import Change


def aggregate(registry: Registry) -> None:
    """Bring every aggregated role up to date, those that feed others first.

    Raises:
        StorageError: the disk refused it.
    """
    roles = {
        row.name: objects.load(row.data) for row in registry.store.rows(kinds.CLUSTER_ROLES.key)
    }
    aggregated = [name for name, role in roles.items() if role.get("aggregationRule")]
    # Each pass carries rules one role further; a chain is no longer than there are such roles.
    for _ in aggregated:
        changed = False
        for name in aggregated:
            rules = _collected(roles, name)
            if rules != (roles[name].get("rules") or []):
                roles[name]["rules"] = rules
                changed = True
        if not changed:
            break
    for name in aggregated:
        registry.modify(kinds.CLUSTER_ROLES, "", name, _setter(roles[name]["rules"]))


def _setter(rules: list[JSON]) -> Any:
    def change(role: JSON) -> bool:
        altered = (role.get("rules") or []) != rules
        role["rules"] = rules
        return altered

    return change


def _collected(roles: Mapping[str, JSON], name: str) -> list[JSON]:
    found: list[JSON] = []
    for body in roles[name]["aggregationRule"].get("clusterRoleSelectors") or ():
        selector = Selector.read(body)
        for other, role in sorted(roles.items()):
            if other == name or not selector.matches(role["metadata"].get("labels") or {}):
                continue
            found += [rule for rule in role.get("rules") or () if rule not in found]
    return found


class Aggregator(Loop):
    """Keeps aggregated roles up to date."""

    name = "cluster role aggregator"
    concern = (kinds.CLUSTER_ROLES.key,)

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        del changes
        self.wake()

    def step(self) -> bool:
        """See Loop."""
        aggregate(self.registry)
        return False
