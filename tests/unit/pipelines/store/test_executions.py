"""The cache in the store: executions by fingerprint, and runs that others depend on."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from toolkit_pipelines.events import (
    Artifact,
    RunEnded,
    RunPhase,
    RunRetried,
    TaskCached,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.root import DEFAULT_URI
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import (
    ConflictError,
    Execution,
    InUseError,
    NotFoundError,
    Run,
)

NewRun = Callable[..., Run]


def made_by(run: Run, name: str = "model") -> Artifact:
    return Artifact(name, "system.Model", f"{DEFAULT_URI}/p/{run.run_id}/train/{'0' * 16}/{name}")


def executed(store: Store, run: Run, time: float = 30.0, fingerprint: str = "f") -> Execution:
    """Record an execution of `train` in a run that then ends; give it."""
    common = {"run_id": run.run_id, "task": "train", "fingerprint": fingerprint}
    outputs = Values({"time": time}, {"model": (made_by(run),)})
    recorded = store.runs.append(
        run.run_id,
        [
            TaskStarted(time=20.0, pod="pod", **common),
            TaskSucceeded(time=time, outputs=outputs, **common),
            RunEnded(run_id=run.run_id, time=40.0, phase=RunPhase.SUCCEEDED),
        ],
        1,
    )
    return Execution(
        run_id=run.run_id, task="train", sequence=recorded[1].sequence, outputs=outputs
    )


def reuse(store: Store, run: Run, found: Execution) -> None:
    store.runs.append(
        run.run_id,
        [
            TaskStarted(run_id=run.run_id, time=50.0, task="again"),
            TaskCached(
                run_id=run.run_id,
                time=50.0,
                task="again",
                outputs=found.outputs,
                origin=found.run_id,
                origin_task=found.task,
                origin_sequence=found.sequence,
            ),
            RunEnded(run_id=run.run_id, time=60.0, phase=RunPhase.SUCCEEDED),
        ],
        1,
    )


def test_the_newest_is_found_unless_it_is_too_old(store: Store, new_run: NewRun) -> None:
    older = executed(store, new_run(), 30.0)
    newer = executed(store, new_run(), 35.0)
    executed(store, new_run(), 38.0, "g")
    executed(store, new_run(), 39.0, "")
    assert store.runs.execution("f", 0.0) == newer != older
    assert store.runs.execution("f", 35.0) == newer
    assert store.runs.execution("f", 35.5) is None
    assert store.runs.execution("", 0.0) is None
    store.runs.retire(newer.run_id)
    assert store.runs.execution("f", 0.0) == older
    store.runs.delete(older.run_id)
    assert store.runs.execution("f", 0.0) is None


def test_what_is_reused_is_an_artifact_of_both_runs(store: Store, new_run: NewRun) -> None:
    first, second = new_run("first"), new_run("second")
    found = executed(store, first)
    reuse(store, second, found)
    (made,), (reused,) = (store.runs.artifacts_of(each.run_id) for each in (first, second))
    assert (made.uri, made.origin) == (reused.uri, "")
    assert (reused.run_id, reused.task, reused.origin) == (second.run_id, "again", first.run_id)
    # The execution is the first's alone.
    store.runs.retire(second.run_id)
    assert store.runs.execution("f", 0.0) == found


def test_a_run_that_others_use_stays_until_they_are_gone(store: Store, new_run: NewRun) -> None:
    first, second, third = (new_run(name) for name in ("first", "second", "third"))
    found = executed(store, first)
    reuse(store, second, found)
    reuse(store, third, found)
    with pytest.raises(InUseError, match="delete those first") as refused:
        store.runs.retire(first.run_id)
    assert second.run_id in str(refused.value)
    assert third.run_id in str(refused.value)
    assert store.runs.execution("f", 0.0) == found, "nothing was changed"
    for user in (second, third):
        store.runs.retire(user.run_id)
        store.runs.delete(user.run_id)
    store.runs.retire(first.run_id)
    store.runs.delete(first.run_id)


def test_an_import_counts_as_use(store: Store, new_run: NewRun) -> None:
    first, second = new_run("first"), new_run("second")
    executed(store, first)
    imported = Values({}, {"artifact": (made_by(first),)})
    event = TaskSucceeded(run_id=second.run_id, time=50.0, task="importer", outputs=imported)
    started = TaskStarted(run_id=second.run_id, time=50.0, task="importer")
    store.runs.append(second.run_id, [started, event], 1)
    with pytest.raises(InUseError, match=second.run_id):
        store.runs.retire(first.run_id)


def test_parameters_alone_hold_no_run(store: Store, new_run: NewRun) -> None:
    first, second = new_run("first"), new_run("second")
    found = executed(store, first)
    reuse(
        store,
        second,
        Execution(
            run_id=found.run_id, task=found.task, sequence=found.sequence, outputs=Values({"n": 1})
        ),
    )
    store.runs.retire(first.run_id)


def test_what_is_about_to_be_deleted_cannot_be_taken(store: Store, new_run: NewRun) -> None:
    first, second = new_run("first"), new_run("second")
    found = executed(store, first)
    store.runs.retire(first.run_id)
    with pytest.raises(ConflictError, match="not in the cache any more"):
        reuse(store, second, found)
    assert store.runs.run(second.run_id).sequence == 1
    assert store.runs.artifacts_of(second.run_id) == ()


def test_only_a_run_that_has_ended_is_retired(store: Store, new_run: NewRun) -> None:
    with pytest.raises(InUseError, match="terminate it"):
        store.runs.retire(new_run().run_id)
    with pytest.raises(NotFoundError):
        store.runs.retire(str(uuid.uuid4()))


def test_a_run_that_is_being_deleted_is_not_retried(store: Store, new_run: NewRun) -> None:
    run = new_run()
    ended = RunEnded(run_id=run.run_id, time=40.0, phase=RunPhase.FAILED, message="no")
    store.runs.append(run.run_id, [ended], 1)
    retried = RunRetried(run_id=run.run_id, time=50.0)
    for _ in range(2):
        # Its files may have gone in part: it can be deleted again, and no more.
        store.runs.retire(run.run_id)
        with pytest.raises(InUseError, match="is being deleted"):
            store.runs.append(run.run_id, [retried], 2)
    store.runs.delete(run.run_id)


def test_the_artifacts_of_what_runs_again_give_way(store: Store, new_run: NewRun) -> None:
    run = new_run()
    common = {"run_id": run.run_id, "time": 30.0}
    tasks = ("group/inner", "group", "group-2", "kept")
    made = {task: Values({}, {"out": (made_by(run, task.replace("/", "-")),)}) for task in tasks}
    recorded = store.runs.append(
        run.run_id,
        [
            event
            for task in tasks
            for event in (
                TaskStarted(task=task, **common),
                TaskSucceeded(task=task, outputs=made[task], **common),
            )
        ],
        1,
    )
    ended = RunEnded(**common, phase=RunPhase.FAILED, message="no")
    retried = RunRetried(**common, dropped=("group",))
    store.runs.append(run.run_id, [ended, retried], recorded[-1].sequence)
    assert [each.task for each in store.runs.artifacts_of(run.run_id)] == ["group-2", "kept"]


def test_what_a_task_that_stays_has_is_known_though_another_had_it_first(
    store: Store, new_run: NewRun
) -> None:
    first, second = new_run("first"), new_run("second")
    found = executed(store, first)
    common = {"run_id": second.run_id, "time": 50.0}
    events = [
        event
        for task in ("dropped", "stays")
        for event in (
            TaskStarted(task=task, **common),
            TaskCached(
                task=task,
                outputs=found.outputs,
                origin=found.run_id,
                origin_task=found.task,
                origin_sequence=found.sequence,
                **common,
            ),
        )
    ]
    ended = RunEnded(**common, phase=RunPhase.FAILED, message="no")
    retried = RunRetried(**common, dropped=("dropped",))
    recorded = store.runs.append(second.run_id, [*events, ended], 1)
    store.runs.append(second.run_id, [retried], recorded[-1].sequence)
    (kept,) = store.runs.artifacts_of(second.run_id)
    assert (kept.task, kept.origin) == ("stays", first.run_id)
    with pytest.raises(InUseError, match=second.run_id):
        store.runs.retire(first.run_id)


def imported(store: Store, run: Run, artifact: Artifact) -> None:
    common = {"run_id": run.run_id, "task": "import", "time": 50.0}
    taken = TaskSucceeded(outputs=Values(artifacts={"artifact": (artifact,)}), **common)
    store.runs.append(run.run_id, [TaskStarted(**common), taken], 1)


def test_nothing_is_imported_of_a_run_that_is_being_deleted(store: Store, new_run: NewRun) -> None:
    first, second = new_run("first"), new_run("second")
    executed(store, first)
    store.runs.retire(first.run_id)
    with pytest.raises(InUseError, match=f"run {first.run_id}, which is being deleted"):
        imported(store, second, made_by(first))
    assert store.runs.run(second.run_id).sequence == 1
    # What is not there any more is like what never was.
    store.runs.delete(first.run_id)
    imported(store, second, made_by(first))


def test_what_was_imported_first_stays(store: Store, new_run: NewRun) -> None:
    first, second = new_run("first"), new_run("second")
    executed(store, first)
    imported(store, second, made_by(first))
    with pytest.raises(InUseError, match="delete those first"):
        store.runs.retire(first.run_id)
