"""What a run's state lets go of; what events make of it, the scheduler's tests show."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from toolkit_pipelines import events
from toolkit_pipelines.events import TaskFailed, TaskStarted, TaskSucceeded, Values
from toolkit_pipelines.runstate import RunState, TaskPhase, fold

RUN = str(uuid.UUID(int=3))


def told(kind: type[events.Event], task: str, **fields: Any) -> events.Event:
    return kind(run_id=RUN, time=2.0, task=task, **fields)


@pytest.fixture
def state() -> RunState:
    """A loop of three iterations: one has succeeded, one has failed, one goes on."""
    given = Values({"x": 1}, {})
    return fold(
        [
            events.RunCreated(
                run_id=RUN,
                time=1.0,
                spec="",
                display_name="r",
                pipeline_name="p",
                experiment_id="e",
                experiment_name="Default",
            ),
            told(TaskStarted, "loop", iterations=3),
            *(told(TaskStarted, f"loop/{n}", iteration=n, inputs=given) for n in range(3)),
            *(
                told(TaskStarted, f"loop/{n}/step", pod=f"pod-{n}", inputs=given, fingerprint="f")
                for n in range(3)
            ),
            told(TaskSucceeded, "loop/0/step", outputs=Values({"y": 2}), image="i", lock="l"),
            told(TaskSucceeded, "loop/0"),
            told(TaskFailed, "loop/1/step", reason="Error", message="no"),
            told(TaskFailed, "loop/1", reason="TaskFailed", message="it failed"),
        ]
    )


def test_how_a_task_ended_stays(state: RunState) -> None:
    state.let_go(list(state.tasks))
    step = state.tasks["loop/0/step"]
    assert (step.phase, step.pod, step.attempt) == (TaskPhase.SUCCEEDED, "pod-0", 0)
    assert step.outputs == Values({"y": 2})
    assert step.inputs == Values()
    assert (step.history, step.image, step.lock, step.fingerprint) == ((), "", "", "")
    failed = state.tasks["loop/1/step"]
    assert (failed.phase, failed.reason, failed.message) == (TaskPhase.FAILED, "Error", "no")


def test_what_goes_on_stays_as_it_is(state: RunState) -> None:
    names = ("loop", "loop/2", "loop/2/step")
    before = [state.tasks[name] for name in names]
    state.let_go([*state.tasks, "loop/3"])
    assert [state.tasks[name] for name in names] == before
    assert list(state.children["loop"].open) == ["loop/2"]
    assert state.children["loop"].reached == 3


def test_why_something_failed_is_known(state: RunState) -> None:
    state.let_go(list(state.tasks))
    assert state.children["loop"].failed == ["loop/1"]
    assert state.children["loop/1"].failed == ["loop/1/step"]
    assert "loop/0" not in state.children
