"""What a run's events amount to: its tasks, each with its phase, inputs, outputs and times.

`fold` reads a run from the start; `RunState.apply` adds one event. Nothing here knows the spec,
so the state can be derived for runs whose spec a newer version would read differently.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import events
from .events import RunPhase, RunStatus, Values


class TaskPhase(enum.StrEnum):
    """The state of a task, in KFP's words."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"

    @property
    def ended(self) -> bool:
        """True if nothing more happens to the task."""
        return self is not TaskPhase.RUNNING


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task that was started or given up; a task without a state has not been reached.

    Attributes:
        path: `train`, or `outer/inner` in a nested DAG.
        attempt: the number of its current or last attempt, from 0.
        pod: that attempt's pod; "" for a nested DAG and for a skipped task.
        started, finished: seconds since the epoch; None if it never was.
        reason, message: why it failed or was skipped.
        history: each phase with the time it began.
    """

    path: str
    phase: TaskPhase
    attempt: int = 0
    pod: str = ""
    inputs: Values = field(default_factory=Values)
    outputs: Values = field(default_factory=Values)
    started: float | None = None
    finished: float | None = None
    reason: str = ""
    message: str = ""
    history: tuple[tuple[TaskPhase, float], ...] = ()


@dataclass(slots=True)
class RunState:
    """A run as far as its events go.

    Attributes:
        created: the first event; None only before it.
        status: the run's own phase and times.
        tasks: by path, in the order in which they were reached.
        running: the paths of tasks that have a pod under way.
        outputs: the pipeline's outputs, once it ended.
    """

    created: events.RunCreated | None = None
    status: RunStatus = field(default_factory=RunStatus)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    outputs: Values = field(default_factory=Values)

    @property
    def sequence(self) -> int:
        """How many events there are."""
        return self.status.sequence

    @property
    def terminating(self) -> bool:
        """True from the request to stop until the end."""
        return self.status.phase is RunPhase.CANCELING

    def apply(self, event: events.Event) -> None:
        """Add the next event.

        Raises:
            ValueError: it cannot follow what came before; the store is damaged.
        """
        if self.created is None and not isinstance(event, events.RunCreated):
            raise ValueError(f"run {event.run_id}: its first event is {event.kind}")
        match event:
            case events.RunCreated():
                self.created = event
            case events.TaskStarted():
                self.tasks[event.task] = self._started(event)
                if event.pod:
                    self.running.add(event.task)
            case events.TaskSucceeded():
                self._end(event, event.task, TaskPhase.SUCCEEDED, outputs=event.outputs)
            case events.TaskFailed():
                self._end(
                    event, event.task, TaskPhase.FAILED, reason=event.reason, message=event.message
                )
            case events.TaskCanceled():
                self._end(event, event.task, TaskPhase.CANCELED, reason="Terminated")
            case events.TaskSkipped():
                self.tasks[event.task] = TaskState(
                    event.task,
                    TaskPhase.SKIPPED,
                    finished=event.time,
                    reason="Skipped",
                    message=event.reason,
                    history=((TaskPhase.SKIPPED, event.time),),
                )
            case events.RunEnded():
                self.outputs = event.outputs
        self.status = events.advance(self.status, event)

    def _started(self, event: events.TaskStarted) -> TaskState:
        previous = self.tasks.get(event.task)
        history = previous.history if previous else ()
        return TaskState(
            event.task,
            TaskPhase.RUNNING,
            attempt=event.attempt,
            pod=event.pod,
            inputs=event.inputs,
            started=previous.started if previous else event.time,
            history=(*history, (TaskPhase.RUNNING, event.time)),
        )

    def _end(
        self,
        event: events.Event,
        path: str,
        phase: TaskPhase,
        *,
        outputs: Values = Values(),  # noqa: B008 - an immutable value
        reason: str = "",
        message: str = "",
    ) -> None:
        task = self.tasks.get(path)
        if task is None:
            raise ValueError(f"run {event.run_id}: {event.kind} for {path!r}, which never started")
        self.running.discard(path)
        self.tasks[path] = dataclasses.replace(
            task,
            phase=phase,
            outputs=outputs,
            finished=event.time,
            reason=reason,
            message=message,
            history=(*task.history, (phase, event.time)),
        )


def fold(recorded: Iterable[events.Event]) -> RunState:
    """Derive a run's state from all its events, in order.

    Raises:
        ValueError: they cannot be the events of one run.
    """
    state = RunState()
    for event in recorded:
        state.apply(event)
    return state
