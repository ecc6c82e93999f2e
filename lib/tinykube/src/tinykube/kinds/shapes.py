"""Shapes that several kinds share."""

from __future__ import annotations

from tinykube.schema import Fields, Many, Table

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
LABEL_SELECTOR = Fields(
    {
        "matchLabels": Table("str"),
        "matchExpressions": Many(
            Fields(
                {"key": "str", "operator": "str", "values": Many("str")},
                always=("key", "operator"),
            ),
        ),
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
RESOURCES = Fields({"requests": Table("quantity"), "limits": Table("quantity")})
