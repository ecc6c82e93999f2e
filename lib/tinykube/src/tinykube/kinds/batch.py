"""The kinds of `batch`."""

from __future__ import annotations

from dataclasses import replace

from tinykube import podspec, schema
from tinykube.kinds.resource import Resource
from tinykube.kinds.shapes import CONDITIONS
from tinykube.schema import Fields, Many

BATCH = "batch"
POD_TEMPLATE = Fields(
    {"metadata": schema.METADATA, "spec": podspec.SHAPE.fields["spec"]}, always=("spec",)
)
_FAILURE_RULE = Fields(
    {
        "action": "str",
        "onExitCodes": Fields(
            {"containerName": "str", "operator": "str", "values": Many("int", key="*")},
            optional=("containerName",),
            always=("operator",),
        ),
        "onPodConditions": Many(
            Fields(
                {"type": "str", "status": "str"},
                always=("type", "status"),
            )
        ),
    },
    always=("action",),
)
_SUCCESS_RULE = Fields(
    {"succeededIndexes": "str", "succeededCount": "int"},
    optional=("succeededIndexes", "succeededCount"),
)
JOBS = Resource(
    BATCH,
    "v1",
    "jobs",
    "Job",
    namespaced=True,
    categories=("all",),
    status=True,
    generation=True,
    orphans=True,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "parallelism": "int",
                    "completions": "int",
                    "activeDeadlineSeconds": "int",
                    "podFailurePolicy": Fields({"rules": Many(_FAILURE_RULE)}),
                    "successPolicy": Fields({"rules": Many(_SUCCESS_RULE)}),
                    "backoffLimit": "int",
                    "backoffLimitPerIndex": "int",
                    "maxFailedIndexes": "int",
                    "selector": podspec.LABEL_SELECTOR,
                    "manualSelector": "bool",
                    "template": POD_TEMPLATE,
                    "ttlSecondsAfterFinished": "int",
                    "completionMode": "str",
                    "suspend": "bool",
                    "podReplacementPolicy": "str",
                    "managedBy": "str",
                },
                optional=(
                    "parallelism",
                    "completions",
                    "activeDeadlineSeconds",
                    "backoffLimit",
                    "backoffLimitPerIndex",
                    "maxFailedIndexes",
                    "manualSelector",
                    "ttlSecondsAfterFinished",
                    "completionMode",
                    "suspend",
                    "podReplacementPolicy",
                    "managedBy",
                ),
                always=("template",),
            ),
            "status": Fields(
                {
                    "conditions": replace(CONDITIONS, atomic=True),
                    "startTime": "time",
                    "completionTime": "time",
                    "active": "int",
                    "succeeded": "int",
                    "failed": "int",
                    "terminating": "int",
                    "completedIndexes": "str",
                    "failedIndexes": "str",
                    "uncountedTerminatedPods": Fields(
                        {"succeeded": Many("str", key="*"), "failed": Many("str", key="*")}
                    ),
                    "ready": "int",
                },
                optional=("terminating", "failedIndexes", "ready"),
            ),
        },
        always=("spec", "status"),
    ),
)
