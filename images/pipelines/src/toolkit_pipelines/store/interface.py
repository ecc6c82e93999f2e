"""What the store offers, and the records it gives.

`toolkit_pipelines.store.open_store` gives a `Store`, whose `runs` is an `EventStore`. All methods
are blocking, short (milliseconds) and safe to call from any thread; on an event loop call them
through `asyncio.to_thread`. What a method changes is durable and visible to every reader when it
returns, unless it says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..events import Event, Json, RunPhase, Values
from ..schedule import Trigger


class StoreError(Exception):
    """The root of this module's errors."""


class NotFoundError(StoreError):
    """There is no such record. The message names it."""


class AlreadyExistsError(StoreError):
    """A record of that name or id exists. The message names it."""


class BusyError(StoreError):
    """It could not be done without waiting for others, and was not to. Nothing was changed."""


class ConflictError(StoreError):
    """Someone else appended to the run: read its events again, then decide again."""


class InUseError(StoreError):
    """The record cannot be deleted while others depend on it. The message says which."""


class Storage(enum.StrEnum):
    """Whether a record is shown by default (v2beta1 `storage_state`)."""

    AVAILABLE = "AVAILABLE"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A named group of runs. Times are seconds since the epoch."""

    experiment_id: str
    display_name: str
    description: str = ""
    namespace: str = ""
    created: float
    last_run_created: float | None = None
    storage: Storage = Storage.AVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named pipeline, which has versions."""

    pipeline_id: str
    name: str
    display_name: str
    description: str = ""
    namespace: str = ""
    created: float
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a pipeline. `spec` is the digest of its spec."""

    pipeline_version_id: str
    pipeline_id: str
    name: str
    display_name: str
    description: str = ""
    created: float
    spec: str
    code_source_url: str = ""
    package_url: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run.

    The first group is given at creation and by `archive`; the second is derived from its events
    (see `events.advance`) and changes only with them.

    Attributes:
        spec: the digest of the pipeline spec that it runs.
        pipeline_id: the stored pipeline it came from, or "" if the spec came with the run.
        pipeline_version_id: that pipeline's version, or "".
        parameters: as given; defaults are not filled in.
        scheduled: when it was due; None, for its creation, unless a schedule made it.
        recurring_run_id: the recurring run whose schedule made it, or "".
        sequence: the number of its events.
        history: each phase with the time it began.
    """

    run_id: str
    experiment_id: str
    display_name: str
    description: str = ""
    namespace: str = ""
    service_account: str = ""
    pipeline_id: str = ""
    pipeline_version_id: str = ""
    spec: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    pipeline_root: str = ""
    created: float
    scheduled: float | None = None
    recurring_run_id: str = ""
    storage: Storage = Storage.AVAILABLE

    sequence: int = 0
    phase: RunPhase = RunPhase.PENDING
    message: str = ""
    updated: float = 0.0
    finished: float | None = None
    history: tuple[tuple[RunPhase, float], ...] = ()


class Status(enum.StrEnum):
    """Whether a schedule makes runs (v2beta1 `RecurringRun.Status`)."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringRun:
    """A schedule, and what its runs are made from.

    Attributes:
        spec: the digest of the pipeline spec, or "" if each run takes its pipeline's newest.
        parameters: as given, with macros.
        max_concurrency: how many of its runs may be unfinished.
        catchup: whether each missed instant gets its run, rather than the last alone.
        trigger: when it is due.
        made: how many runs it has made.
        last: the instant that fired last, or None; seconds since the epoch, as `schedule` has it.
        next: the one that comes then, or None.
        last_run_id: the run that was made last, or "".
        problem: why the last instant made none, or "".
    """

    recurring_run_id: str
    experiment_id: str
    display_name: str
    description: str = ""
    pipeline_id: str = ""
    pipeline_version_id: str = ""
    spec: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    pipeline_root: str = ""
    max_concurrency: int
    catchup: bool
    trigger: Trigger
    status: Status
    created: float
    updated: float

    made: int = 0
    last: int | None = None
    next: int | None = None
    last_run_id: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """One artifact that a task of a run gave.

    Attributes:
        position: its place within a list output.
        origin: the other run that made it, if it was taken from the cache or imported; else "".
    """

    artifact_id: int
    run_id: str
    task: str
    output: str
    position: int
    name: str
    type: str
    uri: str
    metadata: Mapping[str, Json]
    created: float
    origin: str = ""


class ArtifactKey(NamedTuple):
    """How an artifact that a task of a run gave is known; see `ArtifactRecord`."""

    artifact_id: int
    task: str
    output: str
    position: int
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A task that ran and ended well, kept for others that would give the same.

    Attributes:
        task: its path.
        sequence: the place of its `TaskSucceeded` in the run's list.
    """

    run_id: str
    task: str
    sequence: int
    outputs: Values


