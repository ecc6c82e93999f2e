"""Pods and nodes as the scheduler sees them."""

from __future__ import annotations

import itertools

import pytest

from tinykube.scheduler import requirements
from tinykube.scheduler.cluster import Cluster, NodeInfo

NUMBERS = itertools.count()


@pytest.fixture
def info():
    """A pod of the API, read."""

    def make(name="one", requests=None, labels=None, namespace="default", **spec):
        number = next(NUMBERS)
        resources = {"requests": requests or {}}
        return requirements.read(
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": f"{name}-{number}",
                    "labels": labels or {},
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                },
                "spec": {"containers": [{"name": "main", "resources": resources}], **spec},
            }
        )

    return make


@pytest.fixture
def machine():
    """A node of the API, read, with pods on it."""

    def make(name="node", pods=(), labels=None, taints=(), **room):
        body = {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"taints": list(taints)},
            "status": {
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10", **room},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        node = NodeInfo.read(body)
        for pod in pods:
            node.add(pod)
        return node

    return make


@pytest.fixture
def cluster():
    """A cluster of nodes."""
    return lambda *nodes, **spaces: Cluster({node.name: node for node in nodes}, spaces)
