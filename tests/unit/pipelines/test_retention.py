from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from toolkit_objects import ObjectStoreError
from toolkit_pipelines import retention
from toolkit_pipelines.contents import Contents
from toolkit_pipelines.events import (
    Artifact,
    RunEnded,
    RunPhase,
    RunRetried,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.retention import Retention, RetentionOptions
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.store import Store, tables
from toolkit_pipelines.store.interface import InUseError, NotFoundError, Run, StoreError

NewRun = Callable[..., Run]
NOW = 10_000.0


@pytest.fixture
def ended(store: Store, new_run: NewRun) -> Callable[[float], str]:
    """Give a function that adds a run that ended then."""

    def add(finished: float, artifact: str = "") -> str:
        run = new_run(created=finished - 1)
        sequence = 1
        if artifact:
            outputs = Values(artifacts={"x": (Artifact("x", "system.Model", artifact),)})
            events = [
                TaskStarted(run_id=run.run_id, time=finished, task="t"),
                TaskSucceeded(run_id=run.run_id, time=finished, task="t", outputs=outputs),
            ]
            sequence += len(store.runs.append(run.run_id, events, 1))
        end = RunEnded(run_id=run.run_id, time=finished, phase=RunPhase.SUCCEEDED)
        store.runs.append(run.run_id, [end], sequence)
        return run.run_id

    return add


def there(store: Store, *run_ids: str) -> list[bool]:
    found = []
    for run_id in run_ids:
        try:
            store.runs.run(run_id)
        except NotFoundError:
            found.append(False)
        else:
            found.append(True)
    return found


async def swept(store: Store, forgotten: list[str] | None = None, **options: int) -> int:
    forget = (forgotten if forgotten is not None else []).append
    kept = Retention(store.runs, lambda: forget, RetentionOptions(**options), clock=lambda: NOW)
    return await kept.round()


async def test_by_age(store: Store, ended: Callable[[float], str], new_run: NewRun) -> None:
    old, fresh, running = ended(NOW - 101), ended(NOW - 100), new_run(created=1.0).run_id
    forgotten: list[str] = []
    assert await swept(store, forgotten, seconds=100) == 1
    assert there(store, old, fresh, running) == [False, True, True]
    assert forgotten == [old]
    assert await swept(store, seconds=100) == 0


async def test_by_number(store: Store, ended: Callable[[float], str], new_run: NewRun) -> None:
    running = new_run(created=1.0).run_id
    runs = [ended(finished) for finished in (3.0, 5.0, 4.0, 5.0, 2.0)]
    assert await swept(store, count=5) == 0
    assert await swept(store, count=3) == 2
    assert there(store, *runs) == [False, True, True, True, False]
    # Of two that ended together one stays.
    assert await swept(store, count=1) == 2
    assert sum(there(store, *runs)) == 1
    assert there(store, running) == [True]


async def test_by_both(store: Store, ended: Callable[[float], str]) -> None:
    runs = [ended(finished) for finished in (1.0, NOW - 3, NOW - 2, NOW - 1)]
    assert await swept(store, seconds=100, count=2) == 2
    assert there(store, *runs) == [False, False, True, True]


async def test_without_bounds_all_stay(store: Store, ended: Callable[[float], str]) -> None:
    run = ended(1.0)
    assert await swept(store) == 0
    assert there(store, run) == [True]


async def test_what_others_use_stays_until_they_are_gone(
    store: Store, ended: Callable[..., str]
) -> None:
    maker = ended(10.0)
    uri = f"minio://mlpipeline/v2/artifacts/p/{maker}/train/{'0' * 16}/x"
    user = ended(NOW - 50, uri)
    with pytest.raises(InUseError, match=user):
        retention.remove(store.runs, lambda run_id: None, maker)
    forgotten: list[str] = []
    assert await swept(store, forgotten, seconds=100) == 0
    assert there(store, maker, user) == [True, True]
    assert forgotten == []
    # Both at once: who uses goes before what is used.
    assert await swept(store, forgotten, seconds=10) == 2
    assert forgotten == [user, maker]


async def test_what_waits_to_be_recorded_stays(
    store: Store, ended: Callable[[float], str]
) -> None:
    waiting, told = ended(1.0), ended(2.0)
    with store.database.write() as connection:
        connection.execute(
            sqlalchemy.insert(tables.outbox).values(key="k", run_id=waiting, body={}, created=1.0)
        )
    assert await swept(store, count=1, recorded=True) == 0
    assert await swept(store, seconds=100, recorded=True) == 1
    assert there(store, waiting, told) == [True, False]
    assert await swept(store, seconds=100) == 1


@pytest.mark.parametrize(
    "error", [ObjectStoreError("the store is away", transient=True), OSError("no access")]
)
async def test_files_that_do_not_go_hold_up_nothing_else(
    store: Store, ended: Callable[[float], str], error: Exception
) -> None:
    first, second = ended(1.0), ended(2.0)

    def forget(run_id: str) -> None:
        if run_id == second:
            raise error

    options = RetentionOptions(seconds=100)
    kept = Retention(store.runs, lambda: forget, options, clock=lambda: NOW)
    assert await kept.round() == 1
    assert there(store, first, second) == [False, True]
    assert await swept(store, seconds=100) == 1


async def test_a_run_that_is_retried_meanwhile_stays_though_it_has_ended_again(
    store: Store, ended: Callable[[float], str]
) -> None:
    retried, newer = ended(1.0), ended(2.0)

    def forget(run_id: str) -> None:
        assert run_id == newer, "the newest goes first"
        again = [
            RunRetried(run_id=retried, time=NOW),
            RunEnded(run_id=retried, time=NOW, phase=RunPhase.SUCCEEDED),
        ]
        store.runs.append(retried, again, store.runs.run(retried).sequence)

    kept = Retention(store.runs, lambda: forget, RetentionOptions(seconds=100), clock=lambda: NOW)
    assert await kept.round() == 1
    assert there(store, retried, newer) == [True, False]


async def test_the_root_is_looked_through_once_for_all(
    store: Store, ended: Callable[[float], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [ended(float(number)) for number in range(1, 21)]
    contents = Contents(PipelineRoot(tmp_path / "root"))
    for run_id in runs:
        (tmp_path / "root" / "p" / run_id / "task").mkdir(parents=True)
    (tmp_path / "root" / "p" / "other").mkdir()
    looked, scandir = Counter[str](), os.scandir

    def counted(path: Path) -> object:
        looked[str(path)] += 1
        return scandir(path)

    kept = Retention(
        store.runs, contents.forgetter, RetentionOptions(seconds=100), clock=lambda: NOW
    )
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", counted)
        assert await kept.round() == 20
    assert os.listdir(tmp_path / "root" / "p") == ["other"]
    assert looked[str(tmp_path / "root" / "p")] == 1


async def test_it_looks_again(
    store: Store, ended: Callable[[float], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0.01)
    failures = iter([StoreError("disk full")] * 2)
    real = store.runs.expired

    def expired(before: float, keep: int | None, *, recorded: bool) -> tuple[tuple[str, int], ...]:
        if (error := next(failures, None)) is not None:
            raise error
        return real(before, keep, recorded=recorded)

    monkeypatch.setattr(store.runs, "expired", expired)
    options = RetentionOptions(seconds=100)
    kept = Retention(store.runs, lambda: lambda run_id: None, options, clock=lambda: NOW)
    task = asyncio.create_task(kept.run())
    try:
        for finished in (1.0, 2.0):
            run = ended(finished)
            async with asyncio.timeout(60):
                while there(store, run) == [True]:  # noqa: ASYNC110 - any condition
                    await asyncio.sleep(0.005)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
