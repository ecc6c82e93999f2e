"""What a pod asks of the node it is to run on, read from its spec once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinykube import objects, podspec
from tinykube.scheduler.taints import Toleration
from tinykube.selectors import Requirement

_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "absent",
    "Gt": "gt",
    "Lt": "lt",
}
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector; None as its requirements selects nothing, no requirement everything."""

    requirements: tuple[Requirement, ...] | None

    @classmethod
    def read(cls, body: Mapping[str, Any] | None) -> Selector:
        """A `metav1.LabelSelector`."""
        if body is None:
            return cls(None)
        same = [
            Requirement(key, "in", frozenset([value]))
            for key, value in (body.get("matchLabels") or {}).items()
        ]
        return cls((*same, *map(_requirement, body.get("matchExpressions") or ())))

    def matches(self, labels: Labels) -> bool:
        """True if it selects an object of these labels."""
        return self.requirements is not None and all(
            item.matches(labels) for item in self.requirements
        )

    def narrowed(self, keys: Iterable[str], labels: Labels, *, same: bool = True) -> Selector:
        """This selector and, for each key that `labels` has, its value (or any other one)."""
        if self.requirements is None:
            return self
        more = (
            Requirement(key, "in" if same else "notin", frozenset([labels[key]]))
            for key in keys
            if key in labels
        )
        return Selector((*self.requirements, *more))


def _requirement(body: Mapping[str, Any]) -> Requirement:
    operator = _OPERATORS[body["operator"]]
    return Requirement(body["key"], operator, frozenset(body.get("values") or ()))


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term of a node selector: all that it says must be met; an empty one is never met."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> NodeTerm:
        """A `NodeSelectorTerm`."""
        return cls(
            tuple(map(_requirement, body.get("matchExpressions") or ())),
            tuple(map(_requirement, body.get("matchFields") or ())),
        )

    def matches(self, name: str, labels: Labels) -> bool:
        """True if a node of this name and these labels meets it."""
        if not (self.labels or self.fields):
            return False
        return all(_meets(item, labels) for item in self.labels) and all(
            item.matches({"metadata.name": name}) for item in self.fields
        )

    @property
    def names(self) -> frozenset[str] | None:
        """The only nodes that can meet it, by `metadata.name In`; None where it names none."""
        found: frozenset[str] | None = None
        for item in self.fields:
            if item.key == "metadata.name" and item.operator == "in":
                found = item.values if found is None else found & item.values
        return found


def _meets(item: Requirement, labels: Labels) -> bool:
    if item.operator in ("gt", "lt"):
        # Kubernetes takes any text as the bound of an affinity, and never meets one that is no
        # number.
        (bound,) = item.values
        if not bound.lstrip("-").isdecimal():
            return False
    return item.matches(labels)


