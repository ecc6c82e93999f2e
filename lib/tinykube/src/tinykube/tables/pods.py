"""The table of pods: the status that kubectl shows is read from the containers' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinykube.objects import JSON
from tinykube.tables.column import (
    AGE,
    NAME,
    NONE,
    Cell,
    Heading,
    Printer,
    created,
    name,
    wide,
)
from tinykube.tables.durations import age

_ENDED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


class _Tally:
    """What the containers add up to: how many are ready, their restarts, the word to show."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.ready = 0
        self.restarts = 0
        self.last = ""

    def count(self, status: Mapping[str, Any]) -> None:
        """Add a container's restarts."""
        self.restarts += status.get("restartCount", 0)
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last = max(self.last, ended)

    def spell(self) -> str:
        """The cell of the restarts."""
        ago = f" ({age(self.last)} ago)" if self.last and self.restarts else ""
        return f"{self.restarts}{ago}"


def _side_cars(pod: JSON) -> set[str]:
    return {
        str(item.get("name"))
        for item in pod["spec"].get("initContainers") or ()
        if item.get("restartPolicy") == "Always"
    }


def _terminated(state: Mapping[str, Any]) -> str:
    if state.get("reason"):
        return str(state["reason"])
    if state.get("signal"):
        return f"Signal:{state['signal']}"
    return f"ExitCode:{state.get('exitCode', 0)}"


def _initializing(pod: JSON, tally: _Tally, side_cars: set[str]) -> bool:
    """Look at the init containers; True while one holds the others up."""
    total = len(pod["spec"].get("initContainers") or ())
    for index, status in enumerate((pod.get("status") or {}).get("initContainerStatuses") or ()):
        state = status.get("state") or {}
        ended = state.get("terminated")
        tally.count(status)
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if status.get("name") in side_cars and status.get("started"):
            tally.ready += bool(status.get("ready"))
            continue
        waiting = (state.get("waiting") or {}).get("reason")
        if ended is not None:
            tally.word = f"Init:{_terminated(ended)}"
        elif waiting and waiting != "PodInitializing":
            tally.word = f"Init:{waiting}"
        else:
            tally.word = f"Init:{index}/{total}"
        return True
    return False


def _running(pod: JSON, tally: _Tally) -> None:
    running = False
    for status in reversed((pod.get("status") or {}).get("containerStatuses") or ()):
        state = status.get("state") or {}
        tally.count(status)
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting:
            tally.word = str(waiting)
        elif (ended := state.get("terminated")) is not None:
            tally.word = _terminated(ended)
        elif status.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if tally.word == "Completed" and running:
        tally.word = "Running" if _condition(pod, "Ready") else "NotReady"


def _condition(pod: JSON, type_: str) -> bool:
    return any(
        item.get("type") == type_ and item.get("status") == "True"
        for item in (pod.get("status") or {}).get("conditions") or ()
    )


def _look(pod: JSON) -> _Tally:
    status = pod.get("status") or {}
    phase = str(status.get("phase") or "")
    tally = _Tally(str(status.get("reason") or phase))
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("reason") == "SchedulingGated":
            tally.word = "SchedulingGated"
    side_cars = _side_cars(pod)
    if not _initializing(pod, tally, side_cars) or _condition(pod, "Initialized"):
        # Those of ordinary init containers are no longer of interest.
        tally.restarts, tally.last = 0, ""
        for item in status.get("initContainerStatuses") or ():
            if item.get("name") in side_cars:
                tally.count(item)
        _running(pod, tally)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            tally.word = "Unknown"
        elif phase not in _ENDED:
            tally.word = "Terminating"
    return tally


def _gates(pod: JSON) -> str:
    gates = pod["spec"].get("readinessGates") or ()
    if not gates:
        return NONE
    met = sum(_condition(pod, str(gate.get("conditionType"))) for gate in gates)
    return f"{met}/{len(gates)}"


def _cells(pod: JSON) -> Sequence[Cell]:
    tally, status = _look(pod), pod.get("status") or {}
    total = len(pod["spec"].get("containers") or ()) + len(_side_cars(pod))
    addresses = status.get("podIPs") or ()
    return (
        name(pod),
        f"{tally.ready}/{total}",
        tally.word,
        tally.spell(),
        created(pod),
        addresses[0].get("ip", NONE) if addresses else NONE,
        pod["spec"].get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(pod),
    )


def _conditions(pod: JSON) -> list[JSON]:
    phase = (pod.get("status") or {}).get("phase")
    if phase not in _ENDED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}]


PODS = Printer(
    (
        NAME,
        Heading("Ready", description="How many of the containers are ready."),
        Heading("Status", description="What the pod does, or why it does not."),
        Heading("Restarts", description="How often containers were started again."),
        AGE,
        *wide("IP", "Node", "Nominated Node", "Readiness Gates"),
    ),
    _cells,
    _conditions,
)
