"""The kinds of `apps`: stateful sets, which somebody else than this control plane keeps up."""

from __future__ import annotations

from tinykube import podspec, schema
from tinykube.kinds.batch import POD_TEMPLATE
from tinykube.kinds.resource import Resource
from tinykube.kinds.shapes import CONDITIONS
from tinykube.schema import Fields, Refused

APPS = "apps"
STATEFUL_SETS = Resource(
    APPS,
    "v1",
    "statefulsets",
    "StatefulSet",
    namespaced=True,
    short=("sts",),
    categories=("all",),
    status=True,
    generation=True,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "replicas": "int",
                    "selector": podspec.LABEL_SELECTOR,
                    "template": POD_TEMPLATE,
                    "serviceName": "str",
                    "podManagementPolicy": "str",
                    "updateStrategy": Fields(
                        {
                            "type": "str",
                            "rollingUpdate": Fields(
                                {"partition": "int", "maxUnavailable": "int-or-str"},
                                optional=("partition",),
                            ),
                        }
                    ),
                    "revisionHistoryLimit": "int",
                    "minReadySeconds": "int",
                    "persistentVolumeClaimRetentionPolicy": Fields(
                        {"whenDeleted": "str", "whenScaled": "str"}
                    ),
                    "volumeClaimTemplates": Refused("whoever keeps the set up makes its claims"),
                    "ordinals": Refused("pods are numbered from 0"),
                },
                optional=("replicas", "revisionHistoryLimit"),
                always=("selector", "template", "serviceName"),
            ),
            "status": Fields(
                {
                    "observedGeneration": "int",
                    "replicas": "int",
                    "readyReplicas": "int",
                    "availableReplicas": "int",
                    "currentReplicas": "int",
                    "updatedReplicas": "int",
                    "currentRevision": "str",
                    "updateRevision": "str",
                    "collisionCount": "int",
                    "conditions": CONDITIONS,
                },
                optional=("collisionCount",),
                always=("replicas", "availableReplicas"),
            ),
        }
    ),
)
