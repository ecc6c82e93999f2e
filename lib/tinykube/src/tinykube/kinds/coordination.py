"""The kinds of `coordination.k8s.io`."""

from __future__ import annotations

from tinykube import schema
from tinykube.kinds.resource import Resource
from tinykube.schema import Fields

LEASES = Resource(
    "coordination.k8s.io",
    "v1",
    "leases",
    "Lease",
    namespaced=True,
    upserts=True,
    unconditional=False,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "holderIdentity": "str",
                    "leaseDurationSeconds": "int",
                    "acquireTime": "time",
                    "renewTime": "time",
                    "leaseTransitions": "int",
                    "preferredHolder": "str",
                    "strategy": "str",
                },
                optional=(
                    "holderIdentity",
                    "leaseDurationSeconds",
                    "leaseTransitions",
                    "preferredHolder",
                    "strategy",
                ),
            )
        },
        always=("spec",),
    ),
)
