from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from toolkit_pipelines import paging
from toolkit_pipelines.events import RunCreated, RunEnded, RunPhase
from toolkit_pipelines.filters import Field, Kind
from toolkit_pipelines.schedule import Trigger
from toolkit_pipelines.store import Store, recurring, tables
from toolkit_pipelines.store.interface import (
    Experiment,
    InUseError,
    NotFoundError,
    RecurringRun,
    Run,
    Status,
    Storage,
    StoreError,
)

from ..schedules import START, schedule

Opening = Callable[..., Store]
SPEC = b'{"pipelineInfo":{"name":"p"}}'


@pytest.fixture
def made(store: Store, experiment: Experiment) -> RecurringRun:
    return store.recurring.create(schedule(experiment), SPEC)


def run_of(record: RecurringRun, instant: int) -> tuple[Run, RunCreated]:
    run = Run(
        run_id=str(uuid.uuid4()),
        experiment_id=record.experiment_id,
        display_name="r",
        spec="",
        created=float(instant) + 1,
        scheduled=float(instant),
        recurring_run_id=record.recurring_run_id,
    )
    created = RunCreated(
        run_id=run.run_id,
        time=run.created,
        spec="",
        display_name="r",
        pipeline_name="p",
        experiment_id=run.experiment_id,
        experiment_name="Default",
        scheduled=run.scheduled,
        recurring_run_id=run.recurring_run_id,
    )
    return run, created


def fire(store: Store, record: RecurringRun, instant: int) -> Run | None:
    return store.recurring.fire(record, instant, *run_of(record, instant), SPEC)


def end(store: Store, run: Run | None) -> None:
    assert run is not None
    event = RunEnded(run_id=run.run_id, time=99.0, phase=RunPhase.FAILED)
    store.runs.append(run.run_id, [event], store.runs.run(run.run_id).sequence)


def again(store: Store, record: RecurringRun) -> RecurringRun:
    return store.recurring.get(record.recurring_run_id)


def test_a_new_one(store: Store, made: RecurringRun) -> None:
    assert made.spec
    assert store.runs.spec(made.spec) == SPEC
    assert (made.last, made.next, made.made) == (None, START + 60, 0)
    assert again(store, made) == made
    with pytest.raises(NotFoundError, match="no recurring run 'x'"):
        store.recurring.get("x")


def test_the_experiment_has_to_be_there(store: Store, experiment: Experiment) -> None:
    with pytest.raises(NotFoundError, match="experiment"):
        store.recurring.create(schedule(experiment, experiment_id="none"), SPEC)
    store.catalog.store_experiment(experiment.experiment_id, Storage.ARCHIVED, 9.0)
    with pytest.raises(InUseError, match="archived"):
        store.recurring.create(schedule(experiment), SPEC)
    assert store.recurring.due(START + 1e6) == []


def test_what_is_due(store: Store, experiment: Experiment, made: RecurringRun) -> None:
    later = store.recurring.create(schedule(experiment, trigger=Trigger(interval=90)), None)
    store.recurring.create(schedule(experiment, status=Status.DISABLED), None)
    assert store.recurring.due(START + 59.9) == []
    assert store.recurring.coming(START) == START + 60
    assert store.recurring.due(START + 60) == [made]
    assert store.recurring.coming(START + 60) == START + 90
    assert store.recurring.due(START + 500) == [made, later]
    assert store.recurring.coming(START + 500) is None


def test_an_instant_fires_once(store: Store, made: RecurringRun) -> None:
    run = fire(store, made, START + 60)
    assert run is not None
    assert (run.scheduled, run.recurring_run_id) == (START + 60, made.recurring_run_id)
    (created,) = store.runs.events(run.run_id)
    assert isinstance(created, RunCreated)
    assert (created.scheduled, created.spec) == (START + 60, made.spec)
    after = again(store, made)
    assert (after.last, after.next, after.made) == (START + 60, START + 120, 1)
    assert after.last_run_id == run.run_id
    end(store, run)
    # Whoever saw it before may not fire it again.
    assert fire(store, made, START + 60) is None
    assert again(store, made) == after
    assert len(store.runs.active_runs()) == 0
    assert fire(store, after, START + 120) is not None


