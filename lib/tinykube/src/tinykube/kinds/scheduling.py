"""The kinds of `scheduling.k8s.io` and `node.k8s.io`: classes that pods name."""

from __future__ import annotations

from tinykube import schema
from tinykube.kinds.resource import Resource
from tinykube.schema import Fields, Refused, Table

PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io",
    "v1",
    "priorityclasses",
    "PriorityClass",
    namespaced=False,
    short=("pc",),
    generation=True,
    shape=schema.kind(
        {
            "value": "int",
            "globalDefault": "bool",
            "description": "str",
            "preemptionPolicy": "str",
        },
        optional=("preemptionPolicy",),
        always=("value",),
    ),
)
RUNTIME_CLASSES = Resource(
    "node.k8s.io",
    "v1",
    "runtimeclasses",
    "RuntimeClass",
    namespaced=False,
    upserts=True,
    unconditional=False,
    shape=schema.kind(
        {
            "handler": "str",
            "overhead": Refused("pod overhead is not known here"),
            "scheduling": Fields(
                {"nodeSelector": Table("str", atomic=True), "tolerations": "any"}
            ),
        },
        always=("handler",),
    ),
)
