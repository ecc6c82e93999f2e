"""What a run's events amount to: its tasks, each with its phase, inputs, outputs and times.

`fold` reads a run from the start; `RunState.apply` adds one event. Nothing here knows the spec,
so the state can be derived for runs whose spec a newer version would read differently.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from . import events
from .events import RunPhase, RunStatus, Values

TASK_FAILED: Final = "TaskFailed"
"""The reason of a DAG, a loop or an iteration in which a task failed."""
TERMINATED: Final = "Terminated"
"""The reason of what was stopped with its run."""
_NONE: Final = Values()


class TaskPhase(enum.StrEnum):
    """The state of a task, in KFP's words; PENDING between two attempts."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"
    CACHED = "CACHED"

    @property
    def ended(self) -> bool:
        """True if nothing more happens to the task."""
        return self not in (TaskPhase.PENDING, TaskPhase.RUNNING)

    @property
    def succeeded(self) -> bool:
        """True if the task has outputs: its own, or those of an earlier execution."""
        return self in (TaskPhase.SUCCEEDED, TaskPhase.CACHED)


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task that was started or given up; a task without a state has not been reached.

    Attributes:
        path: `train`, `outer/inner` in a nested DAG, `loop/7/inner` in an iteration.
        attempt: the number of its current or last attempt, from 0.
        pod: that attempt's pod; "" for a nested DAG, for a skipped task, for one that was taken
            from the cache and for one that the service carries out.
        fingerprint: what the cache is to know its outputs by; "" if it keeps none.
        started, finished: seconds since the epoch; None if it never was.
        reason, message: why it (or its last attempt) failed, or why it was skipped.
        condition: whether it was skipped since its own condition is not met.
        iterations: how many items a loop has; None if it is none.
        iteration: the number of an iteration, from 0; None if it is none.
        retry: when its next attempt may start, between two attempts.
        acts: whether the service itself carries it out.
        origin, origin_task: of one that was taken from the cache, the run and the path of the task
            that produced its outputs.
        ineffective: what its pod asks for in vain (see `events.TaskStarted`).
        image, lock: what it ran in, once it has ended well (see `events.TaskSucceeded`).
        history: each phase with the time it began.
    """

    path: str
    phase: TaskPhase
    attempt: int = 0
    pod: str = ""
    fingerprint: str = ""
    inputs: Values = field(default_factory=Values)
    outputs: Values = field(default_factory=Values)
    started: float | None = None
    finished: float | None = None
    reason: str = ""
    message: str = ""
    condition: bool = False
    iterations: int | None = None
    iteration: int | None = None
    retry: float | None = None
    acts: bool = False
    origin: str = ""
    origin_task: str = ""
    ineffective: tuple[str, ...] = ()
    image: str = ""
    lock: str = ""
    history: tuple[tuple[TaskPhase, float], ...] = ()


@dataclass(slots=True)
class Children:
    """What became of the tasks in a DAG, or of the iterations of a loop, that were reached.

    Attributes:
        reached: how many there are.
        open: the paths of those that have not ended, in the order in which they were reached.
        failed: the paths of those that have failed, in the order in which they did.
    """

    reached: int = 0
    open: dict[str, None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RunState:
    """A run as far as its events go.

    Attributes:
        created: the first event; None only before it.
        status: the run's own phase and times.
        tasks: by path, in the order in which they were reached.
        children: by the path of what they are in; "" is the run.
        running: the paths of tasks that have a pod under way, or that the service carries out.
        spent: how many attempts tasks had before the run, or a nested pipeline that they are in,
            was tried again, by path.
        outputs: the pipeline's outputs, once it ended.
        locks: the packages of environments that its steps ran in, by digest.
        begun: when the run was made, or last retried; seconds since the epoch.
        retries: how often it has been retried.
    """

    created: events.RunCreated | None = None
    status: RunStatus = field(default_factory=RunStatus)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    children: dict[str, Children] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    spent: dict[str, int] = field(default_factory=dict)
    outputs: Values = field(default_factory=Values)
    locks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    begun: float = 0.0
    retries: int = 0

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
                self.begun = event.time
            case events.TaskStarted():
                self._start(event)
                if event.pod or event.acts:
                    self.running.add(event.task)
            case events.TaskSucceeded():
                self._end(
                    event,
                    event.task,
                    TaskPhase.SUCCEEDED,
                    outputs=event.outputs,
                    image=event.image,
                    lock=event.lock,
                )
                if event.packages:
                    self.locks[event.lock] = event.packages
            case events.TaskCached():
                self._end(
                    event,
                    event.task,
                    TaskPhase.CACHED,
                    outputs=event.outputs,
                    origin=event.origin,
                    origin_task=event.origin_task,
                )
            case events.TaskFailed():
                self._failed(event)
            case events.TaskCanceled():
                self._end(event, event.task, TaskPhase.CANCELED, reason=TERMINATED)
            case events.TaskSkipped():
                self._group(event.task).reached += 1
                self.tasks[event.task] = TaskState(
                    event.task,
                    TaskPhase.SKIPPED,
                    finished=event.time,
                    reason="Skipped",
                    message=event.reason,
                    condition=event.condition,
                    history=((TaskPhase.SKIPPED, event.time),),
                )
            case events.RunRetried():
                for path in event.dropped:
                    self._drop(path)
                for path in event.reopened:
                    self._reopen(path, event.time)
                self.outputs = Values()
                self.begun = event.time
                self.retries += 1
            case events.RunEnded():
                self.outputs = event.outputs
        self.status = events.advance(self.status, event)

    def let_go(self, paths: Iterable[str]) -> None:
        """Keep of tasks that have ended only what the run may ask for while it goes on.

        That is how they ended, their outputs and their last attempt: not their inputs, times and
        history, nor what they ran in. A run that is retried is to be read anew.
        """
        for path in paths:
            task = self.tasks.get(path)
            if task is None or not task.phase.ended:
                continue
            if task.phase.succeeded:
                # Why something in it failed is asked of others alone.
                self.children.pop(path, None)
            some = task.outputs.parameters or task.outputs.artifacts
            self.tasks[path] = dataclasses.replace(
                task,
                fingerprint="",
                inputs=_NONE,
                outputs=task.outputs if some else _NONE,
                started=None,
                finished=None,
                ineffective=(),
                image="",
                lock="",
                history=(),
            )

    def _group(self, path: str) -> Children:
        return self.children.setdefault(path.rpartition("/")[0], Children())

    def _start(self, event: events.TaskStarted) -> None:
        previous = self.tasks.get(event.task)
        history = previous.history if previous else ()
        group = self._group(event.task)
        group.open[event.task] = None
        if previous is None:
            group.reached += 1
        self.tasks[event.task] = TaskState(
            event.task,
            TaskPhase.RUNNING,
            attempt=event.attempt,
            pod=event.pod,
            fingerprint=event.fingerprint,
            inputs=event.inputs,
            started=previous.started if previous else event.time,
            iterations=event.iterations,
            iteration=event.iteration,
            acts=event.acts,
            ineffective=event.ineffective,
            history=(*history, (TaskPhase.RUNNING, event.time)),
        )

    def _failed(self, event: events.TaskFailed) -> None:
        if event.nested:
            self._empty(event.task)
        phase = TaskPhase.FAILED if event.retry is None else TaskPhase.PENDING
        self._end(
            event,
            event.task,
            phase,
            reason=event.reason,
            message=event.message,
            retry=event.retry,
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
        retry: float | None = None,
        **known: Any,
    ) -> None:
        task = self.tasks.get(path)
        if task is None:
            raise ValueError(f"run {event.run_id}: {event.kind} for {path!r}, which never started")
        self.running.discard(path)
        if phase.ended:
            group = self._group(path)
            group.open.pop(path, None)
            if phase is TaskPhase.FAILED:
                group.failed.append(path)
        self.tasks[path] = dataclasses.replace(
            task,
            phase=phase,
            outputs=outputs,
            finished=event.time if phase.ended else None,
            reason=reason,
            message=message,
            retry=retry,
            history=(*task.history, (phase, event.time)),
            **known,
        )

    def _drop(self, path: str) -> None:
        """Take a task out, with all in it, as if it had not been reached."""
        group = self._group(path)
        group.reached -= 1
        group.open.pop(path, None)
        if path in group.failed:
            group.failed.remove(path)
        self._empty(path)
        self._take_out(path)

    def _empty(self, path: str) -> None:
        """Take all out that is in a DAG, a loop or an iteration."""
        if self.children.pop(path, None) is not None:
            for each in [each for each in self.tasks if each.startswith(f"{path}/")]:
                self.children.pop(each, None)
                self._take_out(each)

    def _take_out(self, path: str) -> None:
        task = self.tasks.pop(path)
        # What the cache gave to an attempt had no pod, those before it may have had.
        if count := task.attempt + bool(task.pod or task.acts):
            self.spent[path] = count

    def _reopen(self, path: str, time: float) -> None:
        """Let a DAG, a loop or an iteration go on."""
        group = self._group(path)
        group.open[path] = None
        if path in group.failed:
            group.failed.remove(path)
        task = self.tasks[path]
        if task.attempt:
            # A nested pipeline is tried as often as it may, once more.
            self.spent[path] = task.attempt
        self.tasks[path] = dataclasses.replace(
            task,
            phase=TaskPhase.RUNNING,
            outputs=Values(),
            finished=None,
            reason="",
            message="",
            history=(*task.history, (TaskPhase.RUNNING, time)),
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
