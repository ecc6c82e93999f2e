"""The books of the scheduler: nodes, what is on them and what room is promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinykube import objects, quantity
from tinykube.scheduler.requirements import Labels, PodInfo
from tinykube.scheduler.taints import NO_SCHEDULE, NOT_READY, Taint

PODS = "pods"


@dataclass(slots=True)
class NodeInfo:
    """A node and the pods on it.

    Attributes:
        room: what it offers in all, in thousandths of each resource; `pods` among them.
        used: what its pods take of that.
        averse: those of its pods that keep others away.
    """

    name: str
    labels: Labels = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    room: Mapping[str, int] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    pods: dict[str, PodInfo] = field(default_factory=dict)
    averse: dict[str, PodInfo] = field(default_factory=dict)

    @classmethod
    def read(cls, node: Mapping[str, Any]) -> NodeInfo:
        """A node of the API, without pods."""
        spec, status = node.get("spec") or {}, node.get("status") or {}
        taints = tuple(map(Taint.read, spec.get("taints") or ()))
        ready = any(
            item["type"] == "Ready" and item["status"] == "True"
            for item in status.get("conditions") or ()
        )
        if not ready and not any(taint.key == NOT_READY for taint in taints):
            # The controller of nodes writes this taint a moment later.
            taints = (*taints, Taint(NOT_READY, NO_SCHEDULE))
        offered = status.get("allocatable") or status.get("capacity") or {}
        return cls(
            name=objects.name(node),
            labels=node["metadata"].get("labels") or {},
            taints=taints,
            unschedulable=bool(spec.get("unschedulable")),
            room={name: quantity.milli_of(amount) for name, amount in offered.items()},
        )

    def add(self, pod: PodInfo) -> None:
        """Put a pod on it."""
        if pod.uid not in self.pods:
            self._count(pod, 1)
        self.pods[pod.uid] = pod
        if pod.needs.anti:
            self.averse[pod.uid] = pod

    def remove(self, uid: str) -> None:
        """Take a pod off it."""
        self.averse.pop(uid, None)
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)

    def _count(self, pod: PodInfo, sign: int) -> None:
        for name, amount in pod.needs.demand:
            self.used[name] += sign * amount
        self.used[PODS] += sign * 1000

    def without(self, uids: Iterable[str]) -> NodeInfo:
        """A copy without some of its pods."""
        copy = NodeInfo(
            self.name,
            self.labels,
            self.taints,
            self.unschedulable,
            self.room,
            Counter(self.used),
            dict(self.pods),
            dict(self.averse),
        )
        for uid in uids:
            copy.remove(uid)
        return copy


@dataclass(slots=True)
class Cluster:
    """All nodes, in the order of their names.

    Attributes:
        spaces: the labels of each namespace.
        nominated: pods that wait for room being made on a node, by node.
    """

    nodes: dict[str, NodeInfo] = field(default_factory=dict)
    spaces: Mapping[str, Labels] = field(default_factory=dict)
    nominated: dict[str, dict[str, PodInfo]] = field(default_factory=dict)

    @property
    def averse(self) -> bool:
        """True if any pod keeps others away."""
        return any(node.averse for node in self.nodes.values())

    def promised(self, node: NodeInfo, pod: PodInfo) -> Counter[str]:
        """What of a node waits for others that come before `pod`."""
        total: Counter[str] = Counter()
        for other in self.nominated.get(node.name, {}).values():
            if other.uid != pod.uid and other.needs.priority >= pod.needs.priority:
                total.update(dict(other.needs.demand))
                total[PODS] += 1000
        return total

    def nominate(self, pod: PodInfo) -> None:
        """Note the node that `pod` names, and no other."""
        self.forget(pod.uid)
        if pod.nominated:
            self.nominated.setdefault(pod.nominated, {})[pod.uid] = pod

    def forget(self, uid: str) -> None:
        """No node is being cleared for a pod any more."""
        for name, pods in list(self.nominated.items()):
            pods.pop(uid, None)
            if not pods:
                del self.nominated[name]

    def replaced(self, node: NodeInfo) -> Cluster:
        """A copy in which `node` takes the place of the one of its name."""
        return Cluster({**self.nodes, node.name: node}, self.spaces, self.nominated)
