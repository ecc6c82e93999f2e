"""The pods of a Job: what its controller needs to know of each, and how new ones are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tinykube import objects
from tinykube.objects import JSON

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
_LONGEST_PREFIX = 58


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod as its Job's controller sees it.

    Attributes:
        index: its completion index; None if it has none.
        bound: True once it has a node.
        tracked: True while it has the finalizer, that is: until it is counted.
        restarts: of all its containers.
        finished: when it ended, as far as that is known.
        failures, ignored: how often its index failed before it.
        status: the pod's, of one that has failed; else empty.
    """

    uid: str
    namespace: str
    name: str
    phase: str = "Pending"
    index: int | None = None
    bound: bool = False
    terminating: bool = False
    tracked: bool = True
    ready: bool = False
    restarts: int = 0
    created: str = ""
    finished: datetime | None = None
    failures: int = 0
    ignored: int = 0
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """True if its containers have ended for good."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def active(self) -> bool:
        """True if it works, or is about to."""
        return not self.ended and not self.terminating


def owner(pod: Mapping[str, Any]) -> str:
    """The uid of the Job that controls a pod; empty if none does."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference.get("controller") and reference.get("kind") == "Job":
            return str(reference["uid"]) if _of_batch(reference) else ""
    return ""


def _of_batch(reference: Mapping[str, Any]) -> bool:
    return str(reference.get("apiVersion", "")).startswith("batch/")


def view(pod: Mapping[str, Any]) -> PodView:
    """What the controller needs of a pod."""
    meta, status = pod["metadata"], pod.get("status") or {}
    annotations = meta.get("annotations") or {}
    phase = status.get("phase") or "Pending"
    statuses = [
        item
        for group in ("initContainerStatuses", "containerStatuses")
        for item in status.get(group) or ()
    ]
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    return PodView(
        uid=objects.uid(pod),
        namespace=objects.namespace(pod),
        name=objects.name(pod),
        phase=phase,
        index=_number(annotations.get(INDEX)),
        bound=bool(pod["spec"].get("nodeName")),
        terminating=objects.terminating(pod),
        tracked=FINALIZER in (meta.get("finalizers") or ()),
        ready=conditions.get("Ready", {}).get("status") == "True",
        restarts=sum(item.get("restartCount") or 0 for item in statuses),
        created=meta.get("creationTimestamp") or "",
        finished=_finished(pod, statuses, conditions),
        failures=_number(annotations.get(FAILURES)) or 0,
        ignored=_number(annotations.get(IGNORED)) or 0,
        status=status if phase == "Failed" else {},
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _finished(
    pod: Mapping[str, Any], statuses: list[JSON], conditions: Mapping[str, Any]
) -> datetime | None:
    """When the last container ended; else when the pod was deleted or became unready."""
    ends = [
        str(ended["finishedAt"])
        for item in statuses
        if (ended := (item.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    meta = pod["metadata"]
    known = (
        max(ends, key=objects.when) if ends else "",
        meta.get("deletionTimestamp"),
        conditions.get("Ready", {}).get("lastTransitionTime"),
        meta.get("creationTimestamp"),
    )
    return next((objects.when(moment) for moment in known if moment), None)


@dataclass(frozen=True, slots=True)
class NewPod:
    """A pod to be made.

    Attributes:
        index: its completion index; None in a Job without.
        failures, ignored: how often the index has failed; None where that is not limited.
    """

    index: int | None = None
    failures: int | None = None
    ignored: int = 0


def make(job: Mapping[str, Any], new: NewPod) -> JSON:
    """The body of a Job's new pod."""
    template: JSON = objects.copy(job["spec"]["template"])
    meta: JSON = template.get("metadata") or {}
    name = objects.name(job)
    made: JSON = {
        "generateName": f"{name}-",
        "labels": meta.get("labels") or {},
        "annotations": meta.get("annotations") or {},
        "finalizers": [*(meta.get("finalizers") or ()), FINALIZER],
        "ownerReferences": [
            {
                "apiVersion": job["apiVersion"],
                "kind": "Job",
                "name": name,
                "uid": objects.uid(job),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    spec: JSON = template["spec"]
    if new.index is not None:
        ending = f"-{new.index}-"
        made["generateName"] = name[: _LONGEST_PREFIX - len(ending)] + ending
        made["annotations"][INDEX] = made["labels"][INDEX] = str(new.index)
        spec["hostname"] = f"{name}-{new.index}"
        _tell_index(spec)
    if new.failures is not None:
        made["annotations"][FAILURES] = str(new.failures)
        if new.ignored:
            made["annotations"][IGNORED] = str(new.ignored)
    if not made["annotations"]:
        del made["annotations"]
    return {"metadata": made, "spec": spec}


def _tell_index(spec: JSON) -> None:
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            variables = container.setdefault("env", [])
            if all(item.get("name") != "JOB_COMPLETION_INDEX" for item in variables):
                variables.append(
                    {"name": "JOB_COMPLETION_INDEX", "valueFrom": objects.copy(source)}
                )
