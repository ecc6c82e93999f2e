"""Shapes that several kinds share."""

from __future__ import annotations

from tinykube.schema import Fields, Many

OBJECT_REFERENCE = Fields(
    {
        "apiVersion": "str",
        "kind": "str",
        "namespace": "str",
        "name": "str",
        "uid": "str",
        "resourceVersion": "str",
        "fieldPath": "str",
    },
    atomic=True,
)
CONDITIONS = Many(
    Fields(
        {
            "type": "str",
            "status": "str",
            "reason": "str",
            "message": "str",
            "lastTransitionTime": "time",
            "lastProbeTime": "time",
            "lastHeartbeatTime": "time",
            "observedGeneration": "int",
        },
        always=("type", "status"),
    ),
    key="type",
)
