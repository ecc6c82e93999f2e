"""Runs and their events, the artifacts and the outbox that are derived from them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Row, delete, insert, select, update

from ..events import (
    Event,
    RunCreated,
    RunPhase,
    RunStatus,
    TaskSucceeded,
    advance,
    decode,
    encode,
)
from ..paging import Position, Query
from . import catalog, queries, tables
from .database import Database
from .interface import (
    AlreadyExistsError,
    ArtifactRecord,
    ConflictError,
    InUseError,
    NotFoundError,
    OutboxEntry,
    OutboxRecord,
    Recorder,
    Run,
    Storage,
)


def record_nothing(events: Sequence[Event]) -> Sequence[OutboxRecord]:
    """Give no records: nobody is told of runs."""
    return ()


class Runs:
    """The runs; an `EventStore`."""

    def __init__(self, database: Database, recorder: Recorder = record_nothing) -> None:
        """`recorder` says what new events give to deliver; it is called in their transaction."""
        self._database = database
        self._recorder = recorder
        self._callbacks: dict[object, Callable[[str], None]] = {}
        self._callbacks_lock = threading.Lock()

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
                known = _requested(connection, *request)
                if known is not None:
                    return known
            experiment = catalog.experiment_of(connection, run.experiment_id)
            if experiment.storage is Storage.ARCHIVED:
                raise InUseError(
                    f"experiment {experiment.display_name!r} is archived; unarchive it first"
                )
            spec = catalog.keep_spec(connection, body)
            row = dataclasses.asdict(dataclasses.replace(run, spec=spec))
            row["finished"], row["history"] = 0.0, []
            row["request_key"], row["request_digest"] = request or (None, "")
            connection.execute(insert(tables.runs).values(row))
            self._append(connection, run.run_id, [dataclasses.replace(created, spec=spec)], 0)
            experiments = tables.experiments
            connection.execute(
                update(experiments)
                .where(experiments.c.experiment_id == run.experiment_id)
                .values(last_run_created=run.created)
            )
            kept = _run_of(connection, run.run_id)
        self._tell(run.run_id)
        return kept

    # Events

    def append(
        self, run_id: str, events: Sequence[Event], expected_sequence: int
    ) -> tuple[Event, ...]:
        """Record events; see `EventStore.append`."""
        with self._database.write() as connection:
            recorded = self._append(connection, run_id, events, expected_sequence)
        self._tell(run_id)
        return recorded

    def _append(
        self,
        connection: sqlalchemy.Connection,
        run_id: str,
        events: Sequence[Event],
        expected_sequence: int,
    ) -> tuple[Event, ...]:
        run = _run_of(connection, run_id)
        if run.sequence != expected_sequence:
            raise ConflictError(f"run {run_id} has {run.sequence} events, not {expected_sequence}")
        if any(event.run_id != run_id for event in events):
            raise ValueError(f"an event of another run cannot be appended to run {run_id}")
        recorded = tuple(
            dataclasses.replace(event, sequence=expected_sequence + place)
            for place, event in enumerate(events, 1)
        )
        if not recorded:
            return ()
        connection.execute(
            insert(tables.events),
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
        status = RunStatus(
            run.sequence, run.phase, run.message, run.updated, run.finished, run.history
        )
        for event in recorded:
            status = advance(status, event)
        connection.execute(
            update(tables.runs)
            .where(tables.runs.c.run_id == run_id, tables.runs.c.sequence == expected_sequence)
            .values(
                sequence=status.sequence,
                phase=status.phase.value,
                message=status.message,
                updated=status.updated,
                finished=status.finished or 0.0,
                history=[[phase.value, moment] for phase, moment in status.history],
            )
        )
        _record_artifacts(connection, recorded)
        for record in self._recorder(recorded):
            connection.execute(
                insert(tables.outbox)
                .prefix_with("OR IGNORE", dialect="sqlite")
                .values(
                    key=record.key,
                    run_id=record.run_id,
                    body=dict(record.body),
                    created=recorded[-1].time,
                )
            )
        return recorded

    def events(self, run_id: str, after: int = 0) -> tuple[Event, ...]:
        """Give a run's events in order; see `EventStore.events`."""
        table = tables.events
        with self._database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.run_id == run_id, table.c.sequence > after)
                .order_by(table.c.sequence)
            ).all()
            if not rows:
                _run_of(connection, run_id)
        return tuple(
            decode(row.kind, row.body, run_id=run_id, time=row.time, sequence=row.sequence)
            for row in rows
        )

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back after each change of a run; see `EventStore.subscribe`."""
        key = object()
        with self._callbacks_lock:
            self._callbacks[key] = callback

        def stop() -> None:
            with self._callbacks_lock:
                self._callbacks.pop(key, None)

        return stop

    def _tell(self, run_id: str) -> None:
        with self._callbacks_lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback(run_id)

    # Runs

    def run(self, run_id: str) -> Run:
        """Give a run's row; NotFoundError if there is none."""
        with self._database.read() as connection:
            return _run_of(connection, run_id)

    def requested(self, key: str, digest: str) -> Run | None:
        """Give the run that a request with that key made, or None; see `create`."""
        with self._database.read() as connection:
            return _requested(connection, key, digest)

    def runs(self, query: Query) -> tuple[list[Run], int, Position | None]:
        """Give a page of runs, the total, and where the next page starts."""
        with self._database.read() as connection:
            rows, total, following = queries.page(connection, tables.runs, "run_id", query)
        return [_run(row) for row in rows], total, following

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
            run = _run_of(connection, run_id)
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

    def delete(self, run_id: str) -> None:
        """Delete a run with its events and artifact records.

        Raises:
            InUseError: it has not ended.
        """
        with self._database.write() as connection:
            run = _run_of(connection, run_id)
            if not run.phase.ended:
                raise InUseError(
                    f"run {run_id} is {run.phase}; terminate it and wait until it has ended"
                )
            connection.execute(delete(tables.runs).where(tables.runs.c.run_id == run_id))
            catalog.drop_unused_spec(connection, run.spec)
        self._tell(run_id)

    def spec(self, digest: str) -> bytes:
        """Give a spec as JSON text; see `EventStore.spec`."""
        with self._database.read() as connection:
            row = connection.execute(
                select(tables.specs.c.body).where(tables.specs.c.digest == digest)
            ).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no pipeline spec {digest}")
        body: bytes = row.body
        return body

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

    def artifacts_of(self, run_id: str) -> list[ArtifactRecord]:
        """Give every artifact that a run's tasks produced, in order."""
        table = tables.artifacts
        with self._database.read() as connection:
            rows = connection.execute(
                select(table).where(table.c.run_id == run_id).order_by(table.c.artifact_id)
            ).all()
        return [ArtifactRecord(**row._mapping) for row in rows]

    # The outbox

    def outbox(
        self, limit: int = 100, *, excluding: Sequence[str] = ()
    ) -> tuple[OutboxEntry, ...]:
        """Give the oldest waiting records; see `EventStore.outbox`."""
        table = tables.outbox
        with self._database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.run_id.not_in(excluding))
                .order_by(table.c.entry_id)
                .limit(limit)
            ).all()
        return tuple(
            OutboxEntry(row.entry_id, OutboxRecord(row.key, row.run_id, row.body), row.created)
            for row in rows
        )

    def delivered(self, entry_ids: Sequence[int]) -> None:
        """Drop records that were delivered."""
        with self._database.write() as connection:
            connection.execute(
                delete(tables.outbox).where(tables.outbox.c.entry_id.in_(entry_ids))
            )


