"""Fake nodes (kwok's) of the kinds that clusters have: nothing runs on them, everything is placed.

A pod with the annotation `ENDS_AFTER` ends well after that time (`500ms`); without it, it runs on.
"""

from __future__ import annotations

from pathlib import Path

import lightkube
from lightkube.models.core_v1 import NodeSpec, NodeStatus, Taint
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node

from .plane import ControlPlane
from .processes import Process

STAGES = Path(__file__).parent / "manifests" / "stages.yaml"
ENDS_AFTER = "test.example.com/ends-after"
GPU_TAINT = Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule")
_LEASE_SECONDS = 40


def start(plane: ControlPlane, program: Path) -> Process:
    """Run kwok: it keeps every node with the annotation `kwok.x-k8s.io/node: fake`."""
    return plane.run(
        "kwok",
        [
            str(program),
            f"--kubeconfig={plane.kubeconfig}",
            f"--config={STAGES}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            f"--node-lease-duration-seconds={_LEASE_SECONDS}",
        ],
    )


def node(
    name: str,
    capacity: dict[str, str] | None = None,
    taints: tuple[Taint, ...] = (),
    labels: dict[str, str] | None = None,
) -> Node:
    """A node with 32 cores, 128 GiB and what `capacity` adds."""
    whole = {"cpu": "32", "memory": "128Gi", "pods": "110", **(capacity or {})}
    return Node(
        metadata=ObjectMeta(
            name=name,
            annotations={"kwok.x-k8s.io/node": "fake"},
            labels={
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **(labels or {}),
            },
        ),
        spec=NodeSpec(taints=list(taints)),
        status=NodeStatus(capacity=whole, allocatable=whole),
    )


NODES = (
    node(
        "nvidia",
        {"nvidia.com/gpu": "8"},
        (GPU_TAINT,),
        {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"},
    ),
    node("mig", {"nvidia.com/mig-1g.10gb": "7"}),
    node("amd", {"amd.com/gpu": "4"}),
    node("plain"),
)


def add(client: lightkube.Client, nodes: tuple[Node, ...] = NODES) -> None:
    """Create the nodes; a node's status counts from its creation."""
    for item in nodes:
        client.create(item)


def ready(client: lightkube.Client, nodes: tuple[Node, ...] = NODES) -> bool:
    """Whether pods can be put on all of them."""
    for item in nodes:
        found = client.get(Node, item.metadata.name)
        conditions = {one.type: one.status for one in found.status.conditions or []}
        taints = {one.key for one in found.spec.taints or []}
        if conditions.get("Ready") != "True" or "node.kubernetes.io/not-ready" in taints:
            return False
    return True
