"""Recurring runs: schedules, and the runs that they have made.

That an instant has fired is written down in the transaction that adds its run, so that each makes
one run, whenever the service is killed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import sqlalchemy
from sqlalchemy import Row, delete, func, insert, select, update

from ..events import RunCreated
from ..paging import Position, Query
from ..schedule import Schedule, Trigger
from . import catalog, queries, tables
from .database import Database
from .interface import NotFoundError, RecurringRun, Run, Status
from .listeners import Listeners
from .runs import Runs


class RecurringRuns:
    """The schedules."""

    def __init__(self, database: Database, runs: Runs) -> None:
        """`runs` is where the runs are added."""
        self._database = database
        self._runs = runs
        self._listeners = Listeners()

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back when a schedule may be due sooner than it was; as `EventStore.subscribe`."""
        return self._listeners.subscribe(callback)

    def create(self, record: RecurringRun, body: bytes | None) -> RecurringRun:
        """Add one.

        Args:
            record: it, without what follows from its runs.
            body: the pipeline spec, as JSON; None to take the newest of the pipeline each time.

        Raises:
            NotFoundError: there is no such experiment.
            InUseError: the experiment is archived.
        """
        with self._database.write() as connection:
            catalog.available_experiment(connection, record.experiment_id)
            row = dataclasses.asdict(record)
            row["spec"] = None if body is None else catalog.keep_spec(connection, body)
            row["trigger"] = record.trigger.encode()
            row["last"], row["next"] = 0.0, float(_following(record, None) or 0)
            connection.execute(insert(tables.recurring_runs).values(row))
            kept = _of(connection, record.recurring_run_id)
        self._listeners.tell(record.recurring_run_id)
        return kept

    def get(self, recurring_run_id: str) -> RecurringRun:
        """Give one; NotFoundError if there is none."""
        with self._database.read() as connection:
            return _of(connection, recurring_run_id)

    def page(self, query: Query) -> tuple[list[RecurringRun], int, Position | None]:
        """Give a page of them, the total, and where the next page starts."""
        with self._database.read() as connection:
            rows, total, following = queries.page(
                connection, tables.recurring_runs, "recurring_run_id", query
            )
        return [_record(row) for row in rows], total, following

    def set_status(self, recurring_run_id: str, status: Status, now: float) -> None:
        """Enable or disable one; its runs go on.

        Raises:
            NotFoundError: there is none, or its experiment is gone and it is to be enabled.
            InUseError: it is to be enabled, and its experiment is archived.
        """
        table = tables.recurring_runs
        with self._database.write() as connection:
            record = _of(connection, recurring_run_id)
            if status is Status.ENABLED:
                catalog.available_experiment(connection, record.experiment_id)
            if record.status is not status:
                connection.execute(
                    update(table)
                    .where(table.c.recurring_run_id == recurring_run_id)
                    .values(status=status.value, updated=now)
                )
        self._listeners.tell(recurring_run_id)

    def delete(self, recurring_run_id: str) -> None:
        """Delete one; its runs stay."""
        table = tables.recurring_runs
        with self._database.write() as connection:
            record = _of(connection, recurring_run_id)
            connection.execute(delete(table).where(table.c.recurring_run_id == recurring_run_id))
            catalog.drop_unused_spec(connection, record.spec)

    # What fires

    def due(self, now: float) -> list[RecurringRun]:
        """Give the schedules of which an instant has come and a run may start, oldest first."""
        table = tables.recurring_runs
        with self._database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(*_come(now), _unfinished() < table.c.max_concurrency)
                .order_by(table.c.next, table.c.recurring_run_id)
            ).all()
        return [_record(row) for row in rows]

    def coming(self, now: float) -> int | None:
        """Give the next instant after `now` at which any schedule is due, or None."""
        table = tables.recurring_runs
        with self._database.read() as connection:
            found: float | None = connection.execute(
                select(func.min(table.c.next)).where(
                    table.c.status == Status.ENABLED, table.c.next > now
                )
            ).scalar_one()
        return None if found is None else int(found)

    def holding(self, now: float) -> frozenset[str]:
        """Give the runs whose end lets a schedule go on that has as many as it may."""
        table, runs = tables.recurring_runs, tables.runs
        with self._database.read() as connection:
            rows = connection.execute(
                select(runs.c.run_id)
                .join(table, table.c.recurring_run_id == runs.c.recurring_run_id)
                .where(*_come(now), runs.c.finished == 0)
            ).all()
        return frozenset(row.run_id for row in rows)

    def fire(
        self, seen: RecurringRun, instant: int, run: Run, created: RunCreated, body: bytes
    ) -> Run | None:
        """Add the run of an instant, and write down that it has fired.

        Args:
            seen: the schedule, as it was when the instant was found to be due.
            instant: seconds since the epoch.
            run: the run, as for `Runs.create`.
            created: its first event.
            body: its pipeline spec, as JSON.

        Returns:
            The run; None, and nothing is changed, if the schedule is another than `seen` by now
            or has as many unfinished runs as it may.

        Raises:
            NotFoundError: its experiment is gone.
            InUseError: its experiment is archived.
        """
        with self._database.write() as connection:
            record = _still(connection, seen)
            if record is None:
                return None
            kept = self._runs.insert(connection, run, created, body)
            _fired(connection, record, instant, made=record.made + 1, last_run_id=run.run_id)
        self._runs.announce(run.run_id)
        return kept

    def miss(self, seen: RecurringRun, instant: int, problem: str) -> None:
        """Write down that an instant has come and why there is no run of it; as `fire`."""
        with self._database.write() as connection:
            record = _still(connection, seen)
            if record is not None:
                _fired(connection, record, instant, problem=problem)

    def stop(self, seen: RecurringRun, now: float, problem: str) -> None:
        """Disable one of which nothing can fire, and write down why; as `fire`."""
        table = tables.recurring_runs
        with self._database.write() as connection:
            if _still(connection, seen) is not None:
                connection.execute(
                    update(table)
                    .where(table.c.recurring_run_id == seen.recurring_run_id)
                    .values(status=Status.DISABLED.value, updated=now, problem=problem)
                )


