"""Pods that wait in a queue of Kueue: each is a Job, suspended until its turn has come.

Kueue admits Jobs that carry the label `kueue.x-k8s.io/queue-name`: it keeps a Workload for each
and takes `suspend` away once the quota allows it. What the Job's own status does not say, why it
still waits, the Workload's conditions do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .pod import QUEUE, PodOptions, PodRequest, manifest
from .status import PodPhase, PodStatus, time_of

JOB_NAME: Final = "batch.kubernetes.io/job-name"
"""The label by which Kubernetes marks a Job's pods."""
QUEUED: Final = "Queued"
"""The reason of a pod that waits in a queue."""
KUEUE: Final = "/apis/kueue.x-k8s.io"
_WAITS: Final = "waits for its turn in the queue {}"


def job(request: PodRequest, options: PodOptions) -> dict[str, Any]:
    """Give the Job object for a request: one pod, tried once, suspended."""
    pod = manifest(request, options)
    metadata = pod["metadata"]
    # The queue is the Job's. On its pod, Kueue would take the pod for one that queues by itself.
    labels = {name: value for name, value in metadata["labels"].items() if name != QUEUE}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "labels": {**labels, QUEUE: options.queue_of(request)}},
        "spec": {
            "suspend": True,
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": labels, "annotations": metadata["annotations"]},
                "spec": pod["spec"],
            },
        },
    }


def read(found: Mapping[str, Any], why: str = "") -> PodStatus:
    """Give the status of a Job without a pod, as if it were one.

    `why` says why it waits, if that is known.
    """
    metadata = found["metadata"]
    labels = metadata.get("labels") or {}
    status: Mapping[str, Any] = found.get("status") or {}
    phase, reason, message = PodPhase.PENDING, "", ""
    for condition in status.get("conditions") or []:
        if condition.get("status") != "True":
            continue
        if condition.get("type") == "Failed":
            phase = PodPhase.FAILED
            reason = condition.get("reason") or "Failed"
            message = condition.get("message") or ""
        elif condition.get("type") == "Complete":
            phase = PodPhase.SUCCEEDED
    if phase is PodPhase.PENDING and (found.get("spec") or {}).get("suspend"):
        reason, message = QUEUED, why or _WAITS.format(labels.get(QUEUE, ""))
    return PodStatus(
        name=metadata["name"],
        phase=phase,
        labels=labels,
        annotations=metadata.get("annotations") or {},
        reason=reason,
        message=message,
        finished=time_of(status.get("completionTime")),
        deleting="deletionTimestamp" in metadata,
    )


def reasons(workloads: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Give why Jobs wait, in Kueue's words, by the Job's uid.

    Of a Workload that has no quota yet that condition's message tells it, of one that has, the
    message of what it waits for besides (admission checks).
    """
    found: dict[str, str] = {}
    for workload in workloads:
        conditions = {
            condition.get("type"): condition
            for condition in (workload.get("status") or {}).get("conditions") or []
        }
        message = ""
        for kind in ("QuotaReserved", "Admitted"):
            condition = conditions.get(kind) or {}
            if condition.get("status") == "False" and condition.get("message"):
                message = str(condition["message"])
                break
        if not message:
            continue
        for owner in workload["metadata"].get("ownerReferences") or []:
            if owner.get("kind") == "Job":
                found[owner["uid"]] = message
    return found
