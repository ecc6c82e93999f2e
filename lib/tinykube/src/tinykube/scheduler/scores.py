"""Which of the nodes that will do is best: Kubernetes' default weights.

Room left (1), evenness of what is taken (1), preferred node affinity (2), taints that only prefer
to be left alone (3), preferred nearness to other pods (2) and spreading (2); each is a figure from
0 to 100. Images are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tinykube.scheduler.cluster import Cluster, NodeInfo
from tinykube.scheduler.requirements import PodInfo
from tinykube.scheduler.taints import PREFER_NO_SCHEDULE, untolerated

_TOP = 100.0
# What a container that names no request is taken for, in thousandths: 100m cpu and 200 MB.
_ASSUMED = {"cpu": 100, "memory": 200 * 2**20 * 1000}


def best(cluster: Cluster, pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeInfo:
    """The best of `nodes`, of which there is at least one; the first by name among equals."""
    if len(nodes) == 1:
        return nodes[0]
    total = {node.name: _resources(pod, node) for node in nodes}
    wishes: list[tuple[float, Mapping[str, float], bool]] = []
    needs = pod.needs
    wishes.append((3, _taints(pod, nodes), True))
    if needs.preferred:
        wishes.append((2, _affinity(pod, nodes), False))
    if needs.likes or needs.dislikes:
        wishes.append((2, _company(cluster, pod, nodes), False))
    if any(not item.required for item in needs.spread):
        wishes.append((2, _spread(cluster, pod, nodes), True))
    for weight, raw, reverse in wishes:
        for name, score in _scaled(raw, reverse=reverse).items():
            total[name] += weight * score
    return min(nodes, key=lambda node: (-total[node.name], len(node.pods), node.name))


def _scaled(raw: Mapping[str, float], *, reverse: bool) -> Mapping[str, float]:
    least, most = min(raw.values()), max(raw.values())
    low = min(least, 0.0)
    if most == low:
        return dict.fromkeys(raw, _TOP if reverse else 0.0)
    scaled = {name: (score - low) / (most - low) * _TOP for name, score in raw.items()}
    return {name: _TOP - score for name, score in scaled.items()} if reverse else scaled


def _resources(pod: PodInfo, node: NodeInfo) -> float:
    wanted = {**_ASSUMED, **dict(pod.needs.demand)}
    shares = [
        min((node.used[name] + wanted[name]) / room, 1.0)
        for name in _ASSUMED
        if (room := node.room.get(name, 0))
    ]
    if not shares:
        return 0.0
    mean = sum(shares) / len(shares)
    deviation = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
    return (1 - mean) * _TOP + (1 - deviation) * _TOP


def _taints(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Mapping[str, float]:
    effects = (PREFER_NO_SCHEDULE,)
    return {
        node.name: float(len(untolerated(node.taints, pod.needs.tolerations, effects)))
        for node in nodes
    }


def _affinity(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Mapping[str, float]:
    return {
        node.name: float(
            sum(
                weight
                for weight, term in pod.needs.preferred
                if term.matches(node.name, node.labels)
            )
        )
        for node in nodes
    }


def _company(cluster: Cluster, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Mapping[str, float]:
    found: dict[tuple[str, str], float] = {}
    for node in cluster.nodes.values():
        for sign, terms in ((1, pod.needs.likes), (-1, pod.needs.dislikes)):
            for term in terms:
                if term.topology not in node.labels:
                    continue
                number = sum(term.selects(other, cluster.spaces) for other in node.pods.values())
                domain = (term.topology, node.labels[term.topology])
                found[domain] = found.get(domain, 0.0) + sign * term.weight * number
    return {
        node.name: sum(found.get(label, 0.0) for label in node.labels.items()) for node in nodes
    }


def _spread(cluster: Cluster, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Mapping[str, float]:
    raw = dict.fromkeys((node.name for node in nodes), 0.0)
    for item in pod.needs.spread:
        if item.required:
            continue
        counts: dict[str, int] = {}
        for node in cluster.nodes.values():
            if domain := node.labels.get(item.topology):
                counts[domain] = counts.get(domain, 0) + item.count(pod.namespace, node.pods)
        worst = max(counts.values(), default=0) + 1
        for node in nodes:
            raw[node.name] += counts.get(node.labels.get(item.topology, ""), worst)
    return raw