def test_of_many_that_fire_one_does(store: Store, made: RecurringRun) -> None:
    found: list[Run | None] = []

    def race() -> None:
        found.append(fire(store, made, START + 60))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(each is not None for each in found) == 1
    assert len(store.runs.active_runs()) == 1


def test_as_many_as_may_be_under_way(store: Store, experiment: Experiment) -> None:
    made = store.recurring.create(schedule(experiment, max_concurrency=2), SPEC)
    first = fire(store, made, START + 60)
    second = fire(store, again(store, made), START + 120)
    assert first is not None
    assert second is not None
    now = START + 200.0
    assert store.recurring.due(now) == []
    assert store.recurring.holding(now) == {first.run_id, second.run_id}
    assert store.recurring.coming(now) is None
    third = again(store, made)
    assert fire(store, third, START + 180) is None
    store.recurring.miss(third, START + 180, "not so fast")
    assert again(store, made) == third
    end(store, first)
    assert store.recurring.due(now) == [third]
    assert fire(store, third, START + 180) is not None
    # Other runs do not count, nor are they waited for.
    assert store.recurring.holding(START + 181) == frozenset()


def test_a_run_that_cannot_be_added_leaves_nothing(store: Store, made: RecurringRun) -> None:
    run, created = run_of(made, START + 60)
    wrong = dataclasses.replace(created, run_id=str(uuid.uuid4()))
    with pytest.raises(ValueError, match="another run"):
        store.recurring.fire(made, START + 60, run, wrong, SPEC)
    assert again(store, made) == made
    store.catalog.delete_experiment(made.experiment_id)
    with pytest.raises(NotFoundError, match="experiment"):
        fire(store, made, START + 60)
    assert again(store, made) == made
    assert store.runs.active_runs() == ()


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_a_full_disk_fires_nothing(store: Store, made: RecurringRun, tmp_path: Path) -> None:
    with store.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limited(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    store.database.engine.dispose()
    sqlalchemy.event.listen(store.database.engine, "connect", limited)
    run, created = run_of(made, START + 60)
    body = b'{"x":"' + b"x" * 100_000 + b'"}'
    with pytest.raises(StoreError, match="full"):
        store.recurring.fire(made, START + 60, run, created, body)
    sqlalchemy.event.remove(store.database.engine, "connect", limited)
    store.database.engine.dispose()
    assert again(store, made) == made
    assert store.runs.active_runs() == ()


def test_what_was_missed_is_said(store: Store, made: RecurringRun) -> None:
    store.recurring.miss(made, START + 60, "no pipeline")
    after = again(store, made)
    assert (after.last, after.next, after.made) == (START + 60, START + 120, 0)
    assert after.problem == "no pipeline"
    assert fire(store, after, START + 120) is not None
    assert again(store, made).problem == ""


def test_enabled_and_disabled(store: Store, made: RecurringRun) -> None:
    store.recurring.set_status(made.recurring_run_id, Status.DISABLED, 5.0)
    after = again(store, made)
    assert (after.status, after.updated) == (Status.DISABLED, 5.0)
    assert store.recurring.due(START + 60) == []
    assert store.recurring.coming(START) is None
    assert fire(store, made, START + 60) is None
    store.recurring.set_status(made.recurring_run_id, Status.DISABLED, 6.0)
    assert again(store, made) == after
    store.recurring.set_status(made.recurring_run_id, Status.ENABLED, 7.0)
    # What it missed meanwhile is due.
    assert [each.next for each in store.recurring.due(START + 600)] == [START + 60]


def test_an_archived_experiment_disables(store: Store, made: RecurringRun) -> None:
    store.catalog.store_experiment(made.experiment_id, Storage.ARCHIVED, 8.0)
    after = again(store, made)
    assert (after.status, after.updated) == (Status.DISABLED, 8.0)
    with pytest.raises(InUseError, match="archived"):
        store.recurring.set_status(made.recurring_run_id, Status.ENABLED, 9.0)
    store.recurring.set_status(made.recurring_run_id, Status.DISABLED, 9.0)
    store.catalog.store_experiment(made.experiment_id, Storage.AVAILABLE, 9.0)
    assert again(store, made).status is Status.DISABLED


def test_deleted_with_its_spec_but_not_its_runs(store: Store, made: RecurringRun) -> None:
    run = fire(store, made, START + 60)
    assert run is not None
    store.recurring.delete(made.recurring_run_id)
    with pytest.raises(NotFoundError):
        again(store, made)
    with pytest.raises(NotFoundError):
        store.recurring.delete(made.recurring_run_id)
    assert fire(store, again_of(made), START + 120) is None
    assert store.runs.run(run.run_id).recurring_run_id == made.recurring_run_id
    assert store.runs.spec(made.spec) == SPEC
    end(store, run)
    store.runs.delete(run.run_id)
    with pytest.raises(NotFoundError):
        store.runs.spec(made.spec)


def again_of(record: RecurringRun) -> RecurringRun:
    return dataclasses.replace(record, last=START + 60)


def test_a_spec_stays_while_a_schedule_uses_it(store: Store, made: RecurringRun) -> None:
    run = fire(store, made, START + 60)
    assert run is not None
    end(store, run)
    store.runs.delete(run.run_id)
    assert store.runs.spec(made.spec) == SPEC


def test_subscribers_hear_of_what_may_be_due_sooner(store: Store, experiment: Experiment) -> None:
    heard: list[str] = []
    stop = store.recurring.subscribe(heard.append)
    made = store.recurring.create(schedule(experiment), SPEC)
    assert heard == [made.recurring_run_id]
    store.recurring.set_status(made.recurring_run_id, Status.ENABLED, 5.0)
    assert len(heard) == 2
    runs: list[str] = []
    store.runs.subscribe(runs.append)
    run = fire(store, made, START + 60)
    assert run is not None
    assert runs == [run.run_id]
    stop()
    store.recurring.create(schedule(experiment), SPEC)
    assert len(heard) == 2


def test_pages(store: Store, experiment: Experiment) -> None:
    for number, name in enumerate("bca"):
        record = schedule(experiment, display_name=name, created=float(START + number))
        store.recurring.create(record, SPEC)
    pager = paging.Pager(b"key")
    fields = {"name": Field("display_name"), "created_at": Field("created", Kind.TIME)}

    def names(**request: str) -> list[str]:
        query = pager.query("recurring_runs", paging.Request(**request), fields, {})
        found, total, _ = store.recurring.page(query)
        assert total == 3
        return [each.display_name for each in found]

    assert names() == ["b", "c", "a"]
    assert names(sort_by="name desc", page_size="2") == ["c", "b"]


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        sqlalchemy.select(tables.recurring_runs.c.recurring_run_id).where(*recurring._come(5.0)),
        sqlalchemy.select(sqlalchemy.func.count()).where(
            tables.runs.c.recurring_run_id == "x", tables.runs.c.finished == 0
        ),
    ],
)
def test_what_is_due_is_found_by_an_index(store: Store, statement: Any) -> None:
    text = statement.compile(store.database.engine, compile_kwargs={"literal_binds": True}).string
    with store.database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert all("USING" in row[-1] and "INDEX" in row[-1] for row in plan), plan


def test_it_is_all_there_after_a_restart(opening: Opening) -> None:
    first = opening()
    experiment = Experiment(experiment_id=str(uuid.uuid4()), display_name="e", created=1.0)
    first.catalog.create_experiment(experiment)
    trigger = Trigger(expression="0 0 3 * * *", end=START + 10**7)
    made = first.recurring.create(schedule(experiment, trigger=trigger), SPEC)
    assert made.next is not None
    fire(first, made, made.next)
    kept = again(first, made)
    first.close()
    assert again(opening(), made) == kept
    assert kept.next == made.next + 86_400
