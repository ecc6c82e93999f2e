"""The scheduler: binds pods to the node they fit on, in the order they were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinykube import events, kinds, objects, podspec, quantity
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.registry import Registry
from tinykube.store import Change

_BATCH = 50
_COMPONENT = "default-scheduler"


@dataclass(slots=True)
class NodeRoom:
    """A node and what is left of it, in thousandths of each resource."""

    name: str
    labels: Mapping[str, str]
    free: Counter[str]
    ready: bool
    cordoned: bool

    def misfit(self, pod: Waiting) -> list[str]:
        """Why the pod cannot run here, in Kubernetes' words; nothing if it can."""
        if not self.ready:
            return ["node(s) had untolerated taint(s)"]
        if self.cordoned:
            return ["node(s) were unschedulable"]
        if any(self.labels.get(key) != value for key, value in pod.selector.items()):
            return ["node(s) didn't match Pod's node affinity/selector"]
        lacking = []
        if self.free["pods"] < 1000:
            lacking.append("Too many pods")
        lacking += [
            f"Insufficient {name}"
            for name, amount in pod.demand.items()
            if amount > 0 and amount > self.free[name]
        ]
        return lacking

    def take(self, demand: Mapping[str, int], sign: int = 1) -> None:
        """Give room to a pod, or take it back with sign -1."""
        for name, amount in demand.items():
            self.free[name] -= sign * amount
        self.free["pods"] -= sign * 1000


@dataclass(slots=True)
class Waiting:
    """A pod that has no node."""

    uid: str
    namespace: str
    name: str
    created: str
    demand: dict[str, int]
    selector: Mapping[str, str] = field(default_factory=dict)


def _demand(pod: Mapping[str, Any]) -> dict[str, int]:
    return {
        name: -(-(amount * 1000).numerator // (amount * 1000).denominator)
        for name, amount in podspec.demand(pod).items()
    }


def room(node: Mapping[str, Any]) -> NodeRoom:
    """A node's room before any pod."""
    status = node.get("status") or {}
    allocatable = status.get("allocatable") or status.get("capacity") or {}
    conditions = status.get("conditions") or ()
    return NodeRoom(
        name=objects.name(node),
        labels=node["metadata"].get("labels") or {},
        free=Counter({name: quantity.milli_of(amount) for name, amount in allocatable.items()}),
        ready=any(item["type"] == "Ready" and item["status"] == "True" for item in conditions),
        cordoned=bool((node.get("spec") or {}).get("unschedulable")),
    )


def unschedulable(reasons: Counter[str], nodes: int) -> str:
    """Kubernetes' sentence for a pod that fits nowhere."""
    if not nodes:
        return "no nodes available to schedule pods"
    listed = ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))
    return f"0/{nodes} nodes are available: {listed}."


class Scheduler(Loop):
    """Keeps what is bound and what waits in memory; both can be read again from the store."""

    name = "scheduler"

    def __init__(self, registry: Registry) -> None:
        self._bound: dict[str, tuple[str, dict[str, int]]] = {}
        self._waiting: dict[str, Waiting] = {}
        self._nodes: dict[str, NodeRoom] = {}
        self._todo: dict[str, None] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._bound.clear()
        self._waiting.clear()
        self._load_nodes()
        found = [objects.load(row.data) for row in self.store.rows(kinds.PODS.key)]
        found.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], objects.name(pod)))
        for pod in found:
            self._note(pod, gone=False)
        self._retry_all()

    def _load_nodes(self) -> None:
        rows = self.store.rows(kinds.NODES.key)
        self._nodes = {row.name: room(objects.load(row.data)) for row in rows}
        for name, demand in self._bound.values():
            if name in self._nodes:
                self._nodes[name].take(demand)

    def _retry_all(self) -> None:
        self._todo = dict.fromkeys(self._waiting)
        self.wake()

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        freed = False
        for change in changes:
            if change.resource == kinds.PODS.key:
                freed |= self._note(change.after, gone=change.type == "DELETED")
            elif change.resource == kinds.NODES.key:
                self._load_nodes()
                freed = True
        if freed:
            self._retry_all()
        elif self._todo:
            self.wake()

    def _note(self, pod: JSON, *, gone: bool) -> bool:
        """Keep the books; True if room came free."""
        uid, node = objects.uid(pod), pod["spec"].get("nodeName", "")
        ended = gone or objects.finished(pod)
        if ended or node:
            self._waiting.pop(uid, None)
            self._todo.pop(uid, None)
        if ended:
            name, demand = self._bound.pop(uid, ("", {}))
            if name in self._nodes:
                self._nodes[name].take(demand, -1)
            return bool(name)
        if node:
            if uid not in self._bound:
                self._bound[uid] = (node, _demand(pod))
                if node in self._nodes:
                    self._nodes[node].take(self._bound[uid][1])
        elif uid not in self._waiting and not objects.terminating(pod):
            self._waiting[uid] = Waiting(
                uid=uid,
                namespace=objects.namespace(pod),
                name=objects.name(pod),
                created=pod["metadata"]["creationTimestamp"],
                demand=_demand(pod),
                selector=pod["spec"].get("nodeSelector") or {},
            )
            self._todo[uid] = None
        return False

    def step(self) -> bool:
        """See Loop."""
        for uid in list(self._todo)[:_BATCH]:
            self._todo.pop(uid, None)
            if (pod := self._waiting.get(uid)) is not None:
                self._place(pod)
        return bool(self._todo)

    def _place(self, pod: Waiting) -> None:
        reasons: Counter[str] = Counter()
        for node in self._nodes.values():
            lacking = node.misfit(pod)
            if not lacking:
                self._bind(pod, node.name)
                return
            reasons.update(lacking)
        self._leave(pod, unschedulable(reasons, len(self._nodes)))

    def _bind(self, pod: Waiting, node: str) -> None:
        bound: list[JSON] = []

        def change(current: JSON) -> bool:
            if current["spec"].get("nodeName") or objects.terminating(current):
                return False
            current["spec"]["nodeName"] = node
            objects.set_condition(current["status"], "PodScheduled", "True")
            bound.append(current)
            return True

        # The commit reports back through `changed`, which books the room before the next pod.
        self.registry.modify(kinds.PODS, pod.namespace, pod.name, change, uid=pod.uid)
        if bound:
            message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
            self._event(bound[0], "Normal", "Scheduled", message)

    def _leave(self, pod: Waiting, message: str) -> None:
        left: list[JSON] = []

        def change(current: JSON) -> bool:
            altered = objects.set_condition(
                current["status"],
                "PodScheduled",
                "False",
                reason="Unschedulable",
                message=message,
            )
            if altered:
                left.append(current)
            return altered

        self.registry.modify(kinds.PODS, pod.namespace, pod.name, change, uid=pod.uid)
        if left:
            self._event(left[0], "Warning", "FailedScheduling", message)

    def _event(self, pod: JSON, type_: Any, reason: str, message: str) -> None:
        events.record(self.registry, pod, type_, reason, message, component=_COMPONENT)
