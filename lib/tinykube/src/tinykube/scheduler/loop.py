"""The control loop: takes what waits, the most important first, and binds it or says why not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tinykube import events, kinds, objects, podspec
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.scheduler import preemption, requirements, scores
from tinykube.scheduler.cluster import Cluster, NodeInfo
from tinykube.scheduler.filters import Filter, Misfit
from tinykube.scheduler.requirements import PodInfo
from tinykube.store import Change

_BATCH = 50
_COMPONENT = "default-scheduler"
_NO_NODES = "no nodes available to schedule pods"
_NO_HELP = "Preemption is not helpful for scheduling"


def sentence(nodes: int, reasons: Iterable[Sequence[str]]) -> str:
    """Kubernetes' sentence for a pod that fits nowhere; `reasons` are those of each node."""
    counted = Counter(reason for several in reasons for reason in several)
    listed = ", ".join(sorted(f"{number} {reason}" for reason, number in counted.items()))
    return f"0/{nodes} nodes are available: {listed}."


def _owns(pod: PodInfo, claim: JSON) -> bool:
    return podspec.made_for(claim, {"metadata": {"uid": pod.uid}})


class Scheduler(Loop):
    """Keeps what is bound and what waits in memory; both can be read again from the store."""

    name = "scheduler"
    concern = (kinds.PODS.key, kinds.NODES.key, kinds.NAMESPACES.key, kinds.CLAIMS.key)

    def __init__(self, registry: Registry) -> None:
        self._cluster = Cluster()
        # The node of each pod that is bound and not ended, known or not.
        self._bound: dict[str, tuple[str, PodInfo]] = {}
        self._waiting: dict[str, PodInfo] = {}
        self._todo: dict[str, None] = {}
        # What was said of pods that fit nowhere as things stand, by what they ask for.
        self._hopeless: dict[object, str] = {}
        # What each of those that wait was told last.
        self._said: dict[str, str] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._bound.clear()
        self._waiting.clear()
        self._todo.clear()
        self._said.clear()
        self._cluster = Cluster()
        self._load_spaces()
        for row in self.store.rows(kinds.NODES.key):
            self._note_node(row.name, objects.load(row.data))
        pods = [objects.load(row.data) for row in self.store.rows(kinds.PODS.key)]
        pods.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], objects.name(pod)))
        for pod in pods:
            self._note(pod, gone=False)
        self._retry_all()

    def _load_spaces(self) -> None:
        self._cluster.spaces = {
            row.name: objects.load(row.data)["metadata"].get("labels") or {}
            for row in self.store.rows(kinds.NAMESPACES.key)
        }

    def _retry_all(self) -> None:
        self._hopeless.clear()
        order = sorted(self._waiting.values(), key=_turn)
        self._todo = dict.fromkeys(pod.uid for pod in order if not pod.gated)
        self.wake()

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        eased = False
        for change in changes:
            if change.resource == kinds.PODS.key:
                eased |= self._note(change.after, gone=change.type == "DELETED")
            elif change.resource == kinds.NODES.key:
                gone = change.type == "DELETED"
                eased |= self._note_node(change.name, None if gone else change.after)
            elif change.resource == kinds.NAMESPACES.key:
                self._load_spaces()
            elif change.resource == kinds.CLAIMS.key:
                eased |= any(change.name in pod.claims for pod in self._waiting.values())
        if eased:
            self._retry_all()
        elif self._todo:
            self.wake()

    def _note_node(self, name: str, body: JSON | None) -> bool:
        """Keep the books of a node; True if anything that matters changed."""
        before = self._cluster.nodes.pop(name, None)
        if body is None:
            return before is not None
        node = NodeInfo.read(body)
        if before is not None:
            here = list(before.pods.values())
        else:
            here = [pod for place, pod in self._bound.values() if place == name]
        for pod in here:
            node.add(pod)
        self._cluster.nodes = dict(sorted({**self._cluster.nodes, name: node}.items()))
        return node != before

    def _note(self, body: JSON, *, gone: bool) -> bool:
        """Keep the books of a pod; True if those that wait should be tried again."""
        uid, place = objects.uid(body), body["spec"].get("nodeName", "")
        ended = gone or objects.finished(body)
        if ended or place:
            self._forget(uid)
        if ended:
            name, _ = self._bound.pop(uid, ("", None))
            if name in self._cluster.nodes:
                self._cluster.nodes[name].remove(uid)
            return bool(name)
        if place:
            self._note_bound(body, place)
            return False
        pod = requirements.read(body)
        if pod.terminating:
            self._forget(uid)
            return False
        before = self._waiting.get(uid)
        self._waiting[uid] = pod
        self._cluster.nominate(pod)
        if not pod.gated and before != pod:
            self._todo[uid] = None
            self._sort()
        return False

    def _forget(self, uid: str) -> None:
        self._waiting.pop(uid, None)
        self._todo.pop(uid, None)
        self._said.pop(uid, None)
        self._cluster.forget(uid)

    def _note_bound(self, body: JSON, place: str) -> None:
        uid = objects.uid(body)
        _, before = self._bound.get(uid, ("", None))
        labels = body["metadata"].get("labels") or {}
        if (
            before is not None
            and before.labels == labels
            and before.terminating == objects.terminating(body)
            and before.started
        ):
            # Most changes are those of its status.
            return
        pod = requirements.read(body)
        self._bound[uid] = (place, pod)
        if place in self._cluster.nodes:
            self._cluster.nodes[place].remove(uid)
            self._cluster.nodes[place].add(pod)
        if before is None or before.labels != labels:
            # It may draw those near that want to be, or even out what must be even.
            for other in self._waiting.values():
                if other.social and not other.gated:
                    self._hopeless.pop(self._key(other), None)
                    self._todo[other.uid] = None

    def _sort(self) -> None:
        """Put what is to do in order; most of the time the newest is the last anyhow."""
        if len(self._todo) > 1:
            *_, second, last = self._todo
            if _turn(self._waiting[second]) > _turn(self._waiting[last]):
                self._todo = dict.fromkeys(
                    sorted(self._todo, key=lambda uid: _turn(self._waiting[uid]))
                )

    def step(self) -> bool:
        """See Loop."""
        for uid in list(itertools.islice(self._todo, _BATCH)):
            self._todo.pop(uid, None)
            if (pod := self._waiting.get(uid)) is not None:
                self._place(pod)
        return bool(self._todo)

    def _key(self, pod: PodInfo) -> object:
        return pod.key(labelled=self._cluster.averse)

    def _place(self, pod: PodInfo) -> None:
        if not self._cluster.nodes:
            self._leave(pod, _NO_NODES)
            return
        if why := self._unclaimed(pod):
            number = len(self._cluster.nodes)
            unhelpful = sentence(number, [[_NO_HELP]] * number)
            message = f"0/{number} nodes are available: {why}. preemption: {unhelpful}"
            if self._said.get(pod.uid) != message:
                self._leave(pod, message)
            return
        if (known := self._hopeless.get(self._key(pod))) is not None:
            if self._said.get(pod.uid) != known:
                self._leave(pod, known)
            return
        judge = Filter(self._cluster, pod)
        misfits: dict[str, Misfit] = {}
        fitting: list[NodeInfo] = []
        for node in self._cluster.nodes.values():
            misfit = judge.misfit(node)
            if misfit is None:
                fitting.append(node)
            else:
                misfits[node.name] = misfit
        if fitting:
            # The node that was cleared for it comes first.
            mine = [node for node in fitting if node.name == pod.nominated]
            self._bind(pod, scores.best(self._cluster, pod, mine or fitting).name)
        else:
            self._fail(pod, misfits)

    def _unclaimed(self, pod: PodInfo) -> str:
        """Why what a pod claims is not there for it on any node; "" if it is."""
        for name in pod.claims:
            said = f'persistentvolumeclaim "{name}"'
            claim = self.store.load(kinds.CLAIMS.key, pod.namespace, name)
            if claim is None and name in pod.own_claims:
                return (
                    "waiting for ephemeral volume controller to create the "
                    f'persistentvolumeclaim "{name}"'
                )
            if claim is None:
                return f"{said} not found"
            if name in pod.own_claims and not _owns(pod, claim):
                return f'PVC "{pod.namespace}/{name}" was not created for pod "{pod.name}"'
            if objects.terminating(claim):
                return f"{said} is being deleted"
            volume, phase = claim["spec"].get("volumeName"), claim["status"].get("phase")
            if phase == "Lost":
                return f'{said} bound to non-existent persistentvolume "{volume}"'
            if phase != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def _fail(self, pod: PodInfo, misfits: Mapping[str, Misfit]) -> None:
        number = len(self._cluster.nodes)
        text = sentence(number, (misfit.reasons for misfit in misfits.values()))
        if why := preemption.ineligible(self._cluster, pod, misfits):
            self._leave(pod, f"{text} preemption: {why}", nominated=pod.nominated)
            return
        candidate, reasons = preemption.find(self._cluster, pod, misfits)
        if candidate is None:
            message = f"{text} preemption: {sentence(number, reasons.values())}"
            self._hopeless[self._key(pod)] = message
            self._leave(pod, message)
            return
        message = (
            f"{text} preemption: found a potential placement for pod on node {candidate.node}, "
            f"preempting {len(candidate.victims)} victims"
        )
        self._leave(pod, message, nominated=candidate.node)
        for victim in candidate.victims:
            self._preempt(victim, pod, candidate.node)

    def _preempt(self, victim: PodInfo, pod: PodInfo, node: str) -> None:
        def mark(current: JSON) -> bool:
            return objects.set_condition(
                current["status"],
                "DisruptionTarget",
                "True",
                reason="PreemptionByScheduler",
                message=f"{_COMPONENT}: preempting to accommodate a higher priority pod",
            )

        place = (kinds.PODS, victim.namespace, victim.name)
        found = self.store.load(kinds.PODS.key, victim.namespace, victim.name)
        if found is None or objects.uid(found) != victim.uid or objects.terminating(found):
            return
        self.registry.modify(*place, mark, uid=victim.uid)
        self.registry.delete(*place, Deletion(uid=victim.uid))
        self._event(found, "Normal", "Preempted", f"Preempted by pod {pod.uid} on node {node}")

    def _bind(self, pod: PodInfo, node: str) -> None:
        bound: list[JSON] = []

        def change(current: JSON) -> bool:
            if current["spec"].get("nodeName") or objects.terminating(current):
                return False
            current["spec"]["nodeName"] = node
            current["status"].pop("nominatedNodeName", None)
            objects.set_condition(current["status"], "PodScheduled", "True")
            bound.append(current)
            return True

        # The commit reports back through `changed`, which books the room before the next pod.
        with self.store.write():
            self.registry.modify(kinds.PODS, pod.namespace, pod.name, change, uid=pod.uid)
            if not bound:
                return
            message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
            self._event(bound[0], "Normal", "Scheduled", message)

    def _leave(self, pod: PodInfo, message: str, nominated: str = "") -> None:
        left: list[JSON] = []

        def change(current: JSON) -> bool:
            altered = objects.set_condition(
                current["status"],
                "PodScheduled",
                "False",
                reason="Unschedulable",
                message=message,
            )
            if (current["status"].get("nominatedNodeName") or "") != nominated:
                current["status"]["nominatedNodeName"] = nominated
                if not nominated:
                    del current["status"]["nominatedNodeName"]
                altered = True
            if altered:
                left.append(current)
            return altered

        if self.registry.modify(kinds.PODS, pod.namespace, pod.name, change, uid=pod.uid):
            self._said[pod.uid] = message
        if left:
            self._event(left[0], "Warning", "FailedScheduling", message)

    def _event(self, pod: JSON, type_: Any, reason: str, message: str) -> None:
        events.record(self.registry, pod, type_, reason, message, component=_COMPONENT)


def _turn(pod: PodInfo) -> tuple[int, str]:
    """When a pod's turn comes: by priority, then by age, then as they arrived."""
    return (-pod.needs.priority, pod.created)
