"""A pod's status as a kubelet reports it: a pure function of what its containers do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tinykube import objects
from tinykube.objects import JSON

# What the reasons of `sandbox.spec.Exit` are called in a container's status.
_LOST = "ContainerStatusUnknown"
_LOST_MESSAGE = "The container could not be located when the pod was terminated"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running: `reason` as Kubernetes has it (`ContainerCreating`, `ErrImagePull`, ...)."""

    reason: str
    message: str = ""

    def json(self) -> JSON:
        """The API's form."""
        body = {"reason": self.reason}
        return {"waiting": {**body, "message": self.message} if self.message else body}


@dataclass(frozen=True, slots=True)
class Running:
    """Running since `started`, in seconds since the epoch."""

    started: float

    def json(self) -> JSON:
        """The API's form."""
        return {"running": {"startedAt": stamp(self.started)}}


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended; times in seconds since the epoch, None where nobody knows."""

    code: int
    reason: str
    started: float | None
    finished: float | None
    message: str = ""
    container_id: str = ""

    @property
    def failed(self) -> bool:
        """True unless it ended with exit code 0."""
        return self.code != 0

    def json(self) -> JSON:
        """The API's form."""
        body: JSON = {
            "exitCode": self.code,
            "reason": self.reason,
            "startedAt": stamp(self.started),
            "finishedAt": stamp(self.finished),
        }
        if self.message:
            body["message"] = self.message
        if self.container_id:
            body["containerID"] = self.container_id
        return {"terminated": body}


State = Waiting | Running | Terminated
CREATING = Waiting("ContainerCreating")
INITIALIZING = Waiting("PodInitializing")


def lost(started: float | None = None, finished: float | None = None) -> Terminated:
    """The end of a container that nobody saw."""
    return Terminated(137, _LOST, started, finished, _LOST_MESSAGE)


@dataclass(frozen=True, slots=True)
class ContainerView:
    """What there is to report of one container.

    Attributes:
        name, image: as the pod has them.
        image_id: what the image is here; empty until that is known.
        container_id: of the current or last run; empty before the first.
        state: what it does.
        last: how the run before the current one ended.
        restarts: how often it was started again.
        started: True once its start is over (its startup probe has succeeded, if it has one).
        ready: True while it can serve.
        sidecar: True for an init container that runs beside the others.
        final: True if it has ended and is not started again.
    """

    name: str
    image: str
    state: State
    image_id: str = ""
    container_id: str = ""
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    sidecar: bool = False
    final: bool = False

    def json(self, *, init: bool) -> JSON:
        """The API's form."""
        body: JSON = {
            "name": self.name,
            "image": self.image,
            "imageID": self.image_id,
            "ready": _done(self) if init and not self.sidecar else self.ready,
            "started": self.started and (self.sidecar or not init),
            "restartCount": self.restarts,
            "state": self.state.json(),
            "lastState": self.last.json() if self.last else {},
        }
        if self.container_id:
            body["containerID"] = self.container_id
        return body


def of_container(pod: JSON, name: str) -> JSON:
    """What a pod's status says of one container; nothing if it does not say."""
    found = pod.get("status") or {}
    for group in ("containerStatuses", "initContainerStatuses"):
        for item in found.get(group) or ():
            if item["name"] == name:
                known: JSON = item
                return known
    return {}


def stamp(moment: float | None) -> str | None:
    """A time as the API writes it; None stays None."""
    return None if moment is None else objects.stamp(datetime.fromtimestamp(moment, UTC))


def phase(init: Sequence[ContainerView], main: Sequence[ContainerView], *, ended: bool) -> str:
    """The pod's phase. `ended` is True once no container will be started any more."""
    begun = any(view.container_id or view.last for view in main)
    for view in init:
        if _initialised(view, begun=begun):
            continue
        return "Failed" if ended or (view.final and not view.sidecar) else "Pending"
    states = [view.state for view in main]
    beside = any(view.sidecar and isinstance(view.state, Running) for view in init)
    if ended or (all(view.final for view in main) and not beside):
        failed = any(not isinstance(state, Terminated) or state.failed for state in states)
        return "Failed" if failed else "Succeeded"
    if any(isinstance(view.state, Waiting) and view.last is None for view in main):
        return "Pending"
    return "Running"


