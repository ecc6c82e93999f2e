"""Runs and their events, the artifacts and the outbox that are derived from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy
from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from ..events import (
    Event,
    RunCreated,
    RunRetried,
    RunStatus,
    TaskSucceeded,
    advance,
    encode,
)
from ..paging import Position, Query
from ..runstate import RunState
from . import catalog, derived, queries, reading, tables
from .database import Database, insert_new
from .interface import (
    ArtifactKey,
    ArtifactRecord,
    ConflictError,
    Execution,
    InUseError,
    NotFoundError,
    OutboxEntry,
    OutboxRecord,
    Recipient,
    Recorder,
    Refusals,
    Run,
    Storage,
)
from .listeners import Listeners

_REFUSED_KEPT: Final = 30 * 24 * 3600.0
# What each step is recorded by, made once: SQLAlchemy takes longer to make a statement than
# SQLite to carry it out.
_ADD_EVENTS: Final = insert(tables.events)
# What is not in it is not written: indexes are kept of some of the rest.
_ALWAYS: Final = ("sequence", "updated")
_SELDOM: Final = ("phase", "message", "finished", "history")
_ADVANCE: Final = update(tables.runs).where(
    tables.runs.c.run_id == bindparam("of_run"),
    tables.runs.c.sequence == bindparam("expected"),
)
_ADVANCES: Final = {
    names: _ADVANCE.values({name: bindparam(name) for name in names})
    for names in (_ALWAYS, (*_ALWAYS, *_SELDOM))
}


def record_nothing(events: Sequence[Event]) -> Sequence[OutboxRecord]:
    """Give no records: nobody is told of runs."""
    return ()


@dataclass(frozen=True, slots=True)
class WholeRun:
    """A run with its tasks, its artifacts in the order they were made, its spec as JSON text."""

    run: Run
    state: RunState
    artifacts: tuple[ArtifactKey, ...]
    spec: bytes


class Runs:
    """The runs; an `EventStore`."""

    def __init__(self, database: Database, recorder: Recorder = record_nothing) -> None:
        """`recorder` says what new events give to deliver; it is called in their transaction."""
        self._database = database
        self._recorder = recorder
        self._listeners = Listeners()

    # Creation

    def create(
        self, run: Run, created: RunCreated, body: bytes, *, request: tuple[str, str] | None = None
    ) -> Run:
        """Add a run with its first event.

        Args:
            run: the row; its spec and what is derived are filled in.
            created: the first event.
            body: the pipeline spec, as JSON.
            request: the key that the client gave its request and the digest of what it asked: a
                second request with the same key and digest gives the first one's run.

        Raises:
            NotFoundError: there is no such experiment.
            InUseError: the experiment is archived.
            AlreadyExistsError: the key was used for a different request.
        """
        with self._database.write() as connection:
            if request is not None:
                known = reading.requested(connection, *request)
                if known is not None:
                    return known
            kept = self.insert(connection, run, created, body, request=request)
        self.announce(kept.run_id)
        return kept

    def insert(
        self,
        connection: sqlalchemy.Connection,
        run: Run,
        created: RunCreated,
        body: bytes,
        *,
        request: tuple[str, str] | None = None,
    ) -> Run:
        """Add a run in the caller's transaction; see `create`. `announce` comes after it.

        Raises:
            NotFoundError, InUseError: as `create`.
        """
        experiment = catalog.available_experiment(connection, run.experiment_id)
        spec = catalog.keep_spec(connection, body)
        row = dataclasses.asdict(dataclasses.replace(run, spec=spec))
        row["finished"], row["history"] = 0.0, []
        row["scheduled"] = run.created if run.scheduled is None else run.scheduled
        row["request_key"], row["request_digest"] = request or (None, "")
        connection.execute(insert(tables.runs).values(row))
        self._append(connection, run.run_id, [dataclasses.replace(created, spec=spec)], 0)
        experiments = tables.experiments
        connection.execute(
            update(experiments)
            .where(experiments.c.experiment_id == experiment.experiment_id)
            .values(last_run_created=run.created)
        )
        return reading.run_of(connection, run.run_id)

    def announce(self, run_id: str) -> None:
        """Tell the subscribers of a run that `insert` added, once that is committed."""
        self._listeners.tell(run_id)

    # Events

    def append(
        self,
        run_id: str,
        events: Sequence[Event],
        expected_sequence: int,
        *,
        durable: bool = True,
        wait: bool = True,
    ) -> tuple[Event, ...]:
        """Record events; see `EventStore.append`."""
        with self._database.write(durable=durable, wait=wait) as connection:
            recorded = self._append(connection, run_id, events, expected_sequence)
        self._listeners.tell(run_id)
        return recorded

    def _append(
        self,
        connection: sqlalchemy.Connection,
        run_id: str,
        events: Sequence[Event],
        expected_sequence: int,
    ) -> tuple[Event, ...]:
        status = reading.status_of(connection, run_id)
        if status.sequence != expected_sequence:
            raise ConflictError(
                f"run {run_id} has {status.sequence} events, not {expected_sequence}"
            )
        if any(event.run_id != run_id for event in events):
            raise ValueError(f"an event of another run cannot be appended to run {run_id}")
        recorded = tuple(
            dataclasses.replace(event, sequence=expected_sequence + place)
            for place, event in enumerate(events, 1)
        )
        if not recorded:
            return ()
        connection.execute(
            _ADD_EVENTS,
            [
                {
                    "run_id": run_id,
                    "sequence": event.sequence,
                    "time": event.time,
                    "kind": event.kind,
                    "body": encode(event),
                }
                for event in recorded
            ],
        )
        before = status
        for event in recorded:
            status = advance(status, event)
        self._advance(connection, run_id, before, status)
        if any(isinstance(event, RunRetried) for event in recorded):
            derived.check_retried(connection, run_id)
        derived.forget_dropped(connection, recorded)
        derived.check_cached(connection, recorded)
        derived.check_imported(connection, recorded)
        derived.record_executions(connection, recorded)
        derived.record_artifacts(connection, recorded)
        told = [
            {
                "key": record.key,
                "recipient": record.recipient.value,
                "run_id": record.run_id,
                "body": dict(record.body),
                "created": recorded[-1].time,
            }
            for record in self._recorder(recorded)
        ]
        if told:
            connection.execute(insert_new(connection, tables.outbox), told)
        return recorded

    @staticmethod
    def _advance(
        connection: sqlalchemy.Connection, run_id: str, before: RunStatus, after: RunStatus
    ) -> None:
        """Write what follows from new events to the run's row."""
        changed = any(getattr(before, name) != getattr(after, name) for name in _SELDOM)
        values = {
            "of_run": run_id,
            "expected": before.sequence,
            "sequence": after.sequence,
            "updated": after.updated,
        }
        if changed:
            values |= {
                "phase": after.phase.value,
                "message": after.message,
                "finished": after.finished or 0.0,
                "history": [[phase.value, moment] for phase, moment in after.history],
            }
        connection.execute(_ADVANCES[(*_ALWAYS, *_SELDOM) if changed else _ALWAYS], values)

    def events(self, run_id: str, after: int = 0) -> tuple[Event, ...]:
        """Give a run's events in order; see `EventStore.events`."""
        with self._database.read() as connection:
            return reading.events_of(connection, run_id, after)

    def since(self, run_id: str, after: int, limit: int) -> tuple[Run, tuple[Event, ...]]:
        """Give a run's row with its next events; see `EventStore.since`."""
        with self._database.read() as connection:
            run = reading.run_of(connection, run_id)
            # Most often nothing is to be read: a client has all that there is.
            listed = (
                reading.events_of(connection, run_id, after, limit) if after < run.sequence else ()
            )
            return run, listed

    def execution(self, fingerprint: str, since: float) -> Execution | None:
        """Give the newest execution that others may be given the outputs of.

        See `EventStore.execution`.
        """
        kept, table = tables.executions, tables.events
        with self._database.read() as connection:
            row = connection.execute(
                select(table)
                .join(
                    kept, (kept.c.run_id == table.c.run_id) & (kept.c.sequence == table.c.sequence)
                )
                .where(kept.c.fingerprint == fingerprint, kept.c.finished >= since)
                .order_by(kept.c.finished.desc())
                .limit(1)
            ).one_or_none()
        if row is None:
            return None
        event = reading.event_of(row)
        if not isinstance(event, TaskSucceeded):
            raise ValueError(f"run {row.run_id}, event {row.sequence} is no {TaskSucceeded.kind}")
        return Execution(
            run_id=event.run_id, task=event.task, sequence=event.sequence, outputs=event.outputs
        )

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back after each change of a run; see `EventStore.subscribe`."""
        return self._listeners.subscribe(callback)

    # Runs

    def run(self, run_id: str) -> Run:
        """Give a run's row; NotFoundError if there is none."""
        with self._database.read() as connection:
            return reading.run_of(connection, run_id)

    def whole(self, run_id: str) -> WholeRun:
        """Give all that is known of a run, as it was at one moment.

        Raises:
            NotFoundError: there is no such run.
        """
        with self._database.read() as connection:
            run = reading.run_of(connection, run_id)
            return WholeRun(
                run,
                reading.state_of(connection, run_id),
                reading.artifact_keys(connection, run_id),
                reading.spec(connection, run.spec),
            )

    def requested(self, key: str, digest: str) -> Run | None:
        """Give the run that a request with that key made, or None; see `create`."""
        with self._database.read() as connection:
            return reading.requested(connection, key, digest)

    def runs(self, query: Query) -> tuple[list[Run], int, Position | None]:
        """Give a page of runs, the total, and where the next page starts."""
        with self._database.read() as connection:
            rows, total, following = queries.page(connection, tables.runs, "run_id", query)
        return [reading.run_row(row) for row in rows], total, following

    def active_runs(self) -> tuple[str, ...]:
        """Give the ids of runs that have not ended, oldest first."""
        table = tables.runs
        with self._database.read() as connection:
            rows = connection.execute(
                select(table.c.run_id)
                .where(table.c.finished == 0)
                .order_by(table.c.created, table.c.run_id)
            ).all()
        return tuple(row.run_id for row in rows)

    def store(self, run_id: str, storage: Storage) -> None:
        """Archive or unarchive a run.

        Raises:
            InUseError: it is to be unarchived, and its experiment is archived.
        """
        with self._database.write() as connection:
            run = reading.run_of(connection, run_id)
            if storage is Storage.AVAILABLE:
                experiments = tables.experiments
                row = connection.execute(
                    select(experiments.c.storage).where(
                        experiments.c.experiment_id == run.experiment_id
                    )
                ).one_or_none()
                if row is not None and row.storage == Storage.ARCHIVED:
                    raise InUseError(
                        f"run {run_id} belongs to an archived experiment; unarchive that first"
                    )
            connection.execute(
                update(tables.runs)
                .where(tables.runs.c.run_id == run_id)
                .values(storage=storage.value)
            )

    def expired(
        self, before: float, keep: int | None, *, recorded: bool
    ) -> tuple[tuple[str, int], ...]:
        """Give runs that have ended and are to be removed, the newest first.

        Each with the number of its events, for `retire`.

        Args:
            before: those that ended before this time are.
            keep: those are that are not among the newest so many; None for no such bound.
            recorded: leave out those of which something waits to be told to MLflow.
        """
        table = tables.runs
        order = (table.c.finished.desc(), table.c.run_id.desc())
        found = select(table.c.run_id, table.c.finished, table.c.sequence).where(
            table.c.finished > 0
        )
        with self._database.read() as connection:
            conditions = [table.c.finished < before]
            if keep is not None:
                first = connection.execute(found.order_by(*order).offset(keep).limit(1)).first()
                if first is not None:
                    conditions.append(table.c.finished < first.finished)
                    same = table.c.finished == first.finished
                    conditions.append(same & (table.c.run_id <= first.run_id))
            found = found.where(or_(*conditions)).order_by(*order)
            if recorded:
                waiting = tables.outbox.c.recipient == Recipient.MLFLOW.value
                found = found.where(
                    table.c.run_id.not_in(select(tables.outbox.c.run_id).where(waiting))
                )
            return tuple((row.run_id, row.sequence) for row in connection.execute(found))

    def retire(self, run_id: str, sequence: int | None = None) -> None:
        """Make a run ready to be deleted.

        From now on nothing of it is taken from the cache, and it cannot be retried.

        Args:
            run_id: the run.
            sequence: how many events it had when this was decided; None if that does not matter.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has had more since: it was retried.
            InUseError: it has not ended, or other runs use its artifacts.
        """
        table = tables.artifacts
        with self._database.write() as connection:
            run = reading.ended(connection, run_id)
            if sequence not in (None, run.sequence):
                raise ConflictError(f"run {run_id} has {run.sequence} events, not {sequence}")
            users = connection.execute(
                select(table.c.run_id).where(table.c.origin == run_id).distinct().limit(4)
            )
            named = list(users.scalars())
            if named:
                more = " and others" if len(named) > 3 else ""
                raise InUseError(
                    f"run {run_id} made artifacts that were taken from the cache or imported by "
                    f"run {', '.join(named[:3])}{more}; delete those first"
                )
            kept = tables.executions
            connection.execute(delete(kept).where(kept.c.run_id == run_id))
            mark = {
                "run_id": run_id,
                "sequence": derived.RETIRED,
                "fingerprint": "",
                "finished": 0.0,
            }
            connection.execute(insert(kept).values(mark))

    def delete(self, run_id: str) -> None:
        """Delete a run with its events and artifact records.

        Raises:
            InUseError: it has not ended.
        """
        with self._database.write() as connection:
            run = reading.ended(connection, run_id)
            connection.execute(delete(tables.runs).where(tables.runs.c.run_id == run_id))
            catalog.drop_unused_spec(connection, run.spec)
        self._listeners.tell(run_id)

    def spec(self, digest: str) -> bytes:
        """Give a spec as JSON text; see `EventStore.spec`."""
        with self._database.read() as connection:
            return reading.spec(connection, digest)

    # Artifacts

    def artifact(self, artifact_id: int) -> ArtifactRecord:
        """Give an artifact; NotFoundError if there is none."""
        table = tables.artifacts
        with self._database.read() as connection:
            row = connection.execute(
                select(table).where(table.c.artifact_id == artifact_id)
            ).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no artifact {artifact_id}")
        return ArtifactRecord(**row._mapping)

    def artifacts(self, query: Query) -> tuple[list[ArtifactRecord], int, Position | None]:
        """Give a page of artifacts, the total, and where the next page starts."""
        with self._database.read() as connection:
            rows, total, following = queries.page(
                connection, tables.artifacts, "artifact_id", query
            )
        return [ArtifactRecord(**row._mapping) for row in rows], total, following

    def artifacts_of(self, run_id: str) -> tuple[ArtifactRecord, ...]:
        """Give every artifact that a run's tasks produced, in order."""
        with self._database.read() as connection:
            return reading.artifacts_of(connection, run_id)

    # The outbox

    def outbox(
        self, recipient: Recipient, limit: int = 100, *, excluding: Sequence[str] = ()
    ) -> tuple[OutboxEntry, ...]:
        """Give the oldest waiting records; see `EventStore.outbox`."""
        table = tables.outbox
        with self._database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.recipient == recipient.value, table.c.run_id.not_in(excluding))
                .order_by(table.c.entry_id)
                .limit(limit)
            ).all()
        return tuple(
            OutboxEntry(
                row.entry_id,
                OutboxRecord(row.key, row.run_id, row.body, recipient),
                row.created,
            )
            for row in rows
        )

    def delivered(self, entry_ids: Sequence[int]) -> None:
        """Drop records that were delivered."""
        with self._database.write() as connection:
            connection.execute(
                delete(tables.outbox).where(tables.outbox.c.entry_id.in_(entry_ids))
            )

    def refused(self, entry_id: int, why: str, now: float) -> None:
        """Keep a record that nobody takes; see `EventStore.refused`."""
        table = tables.outbox
        nobody = Recipient.NOBODY.value
        with self._database.write() as connection:
            row = connection.execute(
                select(table.c.body).where(table.c.entry_id == entry_id)
            ).one_or_none()
            if row is not None:
                connection.execute(
                    update(table)
                    .where(table.c.entry_id == entry_id)
                    .values(recipient=nobody, body={**row.body, "refused": why, "at": now})
                )
            connection.execute(
                delete(table).where(
                    table.c.recipient == nobody, table.c.created < now - _REFUSED_KEPT
                )
            )

    def refusals(self, since: float) -> Refusals:
        """Give the records that were refused for good and are of things after a time."""
        table = tables.outbox
        those = (table.c.recipient == Recipient.NOBODY.value, table.c.created >= since)
        with self._database.read() as connection:
            count = connection.execute(select(func.count()).select_from(table).where(*those))
            newest = connection.execute(
                select(table.c.body).where(*those).order_by(table.c.entry_id.desc()).limit(1)
            ).first()
            why = str(newest.body.get("refused", "")) if newest is not None else ""
            return Refusals(count.scalar_one(), why)
