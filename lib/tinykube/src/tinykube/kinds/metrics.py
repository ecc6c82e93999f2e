"""The kinds of `metrics.k8s.io`: measured when somebody asks, never stored."""

from __future__ import annotations

from tinykube import schema
from tinykube.kinds.resource import Resource
from tinykube.schema import Fields, Many, Table

_USAGE = Table("quantity")
POD_METRICS = Resource(
    "metrics.k8s.io",
    "v1beta1",
    "pods",
    "PodMetrics",
    namespaced=True,
    verbs=("get", "list"),
    shape=schema.kind(
        {
            "timestamp": "time",
            "window": "str",
            "containers": Many(Fields({"name": "str", "usage": _USAGE}), key="name"),
        }
    ),
)
NODE_METRICS = Resource(
    "metrics.k8s.io",
    "v1beta1",
    "nodes",
    "NodeMetrics",
    namespaced=False,
    verbs=("get", "list"),
    shape=schema.kind({"timestamp": "time", "window": "str", "usage": _USAGE}),
)