def _initialised(view: ContainerView, *, begun: bool) -> bool:
    """True if an init container holds the others up no more."""
    return view.started or begun if view.sidecar else _done(view)


def compute(
    pod: Mapping[str, Any],
    init: Sequence[ContainerView],
    main: Sequence[ContainerView],
    *,
    started: float,
    address: str,
    host: str = "",
    ended: bool = False,
    failure: tuple[str, str] | None = None,
) -> JSON:
    """The top-level keys of the pod's status that the node owns.

    Args:
        pod: as the API has it: its conditions keep their times, those of others stay.
        init: the containers that initialise the pod, in order.
        main: its containers.
        started: when the node took the pod up, in seconds since the epoch.
        address: the pod's address.
        host: the node's, where it is another.
        ended: True once no container will be started any more.
        failure: reason and message of a pod that the node itself has failed.
    """
    name = "Failed" if failure else phase(init, main, ended=ended)
    status: JSON = {
        "phase": name,
        "reason": failure[0] if failure else None,
        "message": failure[1] if failure else None,
        "startTime": stamp(started),
        "hostIP": host or address,
        "hostIPs": [{"ip": host or address}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": objects.copy((pod.get("status") or {}).get("conditions") or []),
        "containerStatuses": [view.json(init=False) for view in main],
    }
    if init:
        status["initContainerStatuses"] = [view.json(init=True) for view in init]
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    _conditions(status, name, init, main, gates)
    return {key: value for key, value in status.items() if value is not None}


def _conditions(
    status: JSON,
    name: str,
    init: Sequence[ContainerView],
    main: Sequence[ContainerView],
    gates: Sequence[str],
) -> None:
    finished = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(name, "")
    begun = any(view.container_id for view in (*init, *main)) and not finished
    objects.set_condition(status, "PodReadyToStartContainers", _truth(begun))
    main_begun = any(view.container_id or view.last for view in main)
    waiting = [view.name for view in init if not _initialised(view, begun=main_begun)]
    if waiting:
        reason = finished if finished == "PodCompleted" else "ContainersNotInitialized"
        message = f"containers with incomplete status: {_list(waiting)}"
        objects.set_condition(status, "Initialized", "False", reason=reason, message=message)
    else:
        reason = "PodCompleted" if name == "Succeeded" else ""
        objects.set_condition(status, "Initialized", "True", reason=reason)
    serving = (*(view for view in init if view.sidecar), *main)
    unready = [view.name for view in serving if not view.ready]
    missing = _closed(status, gates)
    for type_ in ("Ready", "ContainersReady"):
        if finished:
            objects.set_condition(status, type_, "False", reason=finished)
        elif unready:
            message = f"containers with unready status: {_list(unready)}"
            objects.set_condition(
                status, type_, "False", reason="ContainersNotReady", message=message
            )
        elif type_ == "Ready" and missing:
            objects.set_condition(
                status, type_, "False", reason="ReadinessGatesNotReady", message=missing
            )
        else:
            objects.set_condition(status, type_, "True")


def _closed(status: JSON, gates: Sequence[str]) -> str:
    """Which of the pod's readiness gates keep it from being ready; empty if none."""
    known = {item["type"]: item["status"] for item in status["conditions"]}
    found = [
        f'corresponding condition of pod readiness gate "{gate}" '
        + (f'is not "True": it is "{known[gate]}"' if gate in known else "does not exist.")
        for gate in gates
        if known.get(gate) != "True"
    ]
    return "; ".join(found)


def _done(view: ContainerView) -> bool:
    return isinstance(view.state, Terminated) and not view.state.failed


def _truth(value: object) -> str:
    return "True" if value else "False"


def _list(names: Iterable[str]) -> str:
    return f"[{' '.join(names)}]"
