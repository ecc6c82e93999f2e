"""What happens to a run, as an append-only list of facts.

The store keeps the facts of each run in order; everything else about a run (its state, its
tasks, their times, inputs and outputs) is derived from them. A run is recovered by reading
them again, so an event must carry all that cannot be computed from the events before it and
the pipeline spec.

Events are plain data: values are JSON values, times are seconds since the epoch (UTC), a task is
named by its path (`train`, `outer/inner` for a task of a nested DAG, `loop/7/inner` for one of an
iteration).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

Json: TypeAlias = Any
"""A value as `json.loads` gives it."""

IN_WORKSPACE: Final = "_kfp_workspace"
"""The metadata by which KFP's SDK knows that an artifact is in the workspace."""


class RunPhase(enum.StrEnum):
    """The state of a run, in KFP's words (v2beta1 `RuntimeState`)."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"

    @property
    def ended(self) -> bool:
        """True if nothing more can happen to the run."""
        return self in _ENDED


_ENDED = frozenset({RunPhase.SUCCEEDED, RunPhase.SKIPPED, RunPhase.FAILED, RunPhase.CANCELED})


@dataclass(frozen=True, slots=True)
class Artifact:
    """One artifact that a task consumed or produced.

    Attributes:
        name: the artifact's own name, as KFP's `RuntimeArtifact` has it.
        type: the schema title (`system.Model`, `system.Metrics`, ...).
        uri: where its content is.
        metadata: what the component recorded on it; JSON values.
        digest: of its content, by the launcher that delivered it: `sha256:HEX` of a file,
            `tree-sha256:HEX` of a folder, `none` if nothing was written; "" if nobody knows.
    """

    name: str
    type: str
    uri: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    digest: str = ""

    @property
    def in_workspace(self) -> bool:
        """True if steps find its content in the workspace of their run."""
        return self.metadata.get(IN_WORKSPACE) is True


@dataclass(frozen=True, slots=True)
class Values:
    """The inputs or the outputs of a task: parameters and lists of artifacts, each by name."""

    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact about one run.

    Attributes:
        run_id: the run's id (uuid4).
        time: when it happened, seconds since the epoch.
        sequence: its place in the run's list, counted from 1; 0 until the store has recorded it.
    """

    kind: ClassVar[str]

    run_id: str
    time: float
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCreated(Event):
    """Someone asked for a run; always the first event.

    Attributes:
        spec: digest of the pipeline spec (`Store.spec` gives its text).
        display_name: the run's name.
        pipeline_name: the name in the spec's `pipelineInfo`.
        experiment_id: the experiment it belongs to.
        experiment_name: that experiment's name when the run was created.
        parameters: the values given for the pipeline's inputs; defaults are not filled in.
        pipeline_root: the root asked for, or "" for the service's own.
        owner: the identity that asked.
        force: True if no task is to be taken from the cache; what they give is kept there.
        scheduled: the instant of a schedule that it is the run of; None if it is of none.
        recurring_run_id: the recurring run that the schedule is of, or "".
        reproduces: the run that it makes again, or "".
    """

    kind: ClassVar[str] = "RunCreated"

    spec: str
    display_name: str
    pipeline_name: str
    experiment_id: str
    experiment_name: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    pipeline_root: str = ""
    owner: str = ""
    force: bool = False
    scheduled: float | None = None
    recurring_run_id: str = ""
    reproduces: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(Event):
    """The engine decided to run one attempt of a task; recorded before its pod is made.

    Attributes:
        task: the task's path; `loop/7` for an iteration of a loop.
        attempt: 0 for the first.
        pod: the pod's name; "" for a task that is a nested DAG, a loop or an iteration, and for
            one that is taken from the cache.
        fingerprint: what the cache is to know its outputs by (see `cachekey`); "" to keep none.
        inputs: what the task gets, resolved.
        iterations: how many items a loop has; None if it is none.
        iteration: the number of an iteration, from 0; None if it is none.
        acts: True if the service itself carries it out, without a pod.
        ineffective: what its pod asks for and the cluster takes without giving it, each
            `FIELD: has no effect here: WHY`.
    """

    kind: ClassVar[str] = "TaskStarted"

    task: str
    attempt: int = 0
    pod: str = ""
    fingerprint: str = ""
    inputs: Values = Values()
    iterations: int | None = None
    iteration: int | None = None
    acts: bool = False
    ineffective: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSucceeded(Event):
    """A task ended well.

    Attributes:
        outputs: what it produced.
        fingerprint: that of its start.
        image: the reference of the image that it ran in.
        lock: the digest of the packages that it had; "" if it installed none, or nobody knows.
        packages: these, in the first event of the run that has this lock (see `provenance`).
    """

    kind: ClassVar[str] = "TaskSucceeded"

    task: str
    attempt: int = 0
    outputs: Values = Values()
    fingerprint: str = ""
    image: str = ""
    lock: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCached(Event):
    """A task was given what an earlier execution had produced, and did not run.

    Attributes:
        outputs: what it was given; the artifacts stay where they are.
        origin: the run of that execution.
        origin_task: its task's path.
        origin_sequence: the place of its `TaskSucceeded` in that run's list.
    """

    kind: ClassVar[str] = "TaskCached"

    task: str
    attempt: int = 0
    outputs: Values = Values()
    origin: str
    origin_task: str
    origin_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(Event):
    """An attempt of a task ended badly.

    Attributes:
        reason: one word (`Error`, `OOMKilled`, `DeadlineExceeded`, `Lost`, ...).
        message: a sentence for people: what happened, what to do.
        retry: when the next attempt may start, seconds since the epoch; None if that was the last.
        nested: True if it is a nested pipeline that is tried again: from here on its tasks are as
            if they had not been reached.
    """

    kind: ClassVar[str] = "TaskFailed"

    task: str
    attempt: int = 0
    reason: str
    message: str
    retry: float | None = None
    nested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSkipped(Event):
    """A task will not run, and why.

    `condition` tells whether its own condition is the reason, and not what became of others.
    """

    kind: ClassVar[str] = "TaskSkipped"

    task: str
    reason: str
    condition: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCanceled(Event):
    """An attempt was under way when the run was terminated, and is stopped."""

    kind: ClassVar[str] = "TaskCanceled"

    task: str
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerminating(Event):
    """Someone asked to stop the run; the engine stops its pods and then ends it."""

    kind: ClassVar[str] = "RunTerminating"

    requested_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetried(Event):
    """Someone asked for what failed in a run that has ended to be done again (see `reset`).

    Attributes:
        dropped: the paths of the tasks that are as if they had not been reached, with all in them.
        reopened: the paths of the DAGs, loops and iterations that go on.
    """

    kind: ClassVar[str] = "RunRetried"

    dropped: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """Nothing more happens to the run unless it is retried.

    Attributes:
        phase: an ended phase.
        message: why it failed, for people; "" if it did not.
        outputs: the pipeline's own outputs.
    """

    kind: ClassVar[str] = "RunEnded"

    phase: RunPhase
    message: str = ""
    outputs: Values = Values()


