"""A pod's status reduced to what a workload acts on."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

INIT_FAILED: Final = "InitContainerFailed"
"""The reason of a pod whose own container did not start, since one before it failed."""
_NO_REASONS: Final = (None, "", "ContainerCreating", "PodInitializing")
"""What Kubernetes says of a container that waits for nothing out of the ordinary."""


class PodPhase(enum.StrEnum):
    """Kubernetes' phases, and `GONE` for a pod that was deleted."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"
    GONE = "Gone"

    @property
    def ended(self) -> bool:
        """True if the pod's command does not run any more."""
        return self in (PodPhase.SUCCEEDED, PodPhase.FAILED, PodPhase.GONE)


@dataclass(frozen=True, slots=True)
class PodStatus:
    """One pod.

    Attributes:
        reason: while pending, why it waits (`Unschedulable`, `ErrImagePull`, ...); once failed,
            why (`OOMKilled`, `DeadlineExceeded`, `Error`, `InitContainerFailed`, ...); else "".
        message: the sentence that goes with it.
        exit_code: of the container, or None while there is none.
        started, finished: of the container, seconds since the epoch.
        deleting: True once someone asked to delete it.
        pod: the pod's own name where a Job made it, whose name is `name` then; else "".
    """

    name: str
    phase: PodPhase
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: float | None = None
    finished: float | None = None
    deleting: bool = False
    pod: str = ""


def read(pod: Mapping[str, Any]) -> PodStatus:
    """Give the status of a Pod object, as JSON has it."""
    metadata = pod["metadata"]
    status: Mapping[str, Any] = pod.get("status") or {}
    try:
        phase = PodPhase(status.get("phase") or "Pending")
    except ValueError:
        phase = PodPhase.UNKNOWN
    state: Mapping[str, Any] = {}
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
    before = status.get("initContainerStatuses") or []
    terminated = state.get("terminated") or {}
    running = state.get("running") or {}
    reason, message = _reason(phase, status, state, before)
    labels = metadata.get("labels") or {}
    job = labels.get("batch.kubernetes.io/job-name", "")
    return PodStatus(
        name=job or metadata["name"],
        phase=phase,
        labels=labels,
        annotations=metadata.get("annotations") or {},
        reason=reason,
        message=message,
        exit_code=terminated.get("exitCode"),
        started=time_of(terminated.get("startedAt") or running.get("startedAt")),
        finished=time_of(terminated.get("finishedAt")),
        deleting="deletionTimestamp" in metadata,
        pod=metadata["name"] if job else "",
    )


def _reason(
    phase: PodPhase,
    status: Mapping[str, Any],
    state: Mapping[str, Any],
    before: Iterable[Mapping[str, Any]],
) -> tuple[str, str]:
    if phase is PodPhase.PENDING:
        # While one of them waits the pod's own container does too, and has nothing else to tell.
        waits = (((each.get("state") or {}).get("waiting") or {}) for each in before)
        waiting = next(
            (each for each in waits if each.get("reason") not in _NO_REASONS),
            state.get("waiting") or {},
        )
        if waiting.get("reason") not in _NO_REASONS:
            return waiting["reason"], waiting.get("message") or ""
        for condition in status.get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return condition.get("reason") or "Unschedulable", condition.get("message") or ""
        return status.get("reason") or "", status.get("message") or ""
    if phase is PodPhase.FAILED:
        terminated = state.get("terminated") or {}
        if not terminated and not status.get("reason"):
            for each in before:
                if message := _failed(each):
                    return INIT_FAILED, message
        reason = status.get("reason") or terminated.get("reason") or "Error"
        return reason, status.get("message") or terminated.get("message") or ""
    return "", ""


def _failed(container: Mapping[str, Any]) -> str:
    """Tell how an init container has failed; "" if it has not."""
    ended = (container.get("state") or {}).get("terminated") or {}
    code = ended.get("exitCode")
    if not code:
        return ""
    why = f" ({ended['reason']})" if ended.get("reason") not in (None, "", "Error") else ""
    said = f": {text}" if (text := str(ended.get("message") or "").strip()) else ""
    return f"the init container {container.get('name')!r} ended with exit code {code}{why}{said}"


def time_of(text: str | None) -> float | None:
    """Give a time of Kubernetes in seconds since the epoch, or None for none."""
    if not text:
        return None
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
