"""What is read of runs, in the caller's transaction."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Row, Text, bindparam, select, type_coerce

from ..events import Event, RunPhase, RunStatus, decode
from ..runstate import RunState, fold
from . import tables
from .interface import (
    AlreadyExistsError,
    ArtifactKey,
    ArtifactRecord,
    InUseError,
    NotFoundError,
    Run,
    Storage,
)

_PIECE: Final = 1000
"""How many events are read at a time: a run of many must not be in memory several times over."""


def run_of(connection: sqlalchemy.Connection, run_id: str) -> Run:
    """Give a run's row; NotFoundError if there is none."""
    row = connection.execute(
        select(tables.runs).where(tables.runs.c.run_id == run_id)
    ).one_or_none()
    if row is None:
        raise _missing(run_id)
    return run_row(row)


_STATUS: Final = select(
    *(tables.runs.c[each.name] for each in dataclasses.fields(RunStatus))
).where(tables.runs.c.run_id == bindparam("run_id"))


def status_of(connection: sqlalchemy.Connection, run_id: str) -> RunStatus:
    """Give what of a run's row follows from its events; NotFoundError if there is none."""
    row = connection.execute(_STATUS, {"run_id": run_id}).one_or_none()
    if row is None:
        raise _missing(run_id)
    return RunStatus(
        sequence=row.sequence,
        phase=RunPhase(row.phase),
        message=row.message,
        updated=row.updated,
        finished=row.finished or None,
        history=_history(row.history),
    )


def _missing(run_id: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run_id!r}")


def _history(recorded: Sequence[tuple[str, float]]) -> tuple[tuple[RunPhase, float], ...]:
    return tuple((RunPhase(phase), moment) for phase, moment in recorded)


def run_row(row: Row[Any]) -> Run:
    """Give what a row of the runs' table says."""
    values = dict(row._mapping)
    del values["request_key"], values["request_digest"]
    values["storage"] = Storage(values["storage"])
    values["phase"] = RunPhase(values["phase"])
    values["finished"] = values["finished"] or None
    values["history"] = _history(values["history"])
    return Run(**values)


def ended(connection: sqlalchemy.Connection, run_id: str) -> Run:
    """Give the row of a run that has ended.

    Raises:
        NotFoundError: there is no such run.
        InUseError: it has not ended.
    """
    run = run_of(connection, run_id)
    if not run.phase.ended:
        raise InUseError(f"run {run_id} is {run.phase}; terminate it and wait until it has ended")
    return run


def requested(connection: sqlalchemy.Connection, key: str, digest: str) -> Run | None:
    """Give the run that a request with this key made, if there was one.

    Raises:
        AlreadyExistsError: that request asked something else.
    """
    table = tables.runs
    row = connection.execute(select(table).where(table.c.request_key == key)).one_or_none()
    if row is None:
        return None
    if row.request_digest != digest:
        raise AlreadyExistsError(f"the idempotency key was used for run {row.run_id}, asked else")
    return run_row(row)


def events_of(
    connection: sqlalchemy.Connection, run_id: str, after: int = 0, limit: int | None = None
) -> tuple[Event, ...]:
    """Give a run's events behind a number, at most `limit`.

    Raises:
        NotFoundError: there is no such run.
    """
    found = tuple(_events(connection, run_id, after, limit))
    if not found:
        run_of(connection, run_id)
    return found


def state_of(connection: sqlalchemy.Connection, run_id: str) -> RunState:
    """Give what a run's events amount to, which are not kept; the run must be there."""
    return fold(_events(connection, run_id))


def _events(
    connection: sqlalchemy.Connection, run_id: str, after: int = 0, limit: int | None = None
) -> Iterator[Event]:
    table = tables.events
    rows = connection.execute(
        select(table.c.sequence, table.c.time, table.c.kind, type_coerce(table.c.body, Text))
        .where(table.c.run_id == run_id, table.c.sequence > after)
        .order_by(table.c.sequence)
        .limit(limit)
        .execution_options(yield_per=_PIECE)
    )
    for piece in rows.partitions():
        # Each is small: they are parsed in one go.
        bodies = json.loads(f"[{','.join(row[3] for row in piece)}]")
        for (sequence, time, kind, _), body in zip(piece, bodies, strict=True):
            yield decode(kind, body, run_id=run_id, time=time, sequence=sequence)


def event_of(row: Row[Any]) -> Event:
    """Give the event that a row holds."""
    return decode(row.kind, row.body, run_id=row.run_id, time=row.time, sequence=row.sequence)


def artifact_keys(connection: sqlalchemy.Connection, run_id: str) -> tuple[ArtifactKey, ...]:
    """Give how the artifacts that a run's tasks made are known, in order."""
    table = tables.artifacts
    wanted = (table.c.artifact_id, table.c.task, table.c.output, table.c.position, table.c.uri)
    rows = connection.execute(
        select(*wanted).where(table.c.run_id == run_id).order_by(table.c.artifact_id)
    ).all()
    return tuple(ArtifactKey(*row) for row in rows)


def artifacts_of(connection: sqlalchemy.Connection, run_id: str) -> tuple[ArtifactRecord, ...]:
    """Give the artifacts that a run's tasks made, in order."""
    table = tables.artifacts
    rows = connection.execute(
        select(table).where(table.c.run_id == run_id).order_by(table.c.artifact_id)
    ).all()
    return tuple(ArtifactRecord(**row._mapping) for row in rows)


def spec(connection: sqlalchemy.Connection, digest: str) -> bytes:
    """Give a pipeline spec as JSON text; NotFoundError if there is none."""
    row = connection.execute(
        select(tables.specs.c.body).where(tables.specs.c.digest == digest)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no pipeline spec {digest}")
    body: bytes = row.body
    return body
