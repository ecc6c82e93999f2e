from __future__ import annotations

import json

import pytest

from toolkit_pipelines import events
from toolkit_pipelines.events import (
    Artifact,
    RunCreated,
    RunEnded,
    RunPhase,
    RunStatus,
    RunTerminating,
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
    TaskFailed(run_id="r", time=3.0, task="c", reason="OOMKilled", message="m"),
    TaskSkipped(run_id="r", time=3.0, task="d", reason="why"),
    TaskCanceled(run_id="r", time=3.0, task="e", attempt=2),
    RunTerminating(run_id="r", time=4.0, requested_by="me"),
    RunEnded(run_id="r", time=5.0, phase=RunPhase.CANCELED, outputs=Values({"x": 1})),
]


def test_every_kind_survives_json() -> None:
    assert {event.kind for event in ALL} == set(events.KINDS)
    for event in ALL:
        body = json.loads(json.dumps(events.encode(event)))
        back = events.decode(event.kind, body, run_id="r", time=event.time, sequence=7)
        assert events.encode(back) == events.encode(event)
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


def test_a_task_that_starts_late_does_not_undo_a_termination() -> None:
    assert status_after(CREATED, ALL[6], ALL[1]).phase is RunPhase.CANCELING


def test_only_ended_phases_have_ended() -> None:
    assert [phase for phase in RunPhase if phase.ended] == [
        RunPhase.SUCCEEDED,
        RunPhase.SKIPPED,
        RunPhase.FAILED,
        RunPhase.CANCELED,
    ]
