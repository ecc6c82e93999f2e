"""What follows from events and is written in their transaction: the cache, and the artifacts.

Each function gets the events that are being recorded, all of one run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import delete, insert, select

from .. import naming
from ..events import Event, RunRetried, TaskCached, TaskFailed, TaskSucceeded, Values
from . import reading, tables
from .interface import ConflictError, InUseError

RETIRED = 0
"""The sequence of the entry in the cache's table that says that a run is about to be deleted."""
_BATCH = 1000
"""Values of one query, well below what a database takes."""


def check_cached(connection: sqlalchemy.Connection, events: Sequence[Event]) -> None:
    """See that what is taken from the cache is in it, and stays there until this is recorded."""
    table = tables.executions
    for event in events:
        if not isinstance(event, TaskCached):
            continue
        found = connection.execute(
            select(table.c.sequence)
            .where(table.c.run_id == event.origin, table.c.sequence == event.origin_sequence)
            .with_for_update(read=True)
        ).one_or_none()
        if found is None:
            raise ConflictError(
                f"run {event.run_id}: what task {event.task!r} was to be given by run "
                f"{event.origin} is not in the cache any more"
            )


def check_imported(connection: sqlalchemy.Connection, events: Sequence[Event]) -> None:
    """See that what is imported is of no run that has begun to be deleted."""
    table = tables.executions
    origins = {
        _origin(event.run_id, artifact.uri): event.run_id
        for event in events
        if isinstance(event, TaskSucceeded)
        for listed in event.outputs.artifacts.values()
        for artifact in listed
    }
    origins.pop("", None)
    for origin, run_id in origins.items():
        retired = select(table.c.sequence).where(
            table.c.run_id == origin, table.c.sequence == RETIRED
        )
        if connection.execute(retired).one_or_none() is not None:
            raise InUseError(
                f"run {run_id} imports an artifact of run {origin}, which is being deleted"
            )


def check_retried(connection: sqlalchemy.Connection, run_id: str) -> None:
    """See that a run that is to go on has not begun to be deleted."""
    table = tables.executions
    retired = select(table.c.sequence).where(table.c.run_id == run_id, table.c.sequence == RETIRED)
    if connection.execute(retired).one_or_none() is not None:
        raise InUseError(f"run {run_id} is being deleted; delete it once more, or start a new one")


def forget_dropped(connection: sqlalchemy.Connection, events: Sequence[Event]) -> None:
    """Delete the records of artifacts whose tasks are to run again."""
    table = tables.artifacts
    for event in events:
        match event:
            case RunRetried():
                dropped = set(event.dropped)
            case TaskFailed(nested=True):
                dropped = {event.task}
            case _:
                continue
        rows = connection.execute(
            select(table.c.artifact_id, table.c.task).where(table.c.run_id == event.run_id)
        ).all()
        gone = [row.artifact_id for row in rows if not dropped.isdisjoint(_around(row.task))]
        for first in range(0, len(gone), _BATCH):
            connection.execute(
                delete(table).where(table.c.artifact_id.in_(gone[first : first + _BATCH]))
            )
        # An artifact is recorded once: another task that stays may have been given the same.
        if gone:
            state = reading.state_of(connection, event.run_id)
            _insert_artifacts(
                connection,
                event.run_id,
                [
                    row
                    for task in state.tasks.values()
                    if task.phase.succeeded
                    for row in _artifact_rows(
                        event.run_id, task.path, task.outputs, task.finished or event.time
                    )
                    if row["uri"]
                ],
            )


def _around(path: str) -> Iterator[str]:
    """Give a task's path and those of all that it is in."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def record_executions(connection: sqlalchemy.Connection, events: Sequence[Event]) -> None:
    """Note what others may be given the outputs of."""
    rows = [
        {
            "run_id": event.run_id,
            "sequence": event.sequence,
            "fingerprint": event.fingerprint,
            "finished": event.time,
        }
        for event in events
        if isinstance(event, TaskSucceeded) and event.fingerprint
    ]
    if rows:
        connection.execute(insert(tables.executions), rows)


def record_artifacts(connection: sqlalchemy.Connection, events: Sequence[Event]) -> None:
    """Note the artifacts that tasks have made or were given."""
    rows = [
        row
        for event in events
        if isinstance(event, TaskSucceeded | TaskCached)
        for row in _artifact_rows(event.run_id, event.task, event.outputs, event.time)
    ]
    if rows:
        _insert_artifacts(connection, events[0].run_id, rows)


def _artifact_rows(
    run_id: str, task: str, outputs: Values, created: float
) -> Iterator[dict[str, Any]]:
    for output, artifacts in outputs.artifacts.items():
        for position, artifact in enumerate(artifacts):
            yield {
                "run_id": run_id,
                "task": task,
                "output": output,
                "position": position,
                "name": artifact.name,
                "type": artifact.type,
                "uri": artifact.uri,
                "metadata": dict(artifact.metadata),
                "created": created,
                "origin": _origin(run_id, artifact.uri),
            }


def _insert_artifacts(
    connection: sqlalchemy.Connection, run_id: str, rows: Sequence[dict[str, Any]]
) -> None:
    """Add the records of artifacts that the run has none of yet."""
    # A nested DAG passes its tasks' artifacts on: they stay the same artifacts.
    table = tables.artifacts
    known: set[str] = set()
    uris = sorted({row["uri"] for row in rows} - {""})
    for first in range(0, len(uris), _BATCH):
        found = select(table.c.uri).where(
            table.c.run_id == run_id, table.c.uri.in_(uris[first : first + _BATCH])
        )
        known.update(connection.execute(found).scalars())
    fresh = []
    for row in rows:
        if row["uri"] not in known:
            fresh.append(row)
            known.update({row["uri"]} - {""})
    if fresh:
        connection.execute(insert(table), fresh)


def _origin(run_id: str, uri: str) -> str:
    """Give the run that made an artifact, "" if it is this one or none."""
    maker = naming.maker(uri)
    return "" if maker == run_id else maker