KINDS: Mapping[str, type[Event]] = {
    each.kind: each
    for each in (
        RunCreated,
        TaskStarted,
        TaskSucceeded,
        TaskCached,
        TaskFailed,
        TaskSkipped,
        TaskCanceled,
        RunTerminating,
        RunRetried,
        RunEnded,
    )
}
"""Every kind of event by its name in the store; a stored name never changes its meaning."""

_ENVELOPE = ("run_id", "time", "sequence")
_BODIES: Mapping[str, tuple[str, ...]] = {
    kind: tuple(each.name for each in dataclasses.fields(found) if each.name not in _ENVELOPE)
    for kind, found in KINDS.items()
}


def encode(event: Event) -> dict[str, Json]:
    """Give the event's body as JSON data, without run_id, time, sequence and kind.

    It shares with the event what that holds, and is not to be changed.
    """
    # Not by dataclasses.asdict, which copies all there is: it is most of what a step's end takes.
    body = {name: getattr(event, name) for name in _BODIES[event.kind]}
    for name in ("inputs", "outputs"):
        if name in body:
            body[name] = values_to_json(body[name])
    return body


def decode(
    kind: str, body: Mapping[str, Json], *, run_id: str, time: float, sequence: int
) -> Event:
    """Make the event that `encode` gave the body of.

    Raises:
        ValueError: the kind or a field is unknown: a newer version wrote it, or it is damaged.
    """
    found = KINDS.get(kind)
    if found is None:
        raise ValueError(f"run {run_id}, event {sequence}: unknown kind {kind!r}")
    values = dict(body)
    for name in ("inputs", "outputs"):
        if name in values:
            values[name] = values_from_json(values[name])
    for name in ("dropped", "reopened", "packages", "ineffective"):
        if name in values:
            values[name] = tuple(values[name])
    try:
        if "phase" in values:
            values["phase"] = RunPhase(values["phase"])
        return found(run_id=run_id, time=time, sequence=sequence, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"run {run_id}, event {sequence} ({kind}): {error}") from error


def values_to_json(values: Values) -> dict[str, Json]:
    """Give the JSON form of values."""
    return {
        "parameters": values.parameters,
        "artifacts": {
            name: [dataclasses.asdict(each) for each in listed]
            for name, listed in values.artifacts.items()
        },
    }


def values_from_json(data: Mapping[str, Json]) -> Values:
    """Make `Values` from the JSON form that `values_to_json` gives."""
    return Values(
        parameters=dict(data.get("parameters", {})),
        artifacts={
            name: tuple(Artifact(**each) for each in listed)
            for name, listed in data.get("artifacts", {}).items()
        },
    )


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The columns of a run's row that are derived from its events.

    Attributes:
        sequence: how many events the run has.
        phase: its state.
        message: why it failed, or "".
        updated: the time of its last event.
        finished: when it ended, or None.
        history: each phase it went through with the time it began.
    """

    sequence: int = 0
    phase: RunPhase = RunPhase.PENDING
    message: str = ""
    updated: float = 0.0
    finished: float | None = None
    history: tuple[tuple[RunPhase, float], ...] = ()


def advance(status: RunStatus, event: Event) -> RunStatus:
    """Give the status after the event; pure, and the only place where a run's phase changes."""
    phase, message, finished = status.phase, status.message, status.finished
    match event:
        case RunCreated():
            phase = RunPhase.PENDING
        case TaskStarted() if phase is RunPhase.PENDING:
            phase = RunPhase.RUNNING
        case RunTerminating() if not phase.ended:
            phase = RunPhase.CANCELING
        case RunRetried():
            phase, message, finished = RunPhase.RUNNING, "", None
        case RunEnded():
            phase, message, finished = event.phase, event.message, event.time
    history = status.history
    if not history or history[-1][0] is not phase:
        history = (*history, (phase, event.time))
    return RunStatus(
        sequence=status.sequence + 1,
        phase=phase,
        message=message,
        updated=event.time,
        finished=finished,
        history=history,
    )
