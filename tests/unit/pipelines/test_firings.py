from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from toolkit_pipelines import firings, macros, paging
from toolkit_pipelines.events import RunCreated, RunEnded, RunPhase
from toolkit_pipelines.filters import Field, Kind
from toolkit_pipelines.firings import Firings
from toolkit_pipelines.macros import Occasion
from toolkit_pipelines.schedule import Trigger
from toolkit_pipelines.store import Store, open_store, tables
from toolkit_pipelines.store.interface import (
    Experiment,
    Pipeline,
    RecurringRun,
    Run,
    Status,
    StoreError,
    Version,
)

from .schedules import START, schedule

Spec = dict[str, Any]
Add = Callable[..., RecurringRun]


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def add(store: Store, experiment: Experiment, pipeline: Spec) -> Add:
    """Give a function that adds a schedule, every minute unless told otherwise."""

    def new(**changes: Any) -> RecurringRun:
        spec = changes.pop("spec", pipeline)
        record = schedule(experiment, **{"max_concurrency": 10, **changes})
        body = None if spec is None else json.dumps(spec).encode()
        return store.recurring.create(record, body)

    return new


def runs(store: Store) -> list[Run]:
    """Every run, in the order in which they were due."""
    fields = {"scheduled_at": Field("scheduled", Kind.TIME)}
    request = paging.Request(sort_by="scheduled_at", page_size="200")
    query = paging.Pager(b"k").query("runs", request, fields, {})
    return store.runs.runs(query)[0]


def due(store: Store) -> list[int]:
    return [int((run.scheduled or 0) - START) for run in runs(store)]


def end(store: Store, run: Run) -> None:
    event = RunEnded(run_id=run.run_id, time=99.0, phase=RunPhase.SUCCEEDED)
    store.runs.append(run.run_id, [event], store.runs.run(run.run_id).sequence)


async def settle(found: Firings, clock: Clock) -> int:
    """Fire until nothing is due; give how many rounds that took."""
    for rounds in itertools.count():
        if not await found.round(clock()):
            return rounds
    raise AssertionError


async def test_the_run_of_an_instant(store: Store, clock: Clock, add: Add) -> None:
    made = add(pipeline_root="minio://mlpipeline/v2/artifacts/x")
    found = Firings(store, clock=clock)
    assert await settle(found, clock) == 0
    clock.now = START + 61.5
    assert await settle(found, clock) == 1
    (run,) = runs(store)
    assert run.display_name == "nightly-1"
    assert (run.created, run.scheduled) == (clock.now, START + 60)
    assert run.recurring_run_id == made.recurring_run_id
    assert run.spec == made.spec
    assert run.pipeline_root == made.pipeline_root
    (created,) = store.runs.events(run.run_id)
    assert isinstance(created, RunCreated)
    assert (created.pipeline_name, created.experiment_name) == ("adder", "Default")
    assert created.scheduled == START + 60
    clock.now = START + 125.0
    await settle(found, clock)
    assert [run.display_name for run in runs(store)] == ["nightly-1", "nightly-2"]


async def test_macros_are_filled_in(store: Store, clock: Clock, add: Add, pipeline: Spec) -> None:
    inputs = pipeline["root"]["inputDefinitions"]["parameters"]
    inputs["day"] = {"parameterType": "STRING"}
    parameters = {"a": 1, "day": "[[ScheduledTime.2006-01-02]] [[Index]] [[CurrentTime.05]]"}
    made = add(spec=pipeline, parameters=parameters)
    clock.now = START + 125.0
    await settle(Firings(store, clock=clock), clock)
    assert [run.parameters["day"] for run in runs(store)] == ["2026-03-01 1 05", "2026-03-01 2 05"]
    assert store.recurring.get(made.recurring_run_id).parameters == parameters


@pytest.mark.parametrize(("catchup", "fired"), [(True, [60, 120, 180, 240, 300]), (False, [300])])
async def test_after_a_downtime(
    store: Store, clock: Clock, add: Add, catchup: bool, fired: list[int]
) -> None:
    add(catchup=catchup)
    clock.now = START + 301.0
    await settle(Firings(store, clock=clock), clock)
    assert due(store) == fired


