"""Who would have to go so that a pod of higher priority fits: Kubernetes' default preemption.

Disruption budgets do not exist here and are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinykube.scheduler.cluster import Cluster, NodeInfo
from tinykube.scheduler.filters import Filter, Misfit
from tinykube.scheduler.requirements import PodInfo

_NO_VICTIMS = "No preemption victims found for incoming pod"
UNHELPFUL = "Preemption is not helpful for scheduling"
NEVER = "not eligible due to preemptionPolicy=Never."
WAITING = "not eligible due to a terminating pod on the nominated node."


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node on which the pod fits once its `victims` are gone."""

    node: str
    victims: Sequence[PodInfo]

    @property
    def cost(self) -> tuple[int, int, int]:
        """The less, the better: the highest priority, all priorities, the number of victims."""
        priorities = [pod.needs.priority for pod in self.victims]
        return (max(priorities), sum(item + 2**31 for item in priorities), len(priorities))


def ineligible(cluster: Cluster, pod: PodInfo, misfits: Mapping[str, Misfit]) -> str:
    """Why the pod may push nobody away; empty if it may."""
    if not pod.needs.preempts:
        return NEVER
    node = cluster.nodes.get(pod.nominated)
    lost = pod.nominated in misfits and not misfits[pod.nominated].curable
    if (
        node is not None
        and not lost
        and any(
            other.terminating and other.needs.priority < pod.needs.priority
            for other in node.pods.values()
        )
    ):
        return WAITING
    return ""


def find(
    cluster: Cluster, pod: PodInfo, misfits: Mapping[str, Misfit]
) -> tuple[Candidate | None, dict[str, Sequence[str]]]:
    """The cheapest node to clear for a pod; failing that, by node why clearing it is no help."""
    candidates: list[Candidate] = []
    reasons: dict[str, Sequence[str]] = {}
    for name, misfit in misfits.items():
        if not misfit.curable:
            reasons[name] = [UNHELPFUL]
            continue
        found = _victims(cluster, pod, cluster.nodes[name])
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            reasons[name] = found
    if not candidates:
        return None, reasons
    # Among equals the one whose victims have run for the shortest time.
    least = min(item.cost for item in candidates)
    equal = [item for item in candidates if item.cost == least]
    return max(equal, key=lambda item: min(pod.started for pod in item.victims)), {}


def _victims(cluster: Cluster, pod: PodInfo, node: NodeInfo) -> Candidate | Sequence[str]:
    lesser = [other for other in node.pods.values() if other.needs.priority < pod.needs.priority]
    if not lesser:
        return [_NO_VICTIMS]
    bare = node.without(other.uid for other in lesser)
    misfit = _judge(cluster, pod, bare)
    if misfit is not None:
        return misfit.reasons
    victims = []
    # Spared, the most important first, as long as the pod still fits.
    for other in sorted(lesser, key=lambda item: (-item.needs.priority, item.started)):
        bare.add(other)
        if _judge(cluster, pod, bare) is not None:
            bare.remove(other.uid)
            victims.append(other)
    return Candidate(node.name, victims)


def _judge(cluster: Cluster, pod: PodInfo, node: NodeInfo) -> Misfit | None:
    return Filter(cluster.replaced(node), pod).misfit(node)
