from __future__ import annotations

import dataclasses
import json

import pytest

from toolkit_pipelines import events, runstate
from toolkit_pipelines.events import (
    Artifact,
    RunCreated,
    RunEnded,
    RunPhase,
    RunRetried,
    RunStatus,
    RunTerminating,
    TaskCached,
    TaskCanceled,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskSucceeded,
    Values,
)

MODEL = Artifact("model", "system.Model", "file:///m", {"framework": "sklearn"})
CREATED = RunCreated(
    run_id="r",
    time=1.0,
    spec="d",
    display_name="n",
    pipeline_name="p",
    experiment_id="e",
    experiment_name="Default",
    parameters={"a": [1, {"b": None}]},
)
ALL = [
    CREATED,
    TaskStarted(
        run_id="r", time=2.0, task="a/b", pod="p", inputs=Values({"x": 1}, {"m": (MODEL,)})
    ),
    TaskSucceeded(
        run_id="r", time=3.0, task="a/b", outputs=Values({"x": 1.5}, {"m": (MODEL, MODEL)})
    ),
    TaskStarted(run_id="r", time=3.0, task="f", pod="p", fingerprint="ab"),
    TaskCached(
        run_id="r",
        time=3.0,
        task="f",
        outputs=Values({"x": 1.5}, {"m": (MODEL,)}),
        origin="o",
        origin_task="a/f",
        origin_sequence=7,
    ),
    TaskFailed(run_id="r", time=3.0, task="c", reason="OOMKilled", message="m"),
    TaskSkipped(run_id="r", time=3.0, task="d", reason="why"),
    TaskCanceled(run_id="r", time=3.0, task="e", attempt=2),
    RunTerminating(run_id="r", time=4.0, requested_by="me"),
    RunRetried(run_id="r", time=5.0, dropped=("a", "b/c"), reopened=("b",)),
    RunEnded(run_id="r", time=5.0, phase=RunPhase.CANCELED, outputs=Values({"x": 1})),
    TaskStarted(run_id="r", time=3.0, task="l", iterations=3),
    TaskStarted(run_id="r", time=3.0, task="l/2", iteration=2),
    TaskFailed(run_id="r", time=3.0, task="e", reason="E", message="m", retry=9.5),
    TaskSucceeded(
        run_id="r",
        time=3.0,
        task="e",
        outputs=Values({}, {"m": (dataclasses.replace(MODEL, digest="none"),)}),
        image="python:3.11",
        lock="ab",
        packages=("a==1", "b==2"),
    ),
]


def test_every_kind_survives_json() -> None:
    assert {event.kind for event in ALL} == set(events.KINDS)
    for event in ALL:
        body = json.loads(json.dumps(events.encode(event)))
        back = events.decode(event.kind, body, run_id="r", time=event.time, sequence=7)
        assert back == dataclasses.replace(event, sequence=7)
        assert type(back) is type(event)
        assert back.sequence == 7


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Unknown", {}),
        ("TaskSkipped", {"task": "a"}),
        ("TaskSkipped", {"task": "a", "reason": "b", "colour": "red"}),
        ("RunEnded", {"phase": "EXPLODED"}),
    ],
)
def test_damage_is_named(kind: str, body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="run r, event 3"):
        events.decode(kind, body, run_id="r", time=0, sequence=3)


def status_after(*listed: events.Event) -> RunStatus:
    status = RunStatus()
    for event in listed:
        status = events.advance(status, event)
    return status


def test_a_run_that_succeeds() -> None:
    started, ended = ALL[1], RunEnded(run_id="r", time=9.0, phase=RunPhase.SUCCEEDED)
    status = status_after(CREATED, started, started, ended)
    assert status == RunStatus(
        sequence=4,
        phase=RunPhase.SUCCEEDED,
        updated=9.0,
        finished=9.0,
        history=((RunPhase.PENDING, 1.0), (RunPhase.RUNNING, 2.0), (RunPhase.SUCCEEDED, 9.0)),
    )


def test_a_run_that_is_retried() -> None:
    failed = RunEnded(run_id="r", time=9.0, phase=RunPhase.FAILED, message="no")
    status = status_after(CREATED, ALL[1], failed, RunRetried(run_id="r", time=10.0))
    assert (status.phase, status.message, status.finished) == (RunPhase.RUNNING, "", None)
    assert [phase for phase, _ in status.history][-2:] == [RunPhase.FAILED, RunPhase.RUNNING]


def test_a_task_that_starts_late_does_not_undo_a_termination() -> None:
    stop = RunTerminating(run_id="r", time=4.0)
    assert status_after(CREATED, stop, ALL[1]).phase is RunPhase.CANCELING


def test_only_ended_phases_have_ended() -> None:
    assert [phase for phase in RunPhase if phase.ended] == [
        RunPhase.SUCCEEDED,
        RunPhase.SKIPPED,
        RunPhase.FAILED,
        RunPhase.CANCELED,
    ]


def test_what_was_recorded_before_the_cache_and_retries_is_read() -> None:
    model = {**dataclasses.asdict(MODEL)}
    del model["digest"]
    values = {"parameters": {"x": 1}, "artifacts": {"m": [model]}}
    empty: dict[str, object] = {"parameters": {}, "artifacts": {}}
    # As version 0001 of the tables has them, field for field.
    bodies: list[tuple[str, dict[str, object]]] = [
        (
            "RunCreated",
            {
                **{"spec": "d", "display_name": "n", "pipeline_name": "p", "experiment_id": "e"},
                **{"experiment_name": "Default", "parameters": {}, "pipeline_root": ""},
                "owner": "",
            },
        ),
        ("TaskStarted", {"task": "a", "attempt": 0, "pod": "p", "inputs": empty,
                         "iterations": None, "iteration": None}),
        ("TaskFailed", {"task": "a", "attempt": 0, "reason": "Error", "message": "no",
                        "retry": 3.0}),
        ("TaskStarted", {"task": "a", "attempt": 1, "pod": "p2", "inputs": values,
                         "iterations": None, "iteration": None}),
        ("TaskSucceeded", {"task": "a", "attempt": 1, "outputs": values}),
        ("TaskSkipped", {"task": "b", "reason": "its condition is not met: 1 == 2"}),
        ("TaskStarted", {"task": "c", "attempt": 0, "pod": "p3", "inputs": empty,
                         "iterations": None, "iteration": None}),
        ("RunTerminating", {"requested_by": ""}),
        ("TaskCanceled", {"task": "c", "attempt": 0}),
        ("RunEnded", {"phase": "CANCELED", "message": "", "outputs": empty}),
    ]  # fmt: skip
    state = runstate.fold(
        events.decode(kind, body, run_id="r", time=float(number), sequence=number)
        for number, (kind, body) in enumerate(bodies, 1)
    )
    assert {path: task.phase.value for path, task in state.tasks.items()} == {
        "a": "SUCCEEDED",
        "b": "SKIPPED",
        "c": "CANCELED",
    }
    assert state.tasks["a"].outputs == Values({"x": 1}, {"m": (MODEL,)})
    assert state.tasks["a"].fingerprint == ""
    assert (state.tasks["a"].image, state.tasks["a"].lock, state.locks) == ("", "", {})
    assert state.status.phase is RunPhase.CANCELED
    assert state.created is not None
    assert (state.created.force, state.created.scheduled) == (False, None)