async def test_a_clock_set_ahead_and_back(store: Store, clock: Clock, add: Add) -> None:
    add(catchup=False)
    found = Firings(store, clock=clock)
    for moment in (61, 86_400 + 5, 70, 130, 86_400 + 30, 86_400 + 61):
        clock.now = START + moment
        await settle(found, clock)
    # The day ahead was over when it came.
    assert due(store) == [60, 86_400, 86_460]


async def test_no_more_at_a_time_than_may_be(store: Store, clock: Clock, add: Add) -> None:
    add(max_concurrency=2)
    add(display_name="other", trigger=Trigger(interval=200))
    clock.now = START + 301.0
    found = Firings(store, clock=clock)
    await settle(found, clock)
    assert due(store) == [60, 120, 200]
    end(store, next(run for run in runs(store) if run.display_name == "nightly-1"))
    await settle(found, clock)
    assert due(store) == [60, 120, 180, 200]


async def test_disabled_deleted_and_over(store: Store, clock: Clock, add: Add) -> None:
    disabled, deleted = add(), add()
    add(trigger=Trigger(interval=60, end=START + 130))
    found = Firings(store, clock=clock)
    store.recurring.set_status(disabled.recurring_run_id, Status.DISABLED, clock.now)
    store.recurring.delete(deleted.recurring_run_id)
    clock.now = START + 1000.0
    await settle(found, clock)
    assert due(store) == [60, 120]
    assert store.recurring.coming(clock.now) is None


async def test_once(store: Store, clock: Clock, add: Add) -> None:
    add(trigger=Trigger())
    found = Firings(store, clock=clock)
    await settle(found, clock)
    clock.now += 1e6
    await settle(found, clock)
    assert due(store) == [0]


def version(store: Store, spec: Spec, name: str, created: float) -> Version:
    pipelines = store.catalog
    if name == "v1":
        pipelines.create_pipeline(
            Pipeline(pipeline_id="p", name="p", display_name="p", created=1.0)
        )
    made = Version(
        pipeline_version_id=name,
        pipeline_id="p",
        name=name,
        display_name=name,
        created=created,
        spec="",
    )
    pipelines.create_version(made, json.dumps(spec).encode())
    return made


async def test_the_newest_version_each_time(
    store: Store, clock: Clock, add: Add, pipeline: Spec
) -> None:
    version(store, pipeline, "v1", 1.0)
    made = add(spec=None, pipeline_id="p")
    found = Firings(store, clock=clock)
    clock.now = START + 61.0
    await settle(found, clock)
    pipeline["pipelineInfo"]["name"] = "newer"
    version(store, pipeline, "v2", 2.0)
    clock.now = START + 121.0
    await settle(found, clock)
    assert [run.pipeline_version_id for run in runs(store)] == ["v1", "v2"]
    # One that asks for what the schedule does not give makes no run, and the schedule says so.
    pipeline["root"]["inputDefinitions"]["parameters"]["c"] = {"parameterType": "STRING"}
    version(store, pipeline, "v3", 3.0)
    clock.now = START + 181.0
    await settle(found, clock)
    assert len(runs(store)) == 2
    problem = store.recurring.get(made.recurring_run_id).problem
    assert problem.startswith("2026-03-01T12:03:00.000000Z made no run: ")
    assert "c" in problem
    store.catalog.delete_version("p", "v3")
    clock.now = START + 241.0
    await settle(found, clock)
    after = store.recurring.get(made.recurring_run_id)
    assert (after.problem, after.made) == ("", 3)
    store.catalog.delete_pipeline("p", cascade=True)
    clock.now = START + 301.0
    await settle(found, clock)
    assert "no pipeline 'p'" in store.recurring.get(made.recurring_run_id).problem