@dataclass(frozen=True, slots=True)
class PodTerm:
    """One term of an affinity between pods.

    Attributes:
        namespaces: those it looks at.
        spaces: selects more of them by their labels.
        topology: the label of nodes that have the same value within one domain.
        weight: of a preferred one.
    """

    selector: Selector
    namespaces: frozenset[str]
    spaces: Selector
    topology: str
    weight: int = 0

    @classmethod
    def read(
        cls, body: Mapping[str, Any], namespace: str, labels: Labels, weight: int = 0
    ) -> PodTerm:
        """A `PodAffinityTerm` of a pod in `namespace` with `labels`."""
        selector = Selector.read(body.get("labelSelector"))
        selector = selector.narrowed(body.get("matchLabelKeys") or (), labels)
        selector = selector.narrowed(body.get("mismatchLabelKeys") or (), labels, same=False)
        named = frozenset(body.get("namespaces") or ())
        chosen = body.get("namespaceSelector")
        if not named and chosen is None:
            named = frozenset([namespace])
        return cls(selector, named, Selector.read(chosen), body["topologyKey"], weight)

    def selects(self, pod: PodInfo, spaces: Mapping[str, Labels]) -> bool:
        """True if it is about `pod`; `spaces` are the labels of namespaces."""
        inside = pod.namespace in self.namespaces or self.spaces.matches(
            spaces.get(pod.namespace, {})
        )
        return inside and self.selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread constraint; see `TopologySpreadConstraint`."""

    topology: str
    skew: int
    selector: Selector
    required: bool
    domains: int = 1
    honour_affinity: bool = True
    honour_taints: bool = False

    @classmethod
    def read(cls, body: Mapping[str, Any], labels: Labels) -> Spread:
        """A constraint of a pod with `labels`."""
        selector = Selector.read(body.get("labelSelector"))
        return cls(
            body["topologyKey"],
            body["maxSkew"],
            selector.narrowed(body.get("matchLabelKeys") or (), labels),
            body["whenUnsatisfiable"] == "DoNotSchedule",
            body.get("minDomains") or 1,
            body.get("nodeAffinityPolicy", "Honor") == "Honor",
            body.get("nodeTaintsPolicy", "Ignore") == "Honor",
        )

    def count(self, namespace: str, pods: Mapping[str, PodInfo]) -> int:
        """How many of these pods, by uid, it counts for a pod of `namespace`."""
        return sum(
            pod.namespace == namespace
            and not pod.terminating
            and self.selector.matches(pod.labels)
            for pod in pods.values()
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod asks for: pods of equal needs fit on the same nodes.

    Attributes:
        demand: thousandths of each resource.
        node: the terms of its required node affinity, None without one.
        preferred: weighted terms of its preferred node affinity.
    """

    priority: int = 0
    preempts: bool = True
    demand: tuple[tuple[str, int], ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    node: tuple[NodeTerm, ...] | None = None
    preferred: tuple[tuple[int, NodeTerm], ...] = ()
    affinity: tuple[PodTerm, ...] = ()
    anti: tuple[PodTerm, ...] = ()
    likes: tuple[PodTerm, ...] = ()
    dislikes: tuple[PodTerm, ...] = ()
    spread: tuple[Spread, ...] = ()

    @property
    def names(self) -> frozenset[str] | None:
        """The only nodes that its affinity names; None where not all of its terms name some."""
        found: frozenset[str] = frozenset()
        for term in self.node or ():
            if (names := term.names) is None:
                return None
            found |= names
        return found or None

    def matches(self, name: str, labels: Labels) -> bool:
        """True if a node of this name and these labels meets its selector and affinity."""
        if any(labels.get(key) != value for key, value in self.selector):
            return False
        return self.node is None or any(term.matches(name, labels) for term in self.node)


@dataclass(frozen=True, slots=True)
class PodInfo:
    """A pod as the scheduler sees it.

    Attributes:
        created: its creation time; `started` its status' start time, empty before.
        nominated: the node that room is being made on for it.
        gated: True while it has scheduling gates, or another scheduler's name.
        claims: the names of the persistent volume claims that it mounts.
        own_claims: those of them that are made for it.
    """

    uid: str
    namespace: str
    name: str
    needs: Needs = field(default_factory=Needs)
    labels: Labels = field(default_factory=dict)
    created: str = ""
    started: str = ""
    nominated: str = ""
    gated: bool = False
    terminating: bool = False
    claims: tuple[str, ...] = ()
    own_claims: frozenset[str] = frozenset()

    @property
    def social(self) -> bool:
        """True if where other pods are matters to it."""
        return bool(self.needs.affinity or self.needs.anti or self.needs.spread)

    def key(self, *, labelled: bool) -> object:
        """Equal for pods that fit on the same nodes.

        Labels matter while a pod that is placed keeps others away by theirs (`labelled`).
        """
        if self.social:
            return self.uid
        labels = tuple(sorted(self.labels.items())) if labelled else ()
        return (self.namespace, labels, self.nominated, self.needs)


def demand(pod: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """What a pod requests, in thousandths of each resource, rounded up."""
    return tuple(
        (name, -(-(amount * 1000).numerator // (amount * 1000).denominator))
        for name, amount in podspec.demand(pod).items()
        if amount > 0
    )


def read(pod: Mapping[str, Any]) -> PodInfo:
    """A pod of the API."""
    spec, status, meta = pod["spec"], pod.get("status") or {}, pod["metadata"]
    labels, namespace = meta.get("labels") or {}, objects.namespace(pod)
    return PodInfo(
        uid=objects.uid(pod),
        namespace=namespace,
        name=objects.name(pod),
        needs=_needs(pod, namespace, labels),
        labels=labels,
        created=meta.get("creationTimestamp") or "",
        started=status.get("startTime") or "",
        nominated=status.get("nominatedNodeName") or "",
        gated=bool(spec.get("schedulingGates"))
        or spec.get("schedulerName", "default-scheduler") != "default-scheduler",
        terminating=objects.terminating(pod),
        claims=tuple(podspec.claimed(pod)),
        own_claims=frozenset(
            podspec.of_volume(pod, volume["name"]) for _, volume in podspec.ephemeral(pod)
        ),
    )


def _needs(pod: Mapping[str, Any], namespace: str, labels: Labels) -> Needs:
    spec = pod["spec"]
    affinity = spec.get("affinity") or {}
    node = affinity.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")

    def terms(kind: str) -> tuple[PodTerm, ...]:
        found = (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
        return tuple(PodTerm.read(item, namespace, labels) for item in found or ())

    def wishes(kind: str) -> tuple[PodTerm, ...]:
        found = (affinity.get(kind) or {}).get("preferredDuringSchedulingIgnoredDuringExecution")
        return tuple(
            PodTerm.read(item["podAffinityTerm"], namespace, labels, item["weight"])
            for item in found or ()
        )

    return Needs(
        priority=spec.get("priority") or 0,
        preempts=spec.get("preemptionPolicy") != "Never",
        demand=demand(pod),
        selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        tolerations=tuple(map(Toleration.read, spec.get("tolerations") or ())),
        node=None
        if required is None
        else tuple(map(NodeTerm.read, required["nodeSelectorTerms"])),
        preferred=tuple(
            (item["weight"], NodeTerm.read(item["preference"]))
            for item in node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        affinity=terms("podAffinity"),
        anti=terms("podAntiAffinity"),
        likes=wishes("podAffinity"),
        dislikes=wishes("podAntiAffinity"),
        spread=tuple(
            Spread.read(item, labels) for item in spec.get("topologySpreadConstraints") or ()
        ),
    )
