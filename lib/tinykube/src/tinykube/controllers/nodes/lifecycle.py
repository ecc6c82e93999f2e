"""The node lifecycle controller: who is not heard of is unknown, and conditions become taints.

A node is heard of when its lease or its status' heartbeat changes, by this process' own clock: a
clock that jumps, or a machine that slept, makes nobody lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tinykube import events, kinds, objects
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.registry import Registry
from tinykube.scheduler.taints import (
    NO_EXECUTE,
    NO_SCHEDULE,
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
)
from tinykube.store import Change

_COMPONENT = "node-controller"
_LEASES = "kube-node-lease"
# Seconds, as the real controller has them by default.
_GRACE, _LOOK = 50.0, 5.0
_TYPES = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OWN = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURE.values()})


def wanted(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The taints, as (key, effect), that a node's state asks for."""
    conditions = {
        item["type"]: item["status"] for item in (node.get("status") or {}).get("conditions") or ()
    }
    found = []
    ready = conditions.get("Ready", "False")
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        found += [(key, NO_SCHEDULE), (key, NO_EXECUTE)]
    found += [
        (key, NO_SCHEDULE) for type_, key in _PRESSURE.items() if conditions.get(type_) == "True"
    ]
    if (node.get("spec") or {}).get("unschedulable"):
        found.append((UNSCHEDULABLE, NO_SCHEDULE))
    return found


def retaint(node: JSON, moment: str) -> bool:
    """Bring the taints of a node in line with its state; True if that changed any."""
    spec: JSON = node.setdefault("spec", {})
    taints: list[JSON] = spec.get("taints") or []
    asked = wanted(node)
    kept = [
        item
        for item in taints
        if item["key"] not in _OWN or (item["key"], item["effect"]) in asked
    ]
    there = {(item["key"], item["effect"]) for item in kept}
    new = [
        {"key": key, "effect": effect, "timeAdded": moment}
        for key, effect in asked
        if (key, effect) not in there
    ]
    if not new and len(kept) == len(taints):
        return False
    spec["taints"] = [*kept, *new]
    if not spec["taints"]:
        del spec["taints"]
    return True


def lose(node: JSON) -> bool:
    """Note that nothing is heard of a node; True if that is news."""
    status: JSON = node.setdefault("status", {})
    states = {item["type"]: item["status"] for item in status.get("conditions") or ()}
    altered = False
    for type_ in _TYPES:
        reason, message = (
            ("NodeStatusUnknown", "Kubelet stopped posting node status.")
            if type_ in states
            else ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
        )
        if states.get(type_) != "Unknown":
            altered |= objects.set_condition(
                status, type_, "Unknown", reason=reason, message=message
            )
    return altered


class NodeLifecycle(Loop):
    """Watches over nodes.

    Args:
        registry: the operations.
        clock: monotonic seconds.
    """

    name = "node lifecycle"
    concern = (kinds.LEASES.key, kinds.NODES.key)

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # What was last heard of each node, and when.
        self._heard: dict[str, tuple[str, str]] = {}
        self._when: dict[str, float] = {}
        self._dirty: dict[str, None] = {}
        self._looked = 0.0
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._heard.clear()
        self._when.clear()
        for row in self.store.rows(kinds.NODES.key):
            self._hear(row.name, status=_heartbeat(objects.load(row.data)))
            self._dirty[row.name] = None
        for row in self.store.rows(kinds.LEASES.key, _LEASES):
            self._hear(row.name, lease=_renewal(objects.load(row.data)))
        self._looked = self._clock()

    def _hear(self, name: str, *, lease: str | None = None, status: str | None = None) -> None:
        before = self._heard.get(name, ("", ""))
        now = (before[0] if lease is None else lease, before[1] if status is None else status)
        if now != before or name not in self._when:
            self._heard[name] = now
            self._when[name] = self._clock()

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.LEASES.key and change.namespace == _LEASES:
                if change.type != "DELETED":
                    self._hear(change.name, lease=_renewal(change.after))
            elif change.resource == kinds.NODES.key:
                if change.type == "DELETED":
                    self._heard.pop(change.name, None)
                    self._when.pop(change.name, None)
                    continue
                self._hear(change.name, status=_heartbeat(change.after))
                self._dirty[change.name] = None
                self.wake()

    def pause(self) -> float | None:
        """See Loop."""
        return max(self._looked + _LOOK - self._clock(), 0.0)

    def step(self) -> bool:
        """See Loop."""
        now = self._clock()
        if now - self._looked >= _LOOK:
            self._looked = now
            for name, moment in self._when.items():
                if now - moment > _GRACE:
                    self._dirty[name] = None
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            self._sync(name, lost=now - self._when.get(name, now) > _GRACE)
        return False

    def _sync(self, name: str, *, lost: bool) -> None:
        news: list[JSON] = []

        def change(node: JSON) -> bool:
            altered = lost and lose(node)
            if altered:
                news.append(node)
            return retaint(node, objects.stamp(datetime.now(UTC))) or altered

        self.registry.modify(kinds.NODES, "", name, change)
        for node in news:
            self._event(node, "Normal", f"Node {name} status is now: NodeNotReady")
            self._unready(name)

    def _unready(self, node: str) -> None:
        """Nobody knows what the pods of a lost node do: none of them counts as ready."""

        def change(pod: JSON) -> bool:
            conditions = pod["status"].get("conditions") or ()
            if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                return False
            return objects.set_condition(pod["status"], "Ready", "False")

        for row in self.store.rows(kinds.PODS.key):
            pod = objects.load(row.data)
            if pod["spec"].get("nodeName") == node and not objects.finished(pod):
                self.registry.modify(kinds.PODS, row.namespace, row.name, change)
                self._event(pod, "Warning", "Node is not ready")

    def _event(self, about: JSON, type_: Any, message: str) -> None:
        events.record(self.registry, about, type_, "NodeNotReady", message, component=_COMPONENT)


def _heartbeat(node: Mapping[str, Any]) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return max((item.get("lastHeartbeatTime") or "" for item in conditions), default="")


def _renewal(lease: Mapping[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("renewTime") or "")