async def test_a_pinned_version_may_be_deleted(
    store: Store, clock: Clock, add: Add, pipeline: Spec
) -> None:
    version(store, pipeline, "v1", 1.0)
    add(pipeline_id="p", pipeline_version_id="v1")
    store.catalog.delete_pipeline("p", cascade=True)
    clock.now = START + 61.0
    await settle(Firings(store, clock=clock), clock)
    assert [(run.pipeline_id, run.pipeline_version_id) for run in runs(store)] == [("p", "v1")]


async def test_the_experiment_is_gone(store: Store, clock: Clock, add: Add) -> None:
    made = add()
    store.catalog.delete_experiment(made.experiment_id)
    clock.now = START + 61.0
    await settle(Firings(store, clock=clock), clock)
    assert "no experiment" in store.recurring.get(made.recurring_run_id).problem


async def test_a_schedule_that_breaks_stops_no_other(
    store: Store, clock: Clock, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = add(parameters={"a": 2}), add()

    def expand(parameters: dict[str, Any], occasion: Occasion) -> dict[str, Any]:
        if parameters["a"] == 2:
            raise RecursionError("too deep")
        return parameters

    monkeypatch.setattr(macros, "expand", expand)
    clock.now = START + 61.0
    await settle(Firings(store, clock=clock), clock)
    assert [run.recurring_run_id for run in runs(store)] == [sound.recurring_run_id]
    found = store.recurring.get(broken.recurring_run_id)
    assert "RecursionError('too deep')" in found.problem
    assert found.last == START + 60


async def test_a_backlog_that_makes_no_run_is_passed_over_at_once(
    store: Store, clock: Clock, add: Add
) -> None:
    made = add(trigger=Trigger(expression="* * * * * *", start=0))
    store.catalog.delete_experiment(made.experiment_id)
    found = Firings(store, clock=clock)
    assert await settle(found, clock) == 1
    after = store.recurring.get(made.recurring_run_id)
    assert (after.last, after.next) == (START, START + 1)
    assert after.problem.startswith("1970-01-01T00:00:01.000000Z made no run")


async def test_a_long_name_keeps_its_number(store: Store, clock: Clock, add: Add) -> None:
    add(display_name="x" * 255)
    clock.now = START + 61.0
    await settle(Firings(store, clock=clock), clock)
    assert [run.display_name for run in runs(store)] == ["x" * 253 + "-1"]


# The loop


@contextlib.asynccontextmanager
async def running(store: Store, clock: Clock) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Firings(store, clock=clock).run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - any condition, none has an event
            await asyncio.sleep(0.005)


async def test_a_new_schedule_is_heard_of(store: Store, clock: Clock, add: Add) -> None:
    async with running(store, clock):
        await asyncio.sleep(0.05)
        add(trigger=Trigger())
        await until(lambda: due(store) == [0])


async def test_an_instant_that_comes_during_a_look_is_not_slept_over(
    store: Store, clock: Clock, add: Add
) -> None:
    add()
    clock.now = START + 61.0
    moments = iter([START + 59.99])

    def ticking() -> float:
        return next(moments, clock.now)

    task = asyncio.create_task(Firings(store, clock=ticking).run())
    try:
        await until(lambda: due(store) == [60])
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_run_that_ends_lets_the_next_one_start(
    store: Store, clock: Clock, add: Add
) -> None:
    add(max_concurrency=1)
    clock.now = START + 301.0
    async with running(store, clock):
        for number in range(1, 6):
            await until(lambda number=number: len(runs(store)) == number)  # type: ignore[misc]
            end(store, runs(store)[-1])
    assert due(store) == [60, 120, 180, 240, 300]


async def test_a_schedule_that_is_enabled_makes_up(store: Store, clock: Clock, add: Add) -> None:
    made = add(status=Status.DISABLED)
    clock.now = START + 130.0
    async with running(store, clock):
        await asyncio.sleep(0.05)
        assert due(store) == []
        store.recurring.set_status(made.recurring_run_id, Status.ENABLED, clock.now)
        await until(lambda: due(store) == [60, 120])


async def test_a_clock_that_is_set_ahead_is_noticed(
    store: Store, clock: Clock, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firings, "_LONGEST_REST", 0.01)
    add(catchup=False)
    asked: list[float] = []
    coming = store.recurring.coming

    def counted(now: float) -> int | None:
        asked.append(now)
        return coming(now)

    monkeypatch.setattr(store.recurring, "coming", counted)
    async with running(store, clock):
        await until(lambda: bool(asked))
        await asyncio.sleep(0.1)
        # It has looked at the clock since, not at the store.
        assert len(asked) == 1
        clock.now -= 5000
        await asyncio.sleep(0.05)
        assert due(store) == []
        clock.now = START + 86_400.0
        await until(lambda: due(store) == [86_400])


async def test_a_store_that_fails_is_tried_again(
    store: Store, clock: Clock, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firings, "_STORE_PAUSE", 0.01)
    add()
    clock.now = START + 61.0
    failures = iter([StoreError("disk full")] * 3)
    real = store.recurring.fire

    def fire(*arguments: Any) -> Run | None:
        if (error := next(failures, None)) is not None:
            raise error
        return real(*arguments)

    monkeypatch.setattr(store.recurring, "fire", fire)
    async with running(store, clock):
        await until(lambda: due(store) == [60])


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("seed", range(8))
async def test_killed_anywhere_each_instant_has_one_run(
    tmp_path: Path, clock: Clock, pipeline: Spec, seed: int
) -> None:
    source = random.Random(seed)
    experiment = Experiment(experiment_id="e", display_name="e", created=1.0)
    store = open_store(tmp_path / "killed.db")
    store.catalog.create_experiment(experiment)
    for trigger in (Trigger(interval=60), Trigger(expression="30 */2 * * * *", end=START + 1500)):
        record = schedule(experiment, max_concurrency=10, trigger=trigger)
        store.recurring.create(record, json.dumps(pipeline).encode())
    while clock.now < START + 2000:
        clock.now += source.randint(-100, 300)
        # It is killed at some statement, and what was not committed is gone.
        _kill(store, source.randint(1, 60))
        with contextlib.suppress(KilledError):
            await settle(Firings(store, clock=clock), clock)
        store.close()
        store = open_store(tmp_path / "killed.db")
        _end_all(store)
    while True:
        await settle(Firings(store, clock=clock), clock)
        if not store.runs.active_runs():
            break
        _end_all(store)
    last = int(clock.now) - START
    expected = [*range(60, last + 1, 60), *range(30, min(last, 1500) + 1, 120)]
    assert due(store) == sorted(expected)
    store.close()


def _end_all(store: Store) -> None:
    for run_id in store.runs.active_runs():
        end(store, store.runs.run(run_id))


def _kill(store: Store, after: int) -> None:
    """Let the store die at a statement, each one counted; from then on it is dead."""
    left = itertools.count(after, -1)

    def count(*arguments: Any) -> None:
        if next(left) <= 0:
            raise KilledError

    sqlalchemy.event.listen(store.database.engine, "before_cursor_execute", count)


async def test_a_trigger_that_cannot_be_read_any_more_stops_itself_alone(
    store: Store, clock: Clock, add: Add
) -> None:
    bad, good = add(), add()
    table = tables.recurring_runs
    mine = table.c.recurring_run_id == bad.recurring_run_id
    with store.database.write() as connection:
        stored = connection.execute(sqlalchemy.select(table.c.trigger).where(mine)).scalar_one()
        broken = {**stored, "expression": "61 * * * * *"}
        connection.execute(sqlalchemy.update(table).where(mine).values(trigger=broken))
    found = Firings(store, clock=clock)
    clock.now = START + 61.0
    assert await settle(found, clock) == 1
    assert [run.recurring_run_id for run in runs(store)] == [good.recurring_run_id]
    stopped = store.recurring.get(bad.recurring_run_id)
    assert (stopped.status, stopped.updated) == (Status.DISABLED, clock.now)
    assert stopped.problem.startswith("it was disabled, since its trigger cannot be read: ")
    assert "61" in stopped.problem