def _come(now: float) -> tuple[sqlalchemy.ColumnElement[bool], ...]:
    table = tables.recurring_runs
    return table.c.status == Status.ENABLED, table.c.next > 0, table.c.next <= now


def _unfinished() -> sqlalchemy.ScalarSelect[int]:
    """Give, in a query on recurring runs, how many runs of each have not ended."""
    runs, table = tables.runs, tables.recurring_runs
    return (
        select(func.count())
        .where(runs.c.recurring_run_id == table.c.recurring_run_id, runs.c.finished == 0)
        .correlate(table)
        .scalar_subquery()
    )


def _still(connection: sqlalchemy.Connection, seen: RecurringRun) -> RecurringRun | None:
    """Give the schedule if it may fire, and nothing of it has since it was seen."""
    table = tables.recurring_runs
    row = connection.execute(
        select(table).where(
            table.c.recurring_run_id == seen.recurring_run_id,
            table.c.status == Status.ENABLED,
            table.c.last == float(seen.last or 0),
            _unfinished() < table.c.max_concurrency,
        )
    ).one_or_none()
    return None if row is None else _record(row)


def _fired(
    connection: sqlalchemy.Connection,
    record: RecurringRun,
    instant: int,
    *,
    problem: str = "",
    **more: Any,
) -> None:
    table = tables.recurring_runs
    connection.execute(
        update(table)
        .where(table.c.recurring_run_id == record.recurring_run_id)
        .values(
            last=float(instant),
            next=float(_following(record, instant) or 0),
            problem=problem,
            **more,
        )
    )


def _following(record: RecurringRun, last: int | None) -> int | None:
    return schedule_of(record).following(last)


def schedule_of(record: RecurringRun) -> Schedule:
    """Give when a recurring run is due."""
    return Schedule.read(record.trigger, record.created, catchup=record.catchup)


def _of(connection: sqlalchemy.Connection, recurring_run_id: str) -> RecurringRun:
    table = tables.recurring_runs
    row = connection.execute(
        select(table).where(table.c.recurring_run_id == recurring_run_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no recurring run {recurring_run_id!r}")
    return _record(row)


def _record(row: Row[Any]) -> RecurringRun:
    values = dict(row._mapping)
    values["spec"] = values["spec"] or ""
    values["trigger"] = Trigger.decode(values["trigger"])
    values["status"] = Status(values["status"])
    for name in ("last", "next"):
        values[name] = int(values[name]) or None
    return RecurringRun(**values)
