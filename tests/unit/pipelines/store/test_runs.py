from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy

from toolkit_pipelines import paging
from toolkit_pipelines.events import (
    Artifact,
    Event,
    RunCreated,
    RunEnded,
    RunPhase,
    RunTerminating,
    TaskFailed,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.filters import Field, Kind
from toolkit_pipelines.runstate import fold
from toolkit_pipelines.store import Store, reading, tables
from toolkit_pipelines.store.interface import (
    AlreadyExistsError,
    ConflictError,
    Experiment,
    InUseError,
    NotFoundError,
    OutboxRecord,
    Recipient,
    Run,
    Storage,
    StoreError,
)

NewRun = Callable[..., Run]
Opening = Callable[..., Store]
FIELDS = {
    "display_name": Field("display_name"),
    "created_at": Field("created", Kind.TIME),
    "finished_at": Field("finished", Kind.TIME),
    "state": Field("phase"),
}


def started(run: Run, task: str = "a") -> TaskStarted:
    return TaskStarted(run_id=run.run_id, time=20.0, task=task, pod=f"pod-{task}")


def succeeded(run: Run, *artifacts: Artifact, task: str = "a") -> TaskSucceeded:
    return TaskSucceeded(
        run_id=run.run_id, time=30.0, task=task, outputs=Values({"n": 1}, {"out": artifacts})
    )


def ended(run: Run, phase: RunPhase = RunPhase.SUCCEEDED) -> RunEnded:
    return RunEnded(run_id=run.run_id, time=40.0, phase=phase)


def listed(store: Store, **request: str) -> list[str]:
    pager = paging.Pager(b"key")
    names: list[str] = []
    token = ""
    while True:
        query = pager.query("runs", paging.Request(page_token=token, **request), FIELDS, {})
        found, total, following = store.runs.runs(query)
        names += [run.display_name for run in found]
        if following is None:
            assert total == len(names)
            return names
        assert len(found) == query.size
        token = pager.token("runs", query, following)


def test_a_new_run(store: Store, new_run: NewRun) -> None:
    run = new_run("first")
    assert run.phase is RunPhase.PENDING
    assert run.sequence == 1
    assert run.history == ((RunPhase.PENDING, 10.0),)
    (created,) = store.runs.events(run.run_id)
    assert isinstance(created, RunCreated)
    assert created.spec == run.spec
    assert created.sequence == 1
    assert store.runs.spec(run.spec) == b'{"pipelineInfo":{"name":"p"}}'
    assert store.runs.active_runs() == (run.run_id,)
    assert store.catalog.experiment(run.experiment_id).last_run_created == 10.0


def test_append_numbers_the_events_and_derives_the_state(store: Store, new_run: NewRun) -> None:
    run = new_run()
    recorded = store.runs.append(run.run_id, [started(run), succeeded(run)], 1)
    assert [event.sequence for event in recorded] == [2, 3]
    assert store.runs.run(run.run_id).phase is RunPhase.RUNNING
    store.runs.append(run.run_id, [ended(run)], 3)
    row = store.runs.run(run.run_id)
    assert (row.phase, row.finished, row.sequence) == (RunPhase.SUCCEEDED, 40.0, 4)
    assert store.runs.active_runs() == ()
    assert [event.sequence for event in store.runs.events(run.run_id, after=2)] == [3, 4]
    assert store.runs.events(run.run_id, after=4) == ()


def test_many_events_are_read_piece_by_piece(
    store: Store, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    store.runs.append(run.run_id, [started(run), succeeded(run), ended(run)], 1)
    state = fold(store.runs.events(run.run_id))
    monkeypatch.setattr(reading, "_PIECE", 3)
    assert [event.sequence for event in store.runs.events(run.run_id)] == [1, 2, 3, 4]
    assert store.runs.whole(run.run_id).state == state


def test_a_whole_run_is_of_one_moment(
    store: Store, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    store.runs.append(run.run_id, [started(run)], 1)
    read = reading.state_of

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.undo()
        store.runs.append(run.run_id, [succeeded(run), ended(run)], 2)
        return read(*arguments)

    monkeypatch.setattr(reading, "state_of", meanwhile)
    found = store.runs.whole(run.run_id)
    assert found.run.phase is RunPhase.RUNNING
    assert found.state.sequence == 2
    assert not found.artifacts
    assert found.spec == b'{"pipelineInfo":{"name":"p"}}'
    found = store.runs.whole(run.run_id)
    assert found.run.phase is RunPhase.SUCCEEDED
    assert found.state.sequence == 4
    assert [each.artifact_id for each in found.artifacts] == [
        each.artifact_id for each in store.runs.artifacts_of(run.run_id)
    ]


def test_two_engines_cannot_both_append(store: Store, new_run: NewRun) -> None:
    run = new_run()
    store.runs.append(run.run_id, [started(run)], 1)
    for sequence in (0, 1, 3):
        with pytest.raises(ConflictError, match="2 events"):
            store.runs.append(run.run_id, [succeeded(run)], sequence)
    assert len(store.runs.events(run.run_id)) == 2


def test_one_of_many_racing_engines_wins(store: Store, new_run: NewRun) -> None:
    run = new_run()
    start, outcomes = threading.Barrier(8), []

    def race() -> None:
        start.wait(timeout=60)
        try:
            store.runs.append(run.run_id, [started(run)], 1)
            outcomes.append("won")
        except ConflictError:
            outcomes.append("lost")

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_append_is_all_or_nothing(store: Store, new_run: NewRun) -> None:
    run, other = new_run("a"), new_run("b")
    for wrong in (started(other), object()):
        with pytest.raises((ValueError, AttributeError)):
            store.runs.append(run.run_id, [started(run), wrong], 1)  # type: ignore[list-item]
    assert store.runs.run(run.run_id).sequence == 1
    assert len(store.runs.events(run.run_id)) == 1


def test_nobody_knows_the_run(store: Store) -> None:
    unknown = str(uuid.uuid4())
    for call in (
        lambda: store.runs.run(unknown),
        lambda: store.runs.events(unknown),
        lambda: store.runs.delete(unknown),
        lambda: store.runs.store(unknown, Storage.ARCHIVED),
        lambda: store.runs.append(unknown, [], 0),
    ):
        with pytest.raises(NotFoundError, match=unknown):
            call()
    with pytest.raises(NotFoundError):
        store.runs.spec("x")
    with pytest.raises(NotFoundError):
        store.runs.artifact(1)


def test_a_damaged_event_is_named(store: Store, new_run: NewRun) -> None:
    run, sound = new_run("a"), new_run("b")
    with store.database.write() as connection:
        connection.execute(
            sqlalchemy.update(tables.events)
            .where(tables.events.c.run_id == run.run_id)
            .values(kind="Gibberish")
        )
    with pytest.raises(ValueError, match=f"run {run.run_id}, event 1"):
        store.runs.events(run.run_id)
    assert len(store.runs.events(sound.run_id)) == 1


def test_subscribers_hear_of_commits(store: Store, new_run: NewRun) -> None:
    heard: list[str] = []
    stop = store.runs.subscribe(heard.append)
    run = new_run()
    store.runs.append(run.run_id, [started(run)], 1)
    with pytest.raises(ConflictError):
        store.runs.append(run.run_id, [started(run)], 1)
    assert heard == [run.run_id] * 2
    stop()
    stop()
    store.runs.append(run.run_id, [ended(run)], 2)
    store.runs.delete(run.run_id)
    assert heard == [run.run_id] * 2


def test_a_repeated_request_gives_the_first_run(store: Store, new_run: NewRun) -> None:
    first = new_run("a", request=("key", "digest"))
    again = new_run("a", request=("key", "digest"))
    assert again == first
    assert store.runs.requested("key", "digest") == first
    assert store.runs.requested("other", "digest") is None
    with pytest.raises(AlreadyExistsError, match=first.run_id):
        new_run("a", request=("key", "else"))
    assert len(store.runs.active_runs()) == 1


def test_pages_in_every_order(store: Store, new_run: NewRun) -> None:
    # Several runs at the same time: the id has to break ties.
    names = [f"run-{number:02}" for number in range(25)]
    for number, name in enumerate(names):
        new_run(name, created=float(number // 5))
    assert listed(store, page_size="3", sort_by="display_name") == names
    assert listed(store, page_size="4", sort_by="display_name desc") == names[::-1]
    for order in ("created_at", "created_at desc", "finished_at", "state desc"):
        assert sorted(listed(store, page_size="7", sort_by=order)) == names


def test_rows_that_come_and_go_disturb_no_page(store: Store, new_run: NewRun) -> None:
    for number in range(6):
        run = new_run(f"run-{number}", created=float(number))
        store.runs.append(run.run_id, [ended(run)], 1)
    pager = paging.Pager(b"key")
    query = pager.query("runs", paging.Request(page_size="3"), FIELDS, {})
    first, _, following = store.runs.runs(query)
    store.runs.delete(first[0].run_id)
    new_run("early", created=-1.0)
    rest, _, _ = store.runs.runs(dataclasses.replace(query, after=following))
    assert [run.display_name for run in rest] == ["run-3", "run-4", "run-5"]


@pytest.mark.parametrize(
    ("operation", "value", "found"),
    [
        ("EQUALS", "b%", ["b%"]),
        ("NOT_EQUALS", "b%", ["a", "B_c"]),
        ("IS_SUBSTRING", "b", ["b%", "B_c"]),
        ("IS_SUBSTRING", "%", ["b%"]),
        ("IS_SUBSTRING", "_", ["B_c"]),
        ("GREATER_THAN", "a", ["b%"]),
        ("EQUALS", "' OR '1'='1", []),
    ],
)
def test_filters(
    store: Store, new_run: NewRun, operation: str, value: str, found: list[str]
) -> None:
    for number, name in enumerate(("a", "b%", "B_c")):
        new_run(name, created=float(number))
    text = paging.json.dumps(
        {"predicates": [{"operation": operation, "key": "display_name", "string_value": value}]}
    )
    assert listed(store, filter=text) == found


def test_filter_by_time_and_by_several(store: Store, new_run: NewRun) -> None:
    for number, name in enumerate("abcd"):
        new_run(name, created=float(number))
    predicates = [
        {"operation": "GREATER_THAN_EQUALS", "key": "created_at", "long_value": "1"},
        {"operation": "IN", "key": "display_name", "string_values": {"values": ["a", "b", "d"]}},
    ]
    assert listed(store, filter=paging.json.dumps({"predicates": predicates})) == ["b", "d"]


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_pages_use_an_index(store: Store, new_run: NewRun) -> None:
    run = new_run()
    with store.database.read() as connection:
        for order in ("created", "display_name", "finished"):
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN SELECT * FROM runs WHERE {order} >= ? AND ({order} > ? OR "
                f"run_id > ?) ORDER BY {order}, run_id LIMIT 21",
                (run.created, run.created, run.run_id),
            ).all()
            assert "USING INDEX" in plan[0][3]
            assert len(plan) == 1


def test_archive_and_delete(store: Store, new_run: NewRun) -> None:
    run = new_run()
    store.runs.store(run.run_id, Storage.ARCHIVED)
    assert store.runs.run(run.run_id).storage is Storage.ARCHIVED
    store.runs.store(run.run_id, Storage.AVAILABLE)
    with pytest.raises(InUseError, match="PENDING"):
        store.runs.delete(run.run_id)
    store.runs.append(run.run_id, [ended(run)], 1)
    store.runs.delete(run.run_id)
    with pytest.raises(NotFoundError):
        store.runs.events(run.run_id)
    with pytest.raises(NotFoundError):
        store.runs.spec(run.spec)


def test_a_spec_stays_while_another_run_uses_it(store: Store, new_run: NewRun) -> None:
    run, other = new_run("a"), new_run("b")
    store.runs.append(run.run_id, [ended(run)], 1)
    store.runs.delete(run.run_id)
    assert store.runs.spec(other.spec)


def test_an_archived_experiment(store: Store, new_run: NewRun, experiment: Experiment) -> None:
    run = new_run()
    store.catalog.store_experiment(experiment.experiment_id, Storage.ARCHIVED, 20.0)
    assert store.runs.run(run.run_id).storage is Storage.ARCHIVED
    with pytest.raises(InUseError, match="archived"):
        new_run()
    with pytest.raises(InUseError, match="archived"):
        store.runs.store(run.run_id, Storage.AVAILABLE)
    store.catalog.store_experiment(experiment.experiment_id, Storage.AVAILABLE, 30.0)
    assert store.runs.run(run.run_id).storage is Storage.ARCHIVED
    store.runs.store(run.run_id, Storage.AVAILABLE)


def test_artifacts_are_numbered_once(store: Store, new_run: NewRun) -> None:
    run = new_run()
    one = Artifact("m", "system.Model", "file:///1", {"a": 1})
    two = Artifact("m", "system.Model", "file:///2")
    store.runs.append(
        run.run_id,
        [
            started(run, "outer"),
            started(run, "outer/inner"),
            succeeded(run, one, two, task="outer/inner"),
            # A nested DAG hands its task's artifact on.
            succeeded(run, one, task="outer"),
        ],
        1,
    )
    found = store.runs.artifacts_of(run.run_id)
    assert [(each.task, each.position, each.uri) for each in found] == [
        ("outer/inner", 0, "file:///1"),
        ("outer/inner", 1, "file:///2"),
    ]
    assert store.runs.artifact(found[0].artifact_id).metadata == {"a": 1}


def test_artifacts_of_an_attempt_of_a_nested_pipeline_go_with_it(
    store: Store, new_run: NewRun
) -> None:
    run = new_run()
    artifacts = [Artifact("m", "system.Model", f"file:///{number}") for number in range(3)]
    failed = TaskFailed(
        run_id=run.run_id,
        time=12.0,
        task="outer",
        reason="TaskFailed",
        message="m",
        retry=12.0,
        nested=True,
    )
    first = [
        started(run, "beside"),
        succeeded(run, artifacts[0], task="beside"),
        started(run, "outer"),
        started(run, "outer/inner"),
        succeeded(run, artifacts[1], task="outer/inner"),
    ]
    store.runs.append(run.run_id, first, 1)
    store.runs.append(run.run_id, [failed], 1 + len(first))
    again = [
        started(run, "outer"),
        started(run, "outer/inner"),
        succeeded(run, artifacts[2], task="outer/inner"),
    ]
    store.runs.append(run.run_id, again, 2 + len(first))
    found = store.runs.artifacts_of(run.run_id)
    assert [(each.task, each.uri) for each in found] == [
        ("beside", "file:///0"),
        ("outer/inner", "file:///2"),
    ]


def records(events: Sequence[Event]) -> list[OutboxRecord]:
    return [
        OutboxRecord(f"{event.run_id}/{event.sequence}", event.run_id, {"kind": event.kind})
        for event in events
    ]


def test_the_outbox_is_written_with_the_events(opening: Opening) -> None:
    store = opening(records)
    experiment = Experiment(experiment_id="e", display_name="Default", created=1.0)
    store.catalog.create_experiment(experiment)
    runs = []
    for name in "ab":
        run = Run(
            run_id=str(uuid.uuid4()),
            experiment_id="e",
            display_name=name,
            spec="",
            created=1.0,
        )
        created = RunCreated(
            run_id=run.run_id,
            time=1.0,
            spec="",
            display_name=name,
            pipeline_name="p",
            experiment_id="e",
            experiment_name="Default",
        )
        runs.append(store.runs.create(run, created, b"{}"))
    a, b = runs
    store.runs.append(a.run_id, [ended(a)], 1)
    with pytest.raises(ConflictError):
        store.runs.append(a.run_id, [ended(a)], 1)
    waiting = store.runs.outbox(Recipient.MLFLOW)
    assert [(x.record.run_id, x.record.body["kind"]) for x in waiting] == [
        (a.run_id, "RunCreated"),
        (b.run_id, "RunCreated"),
        (a.run_id, "RunEnded"),
    ]
    assert [
        x.record.run_id for x in store.runs.outbox(Recipient.MLFLOW, excluding=[a.run_id])
    ] == [b.run_id]
    store.runs.delivered([waiting[0].entry_id])
    store.runs.delete(a.run_id)
    assert [x.entry_id for x in store.runs.outbox(Recipient.MLFLOW)] == [
        x.entry_id for x in waiting[1:]
    ]
    assert len(store.runs.outbox(Recipient.MLFLOW, limit=1)) == 1


def test_a_recorder_that_fails_undoes_the_events(
    opening: Opening, new_run: NewRun, store: Store
) -> None:
    run = new_run()

    def fail(events: Sequence[Event]) -> list[OutboxRecord]:
        raise RuntimeError("no records today")

    store.close()
    other = opening(fail)
    with pytest.raises(RuntimeError):
        other.runs.append(run.run_id, [RunTerminating(run_id=run.run_id, time=1.0)], 1)
    assert other.runs.run(run.run_id).sequence == 1


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_a_full_disk_changes_nothing_and_says_so(store: Store, new_run: NewRun) -> None:
    run = new_run()
    with store.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # A database that may not grow fails as one on a full disk does.
    store.database.engine.dispose()
    sqlalchemy.event.listen(
        store.database.engine,
        "connect",
        lambda connection, _: connection.execute(f"PRAGMA max_page_count={pages}"),
    )
    big = [started(run, f"task-{number}-{'x' * 500}") for number in range(1000)]
    with pytest.raises(StoreError, match="full"):
        store.runs.append(run.run_id, big, 1)
    assert store.runs.run(run.run_id).sequence == 1
    assert len(store.runs.events(run.run_id)) == 1
