"""What of a run is done again; `scheduler/test_scheduler.py` does it to programs by chance."""

from __future__ import annotations

from typing import Any

from toolkit_pipelines import events, runstate, spec
from toolkit_pipelines.events import Values
from toolkit_pipelines.reset import Reset, reset
from toolkit_pipelines.runstate import RunState, TaskPhase

from .engine.specs import parameters, pipeline, task
from .scheduler.simulation import RUN, created

ALWAYS = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}
LOOP = {
    "componentRef": {"name": "body"},
    "parameterIterator": {"itemInput": "item", "items": {"raw": "[1, 2, 3]"}},
}
SPEC = spec.parse(
    pipeline(
        {
            "good": task("comp"),
            "loop": LOOP,
            "after": task("comp", "loop"),
            "beside": task("comp", "good"),
            "handler": {**task("comp", "loop"), **ALWAYS},
            "other": {**task("comp", "good"), **ALWAYS},
            "never": {
                **task("comp"),
                "triggerPolicy": {"condition": "1 == 2"},
            },
            "nor": task("comp", "never"),
        },
        {
            "comp": {"executorLabel": "exec"},
            "body": {
                "dag": {"tasks": {"a": task("comp"), "b": task("comp", "a")}},
                "inputDefinitions": parameters(item="NUMBER_INTEGER"),
            },
        },
    )
)


def event(kind: Any, path: str, **more: Any) -> Any:
    return kind(run_id=RUN, time=1.0, task=path, **more)


def done(path: str, attempt: int = 0) -> list[Any]:
    return [
        event(events.TaskStarted, path, pod=f"pod-{path}-{attempt}", attempt=attempt),
        event(events.TaskSucceeded, path, attempt=attempt, outputs=Values({"n": 1})),
    ]


FAILED = [
    created(),
    *done("good"),
    event(events.TaskStarted, "loop", iterations=3),
    event(events.TaskStarted, "loop/0", iteration=0),
    *done("loop/0/a"),
    *done("loop/0/b"),
    event(events.TaskSucceeded, "loop/0"),
    event(events.TaskStarted, "loop/1", iteration=1),
    event(events.TaskStarted, "loop/1/a", pod="pod", attempt=2),
    event(events.TaskFailed, "loop/1/a", reason="Error", message="no", attempt=2),
    event(events.TaskSkipped, "loop/1/b", reason="task 'loop/1/a' failed"),
    event(events.TaskFailed, "loop/1", reason="TaskFailed", message="..."),
    event(events.TaskFailed, "loop", reason="TaskFailed", message="..."),
    event(events.TaskSkipped, "after", reason="task 'loop' failed"),
    event(events.TaskSkipped, "beside", reason="task 'loop' failed"),
    *done("handler"),
    *done("other"),
    event(events.TaskSkipped, "never", reason="its condition is not met", condition=True),
    event(events.TaskSkipped, "nor", reason="task 'never' was skipped"),
]
AGAIN = Reset(("loop/1/a", "loop/1/b", "after", "beside", "handler"), ("loop", "loop/1"))


def retried(*more: Any) -> RunState:
    return runstate.fold(
        [
            *FAILED,
            *more,
            events.RunEnded(run_id=RUN, time=2.0, phase=events.RunPhase.FAILED, message="no"),
            events.RunRetried(
                run_id=RUN, time=3.0, dropped=AGAIN.dropped, reopened=AGAIN.reopened
            ),
        ]
    )


def test_what_failed_and_what_comes_after_it() -> None:
    found = reset(SPEC, runstate.fold(FAILED))
    assert set(found.dropped) == set(AGAIN.dropped)
    assert found.reopened == AGAIN.reopened


def test_a_retried_run_goes_on_where_it_was() -> None:
    state = retried()
    assert state.status.phase is events.RunPhase.RUNNING
    assert (state.status.message, state.status.finished) == ("", None)
    assert state.tasks.keys() == {
        *("good", "loop", "loop/0", "loop/0/a", "loop/0/b", "loop/1"),
        *("other", "never", "nor"),
    }
    loop, iteration = state.tasks["loop"], state.tasks["loop/1"]
    assert (loop.phase, loop.iterations, loop.finished) == (TaskPhase.RUNNING, 3, None)
    assert (iteration.phase, iteration.iteration, iteration.message) == (TaskPhase.RUNNING, 1, "")
    assert (state.children["loop"].reached, list(state.children["loop"].open)) == (2, ["loop/1"])
    assert state.children["loop"].failed == []
    assert state.children["loop/1"].reached == 0
    assert state.children[""].reached == 5
    assert list(state.children[""].open) == ["loop"]


def test_attempts_are_counted_on() -> None:
    assert retried().spent == {"loop/1/a": 3, "handler": 1}


def test_attempts_before_one_that_was_taken_from_the_cache_count() -> None:
    given = [
        event(events.TaskFailed, "more", reason="Error", message="no", retry=2.0),
        event(events.TaskStarted, "more", attempt=1),
        event(
            events.TaskCached, "more", attempt=1, origin="o", origin_task="t", origin_sequence=1
        ),
        event(events.TaskStarted, "first"),
        event(events.TaskCached, "first", origin="o", origin_task="t", origin_sequence=1),
        events.RunRetried(run_id=RUN, time=3.0, dropped=("more", "first")),
    ]
    started = event(events.TaskStarted, "more", pod="pod-more-0")
    assert runstate.fold([created(), started, *given]).spent == {"more": 1}


def test_a_run_that_was_stopped() -> None:
    stopped = [
        created(),
        *done("good"),
        event(events.TaskStarted, "loop", iterations=3),
        event(events.TaskStarted, "loop/0", iteration=0),
        event(events.TaskStarted, "loop/0/a", pod="pod"),
        events.RunTerminating(run_id=RUN, time=1.0),
        event(events.TaskCanceled, "loop/0/a"),
        event(events.TaskCanceled, "loop/0"),
        event(events.TaskCanceled, "loop"),
    ]
    assert reset(SPEC, runstate.fold(stopped)) == Reset(("loop/0/a",), ("loop", "loop/0"))


def test_a_loop_that_could_not_begin_is_come_to_anew() -> None:
    failed = [
        created(),
        event(events.TaskStarted, "loop"),
        event(events.TaskFailed, "loop", reason="InputError", message="no list"),
    ]
    assert reset(SPEC, runstate.fold(failed)) == Reset(("loop",), ())


def test_an_iteration_that_has_no_input_stays_failed() -> None:
    failed = [
        created(),
        event(events.TaskStarted, "loop", iterations=3),
        event(events.TaskStarted, "loop/0", iteration=0),
        event(events.TaskFailed, "loop/0", reason="InputError", message="no key"),
        event(events.TaskFailed, "loop", reason="TaskFailed", message="..."),
    ]
    assert reset(SPEC, runstate.fold(failed)) == Reset((), ("loop",))


def test_what_was_recorded_before_conditions_were_is_looked_at_again() -> None:
    old = [event(events.TaskSkipped, "never", reason="its condition is not met: 1 == 2")]
    assert reset(SPEC, runstate.fold([created(), *old])) == Reset(("never",), ())
