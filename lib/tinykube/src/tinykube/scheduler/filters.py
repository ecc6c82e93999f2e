"""Why a node will not do for a pod, in Kubernetes' order and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tinykube.scheduler.cluster import PODS, Cluster, NodeInfo
from tinykube.scheduler.requirements import PodInfo, PodTerm, Spread
from tinykube.scheduler.taints import (
    NO_EXECUTE,
    NO_SCHEDULE,
    UNSCHEDULABLE,
    Taint,
    untolerated,
)

_CORDONED = Taint(UNSCHEDULABLE, NO_SCHEDULE)
_KEEPS_OUT = (NO_SCHEDULE, NO_EXECUTE)
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_Domain = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a node will not do; `curable` if it might once lesser pods are gone from it."""

    reasons: Sequence[str]
    curable: bool


@dataclass(frozen=True, slots=True)
class _Spreading:
    """How many pods a spread constraint counts in each domain, and whether the pod is one more."""

    constraint: Spread
    counts: Mapping[str, int]
    one_more: bool

    def skew(self, domain: str) -> int:
        """By how much `domain` would be ahead of the emptiest one with the pod in it."""
        few = len(self.counts) < self.constraint.domains
        least = 0 if few else min(self.counts.values())
        return self.counts.get(domain, 0) + self.one_more - least


class Filter:
    """Judges nodes for one pod; what takes a look at all nodes is looked at once.

    Args:
        cluster: as it is now.
        pod: the one to place.
    """

    def __init__(self, cluster: Cluster, pod: PodInfo) -> None:
        self._cluster = cluster
        self._pod = pod
        self._needs = pod.needs
        self._named = pod.needs.names
        self._spreading = tuple(self._spread(item) for item in self._needs.spread if item.required)
        # The domains of pods that this one wants to be near, of those that it wants to be away
        # from, and of those that want to be away from it.
        terms = self._needs.affinity
        self._near = self._domains(terms, lambda other, _: self._all(terms, other))
        self._away = self._domains(self._needs.anti, lambda other, term: self._one(term, other))
        self._unwelcome = Counter(self._refusals())

    def misfit(self, node: NodeInfo) -> Misfit | None:
        """Why the pod cannot run on a node; None if it can."""
        needs = self._needs
        tolerations = needs.tolerations
        if self._named is not None and node.name not in self._named:
            return Misfit(["node(s) didn't satisfy plugin(s) [NodeAffinity]"], curable=False)
        if node.unschedulable and untolerated([_CORDONED], tolerations, _KEEPS_OUT):
            return Misfit(["node(s) were unschedulable"], curable=False)
        if untolerated(node.taints, tolerations, _KEEPS_OUT):
            return Misfit(["node(s) had untolerated taint(s)"], curable=False)
        if not needs.matches(node.name, node.labels):
            return Misfit(["node(s) didn't match Pod's node affinity/selector"], curable=False)
        return self._lack(node) or self._uneven(node) or self._company(node)

    def _lack(self, node: NodeInfo) -> Misfit | None:
        promised = self._cluster.promised(node, self._pod)
        reasons, curable = [], True
        taken = node.used[PODS] + promised[PODS]
        if taken + 1000 > node.room.get(PODS, 0):
            reasons.append("Too many pods")
        for name, amount in sorted(self._needs.demand, key=_order):
            room = node.room.get(name, 0)
            if amount > room - node.used[name] - promised[name]:
                reasons.append(f"Insufficient {name}")
                curable = curable and amount <= room
        return Misfit(reasons, curable) if reasons else None

    def _uneven(self, node: NodeInfo) -> Misfit | None:
        reason = "node(s) didn't match pod topology spread constraints"
        for item in self._spreading:
            domain = node.labels.get(item.constraint.topology)
            if domain is None:
                return Misfit([f"{reason} (missing required label)"], curable=False)
            if item.skew(domain) > item.constraint.skew:
                return Misfit([reason], curable=True)
        return None

    def _company(self, node: NodeInfo) -> Misfit | None:
        terms = self._needs.affinity
        if terms and not self._welcome(node, terms):
            return Misfit(["node(s) didn't match pod affinity rules"], curable=False)
        if any(self._away[domain] for domain in _domains(node, self._needs.anti)):
            return Misfit(["node(s) didn't match pod anti-affinity rules"], curable=True)
        if self._unwelcome and any(
            self._unwelcome.get((key, value)) for key, value in node.labels.items()
        ):
            reason = "node(s) didn't satisfy existing pods anti-affinity rules"
            return Misfit([reason], curable=True)
        return None

    def _welcome(self, node: NodeInfo, terms: Sequence[PodTerm]) -> bool:
        domains = list(_domains(node, terms))
        if len(domains) < len(terms):
            return False
        if all(self._near[domain] for domain in domains):
            return True
        # The first of a group of pods that want to be near each other may go anywhere.
        return not self._near and self._all(terms, self._pod)

    def _spread(self, item: Spread) -> _Spreading:
        pod, counts = self._pod, Counter[str]()
        keys = [other.topology for other in self._needs.spread if other.required]
        for node in self._cluster.nodes.values():
            if any(key not in node.labels for key in keys):
                continue
            if item.honour_affinity and not self._needs.matches(node.name, node.labels):
                continue
            if item.honour_taints and untolerated(
                node.taints, self._needs.tolerations, _KEEPS_OUT
            ):
                continue
            counts[node.labels[item.topology]] += item.count(pod.namespace, node.pods)
        return _Spreading(item, counts, item.selector.matches(pod.labels))

    def _domains(
        self, terms: Sequence[PodTerm], wanted: Callable[[PodInfo, PodTerm], bool]
    ) -> Counter[_Domain]:
        found: Counter[_Domain] = Counter()
        if not terms:
            return found
        for node in self._cluster.nodes.values():
            for other in node.pods.values():
                for term in terms:
                    if term.topology in node.labels and wanted(other, term):
                        found[term.topology, node.labels[term.topology]] += 1
        return found

    def _refusals(self) -> Iterator[_Domain]:
        for node in self._cluster.nodes.values():
            for other in node.averse.values():
                for term in other.needs.anti:
                    if term.topology in node.labels and self._one(term, self._pod):
                        yield term.topology, node.labels[term.topology]

    def _one(self, term: PodTerm, other: PodInfo) -> bool:
        return term.selects(other, self._cluster.spaces)

    def _all(self, terms: Sequence[PodTerm], other: PodInfo) -> bool:
        return all(self._one(term, other) for term in terms)


def _domains(node: NodeInfo, terms: Sequence[PodTerm]) -> Iterator[_Domain]:
    return (
        (term.topology, node.labels[term.topology])
        for term in terms
        if term.topology in node.labels
    )


def _order(item: tuple[str, int]) -> tuple[int, str]:
    name, _ = item
    return (_STANDARD.index(name) if name in _STANDARD else len(_STANDARD), name)