class Recipient(enum.StrEnum):
    """Whom a record of the outbox is for."""

    MLFLOW = "MLflow"
    WEBHOOK = "webhook"
    NOBODY = "refused"
    """Those that were refused for good: kept for a while, for the operator."""


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """Something to deliver elsewhere, exactly the same however often it is computed.

    Attributes:
        key: identifies the delivery; a second record with the same key is dropped.
        run_id: the run that it is about.
        body: JSON data for whoever delivers it.
        recipient: who is to have it.
    """

    key: str
    run_id: str
    body: Mapping[str, Json]
    recipient: Recipient = Recipient.MLFLOW


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A record that waits; entries of one run are delivered in the order of `entry_id`."""

    entry_id: int
    record: OutboxRecord
    created: float


@dataclass(frozen=True, slots=True)
class Refusals:
    """Records that were refused for good: how many, and why the newest was."""

    count: int = 0
    why: str = ""


Recorder = Callable[[Sequence[Event]], Sequence[OutboxRecord]]
"""Pure: the records that newly appended events give. Called inside the transaction."""


class EventStore(Protocol):
    """What the engine uses of the store."""

    def append(
        self,
        run_id: str,
        events: Sequence[Event],
        expected_sequence: int,
        *,
        durable: bool = True,
        wait: bool = True,
    ) -> tuple[Event, ...]:
        """Record events at the end of a run's list, all or none, and give them numbered.

        The run's derived columns and the outbox change in the same transaction.

        Args:
            run_id: the run.
            events: what happened.
            expected_sequence: how many events it has.
            durable: False for what would be found out again: see `Database.write`.
            wait: False for who is on the event loop, and would not wait: see there.

        Raises:
            BusyError: it would have to wait; nothing was recorded.
            ConflictError: the run does not have exactly `expected_sequence` events, or a task was
                to be taken from the cache that is there no more.
            NotFoundError: there is no such run.
            InUseError: it is to be retried, and is being deleted; or an artifact is imported of a
                run that is being deleted, and it can be tried again once that is gone.
        """
        ...

    def events(self, run_id: str, after: int = 0) -> tuple[Event, ...]:
        """Give a run's events in order, those with a sequence above `after`.

        Raises:
            NotFoundError: there is no such run.
            ValueError: a stored event cannot be read; the message names it.
        """
        ...

    def since(self, run_id: str, after: int, limit: int) -> tuple[Run, tuple[Event, ...]]:
        """Give a run's row with the first of its events after a number, as of one moment.

        Raises:
            NotFoundError: there is no such run.
            ValueError: a stored event cannot be read; the message names it.
        """
        ...

    def execution(self, fingerprint: str, since: float) -> Execution | None:
        """Give the newest execution of that fingerprint that ended at `since` or later, or None.

        Raises:
            ValueError: its event cannot be read.
        """
        ...

    def run(self, run_id: str) -> Run:
        """Give a run's row; NotFoundError if there is none."""
        ...

    def active_runs(self) -> tuple[str, ...]:
        """Give the ids of runs that have not ended, oldest first."""
        ...

    def spec(self, digest: str) -> bytes:
        """Give a spec as JSON text; NotFoundError if there is none.

        It is the pipeline spec alone, or `{"pipeline_spec": ..., "platform_spec": ...}`.
        """
        ...

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the run's id after each append or deletion; give the way to stop it.

        The callback runs in the thread that appended, after the commit, and must not block: hand
        over with `loop.call_soon_threadsafe`. It hears of this process's writes only.
        """
        ...

    def outbox(
        self, recipient: Recipient, limit: int = 100, *, excluding: Sequence[str] = ()
    ) -> tuple[OutboxEntry, ...]:
        """Give the oldest waiting records for a recipient.

        Those of the runs in `excluding` are left out.
        """
        ...

    def delivered(self, entry_ids: Sequence[int]) -> None:
        """Drop records that were delivered."""
        ...

    def refused(self, entry_id: int, why: str, now: float) -> None:
        """Keep a record, with the reason, that its recipient will never take; for 30 days."""
        ...