def _record_artifacts(connection: sqlalchemy.Connection, events: Sequence[Event]) -> None:
    rows = [
        {
            "run_id": event.run_id,
            "task": event.task,
            "output": output,
            "position": position,
            "name": artifact.name,
            "type": artifact.type,
            "uri": artifact.uri,
            "metadata": dict(artifact.metadata),
            "created": event.time,
        }
        for event in events
        if isinstance(event, TaskSucceeded)
        for output, artifacts in event.outputs.artifacts.items()
        for position, artifact in enumerate(artifacts)
    ]
    if not rows:
        return
    # A nested DAG passes its tasks' artifacts on: they stay the same artifacts.
    table = tables.artifacts
    known = set(
        connection.execute(
            select(table.c.uri).where(table.c.run_id == rows[0]["run_id"], table.c.uri != "")
        ).scalars()
    )
    fresh = []
    for row in rows:
        if row["uri"] not in known:
            fresh.append(row)
            known.update({row["uri"]} - {""})
    if fresh:
        connection.execute(insert(table), fresh)


def _requested(connection: sqlalchemy.Connection, key: str, digest: str) -> Run | None:
    table = tables.runs
    row = connection.execute(select(table).where(table.c.request_key == key)).one_or_none()
    if row is None:
        return None
    if row.request_digest != digest:
        raise AlreadyExistsError(f"the idempotency key was used for run {row.run_id}, asked else")
    return _run(row)


def _run_of(connection: sqlalchemy.Connection, run_id: str) -> Run:
    row = connection.execute(
        select(tables.runs).where(tables.runs.c.run_id == run_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}")
    return _run(row)


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    del values["request_key"], values["request_digest"]
    values["storage"] = Storage(values["storage"])
    values["phase"] = RunPhase(values["phase"])
    values["finished"] = values["finished"] or None
    values["history"] = tuple((RunPhase(phase), moment) for phase, moment in values["history"])
    return Run(**values)
