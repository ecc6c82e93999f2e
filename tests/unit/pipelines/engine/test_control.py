"""Conditions, loops, exit handlers and retries, through the engine and its store."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import Any

import pytest

from toolkit_jobs import PodStatus
from toolkit_pipelines import engine, reset, spec
from toolkit_pipelines.events import RunPhase, RunRetried, TaskStarted
from toolkit_pipelines.runstate import TaskPhase

from .conftest import Service, pods_of
from .specs import constant, output, parameters, pipeline, task

COMPONENTS: dict[str, Any] = {
    "comp": {
        "executorLabel": "exec",
        "inputDefinitions": parameters(x="NUMBER_INTEGER"),
        "outputDefinitions": parameters(Output="NUMBER_INTEGER"),
    },
    "sum": {
        "executorLabel": "exec",
        "inputDefinitions": parameters(xs="LIST"),
        "outputDefinitions": parameters(Output="NUMBER_INTEGER"),
    },
    "handler": {
        "executorLabel": "exec",
        "inputDefinitions": parameters(status="TASK_FINAL_STATUS"),
        "outputDefinitions": parameters(Output="NUMBER_INTEGER"),
    },
    "loop": {
        "dag": {
            "tasks": {
                "double": task("comp", x={"componentInputParameter": "item"}),
                "big": {
                    **task("dag", n=output("double")),
                    "triggerPolicy": {"condition": "inputs.parameter_values['n'] > 2"},
                },
            },
            "outputs": {
                "parameters": {
                    "all": {
                        "valueFromParameter": {
                            "producerSubtask": "double",
                            "outputParameterKey": "Output",
                        }
                    }
                }
            },
        },
        "inputDefinitions": parameters(item="NUMBER_INTEGER"),
        "outputDefinitions": parameters(all="LIST"),
    },
    "dag": {
        "dag": {"tasks": {"tell": task("comp", x={"componentInputParameter": "n"})}},
        "inputDefinitions": parameters(n="NUMBER_INTEGER"),
    },
    "group": {
        "dag": {
            "tasks": {
                "loop": {
                    **task("loop"),
                    "parameterIterator": {"itemInput": "item", "items": {"raw": "[1, 2, 3]"}},
                    "iteratorPolicy": {"parallelismLimit": 2},
                },
                "sum": task("sum", xs=output("loop", "all")),
            },
        }
    },
}
WHOLE = pipeline(
    {
        "group": task("group"),
        "exit": {
            **task("handler", status={"taskFinalStatus": {"producerTask": "group"}}),
            "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
        },
    },
    COMPONENTS,
)
RETRIED = pipeline(
    {
        "a": {
            **task("comp", x=constant(1)),
            "retryPolicy": {"maxRetryCount": 3, "backoffDuration": "0.05s"},
        }
    },
    COMPONENTS,
)


def doubled(path: str, given: dict[str, Any]) -> dict[str, Any]:
    values = given["executor_input"]["inputs"]["parameterValues"]
    return {"parameters": {"Output": sum(values.get("xs", [])) or 2 * values.get("x", 0)}}


async def killed_again_and_again(service: Service, run_id: str) -> None:
    """Kill the engine as soon as the run has one more event, until it has ended."""
    seen = 0
    while not service.store.runs.run(run_id).phase.ended:
        sequence = service.store.runs.run(run_id).sequence
        if sequence > seen:
            seen = sequence
            await service.kill()
            await service.start()
        await asyncio.sleep(0.001)


async def test_killed_between_any_two_events_each_iteration_runs_once(played: Service) -> None:
    pods_of(played).behave = doubled
    await played.start()
    run_id = played.submit(WHOLE)
    await killed_again_and_again(played, run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.status.message
    assert set(played.pods.started.values()) == {1}
    assert state.tasks["group/loop"].outputs.parameters == {"all": [2, 4, 6]}
    assert state.tasks["group/sum"].outputs.parameters == {"Output": 12}
    phases = [state.tasks[f"group/loop/{number}/big"].phase for number in range(3)]
    assert phases == [TaskPhase.SKIPPED, TaskPhase.SUCCEEDED, TaskPhase.SUCCEEDED]
    assert state.tasks["group/loop/2/big/tell"].inputs.parameters == {"x": 6}
    status = state.tasks["exit"].inputs.parameters["status"]
    assert status["state"] == "COMPLETE"
    assert status["pipelineJobResourceName"].startswith("test-pipeline-")
    await played.until(lambda: not played.pods.statuses)


async def test_an_exit_handler_hears_why_a_loop_in_its_group_failed(played: Service) -> None:
    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        if path == "group/loop/1/double":
            return {"exit_code": 1, "message": "ValueError: two"}
        return doubled(path, given)

    pods_of(played).behave = behave
    await played.start()
    state = await played.wait(played.submit(WHOLE))
    assert state.status.phase is RunPhase.FAILED
    assert state.tasks["group/sum"].phase is TaskPhase.SKIPPED
    assert state.tasks["exit"].phase is TaskPhase.SUCCEEDED
    status = state.tasks["exit"].inputs.parameters["status"]
    assert status["state"] == "FAILED"
    assert status["error"]["message"] == "Error: ValueError: two"


async def test_attempts_follow_each_other_until_one_succeeds(played: Service) -> None:
    tried: Counter[str] = Counter()

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any] | PodStatus:
        tried[path] += 1
        if tried[path] < 3:
            return {"exit_code": 1, "message": f"no {tried[path]}"}
        return doubled(path, given)

    pods_of(played).behave = behave
    await played.start()
    run_id = played.submit(RETRIED)
    await killed_again_and_again(played, run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert state.tasks["a"].attempt == 2
    assert set(played.pods.started.values()) == {1}
    begun = [each for each in played.events(run_id) if isinstance(each, TaskStarted)]
    assert [each.attempt for each in begun] == [0, 1, 2]
    env = [played.pods.requests[each.pod].env["KFP_RETRY_INDEX"] for each in begun]
    assert env == ["0", "1", "2"]
    # The second attempt waits 0.05 s, the third twice as long.
    pauses = [after.time - before.time for before, after in itertools.pairwise(begun)]
    assert pauses[0] >= 0.05
    assert pauses[1] >= 0.1
    assert [phase for phase, _ in state.tasks["a"].history] == [
        TaskPhase.RUNNING,
        TaskPhase.PENDING,
        TaskPhase.RUNNING,
        TaskPhase.PENDING,
        TaskPhase.RUNNING,
        TaskPhase.SUCCEEDED,
    ]
    await played.until(lambda: not played.pods.statuses)
    engine = played.engine
    assert engine is not None
    logs = [
        b"".join([chunk async for chunk in engine.logs(run_id, "a", attempt)])
        for attempt in range(3)
    ]
    assert logs == [f"output of {each.pod}\n".encode() for each in begun]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_a_clock_that_is_set_by_a_day_and_back_changes_nothing(
    played: Service, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(engine, "_LONGEST_REST", 0.05)
    ahead, tried = 0.0, 0
    played.clock = lambda: time.time() + ahead

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        nonlocal tried
        tried += 1
        return {"exit_code": 1, "message": "no"} if tried < 3 else doubled(path, given)

    pods_of(played).behave = behave
    await played.start()
    run_id = played.submit(RETRIED)
    for attempt in range(2):
        await played.until(lambda attempt=attempt: tried > attempt)  # type: ignore[misc]
        ahead = jump - ahead
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert (state.tasks["a"].attempt, set(played.pods.started.values())) == (2, {1})


async def test_the_last_attempt_decides(played: Service) -> None:
    pods_of(played).behave = lambda path, given: {"exit_code": 1, "message": "no"}
    await played.start()
    state = await played.wait(played.submit(RETRIED))
    assert state.status.phase is RunPhase.FAILED
    assert state.tasks["a"].attempt == 3
    assert state.tasks["a"].message == "no"


async def test_a_nested_pipeline_is_tried_again_whenever_the_engine_is_killed(
    played: Service,
) -> None:
    tried: Counter[str] = Counter()

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        tried[path] += 1
        if path == "outer/second" and tried[path] < 3:
            return {"exit_code": 1, "message": "ValueError: not yet"}
        return doubled(path, given)

    components = {
        **COMPONENTS,
        "outer": {
            "dag": {
                "tasks": {
                    "first": task("comp", x=constant(1)),
                    "second": task("comp", x=output("first")),
                }
            }
        },
    }
    pods_of(played).behave = behave
    await played.start()
    run_id = played.submit(
        pipeline({"outer": {**task("outer"), "retryPolicy": {"maxRetryCount": 3}}}, components)
    )
    await killed_again_and_again(played, run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.status.message
    assert tried == {"outer/first": 3, "outer/second": 3}
    assert set(played.pods.started.values()) == {1}
    assert state.tasks["outer"].attempt == 2
    assert state.tasks["outer/second"].inputs.parameters == {"x": 2}


async def test_a_run_that_takes_too_long_is_stopped_and_goes_on_when_retried(
    played: Service,
) -> None:
    held = True

    async def hold(path: str) -> None:
        if path == "b" and held:
            await played.until(lambda: False, 60)

    pods_of(played).gate = hold
    chain = pipeline(
        {
            "a": task("comp", x=constant(1)),
            "b": task("comp", "a", x=constant(2)),
            "exit": {
                **task("comp", "b", x=constant(3)),
                "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
            },
        },
        COMPONENTS,
    )
    limit = {"platforms": {"kubernetes": {"pipelineConfig": {"activeDeadlineSeconds": 3}}}}
    pods_of(played).behave = doubled
    await played.start()
    run_id = played.submit({"pipeline_spec": chain, "platform_spec": limit})
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.FAILED
    assert "longer than the 3 s" in state.status.message
    assert {path: each.phase for path, each in state.tasks.items()} == {
        "a": TaskPhase.SUCCEEDED,
        "b": TaskPhase.CANCELED,
    }
    assert state.tasks["b"].pod in played.pods.deleted
    held = False
    again = reset.reset(spec.parse(chain), state)
    retried = RunRetried(
        run_id=run_id, time=time.time(), dropped=again.dropped, reopened=again.reopened
    )
    played.store.runs.append(run_id, [retried], state.sequence)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.status.message
    assert state.tasks["exit"].phase is TaskPhase.SUCCEEDED


async def test_a_run_is_terminated_between_two_attempts(played: Service) -> None:
    pods_of(played).behave = lambda path, given: {"exit_code": 1, "message": "no"}
    await played.start()
    spec = pipeline(
        {
            "a": {
                **task("comp", x=constant(1)),
                "retryPolicy": {"maxRetryCount": 3, "backoffDuration": "600s"},
            }
        },
        COMPONENTS,
    )
    run_id = played.submit(spec)
    await played.until(
        lambda: (
            "a" in (tasks := played.state(run_id).tasks) and tasks["a"].phase is TaskPhase.PENDING
        )
    )
    waits = played.state(run_id).tasks["a"].retry
    assert waits is not None
    assert waits > time.time() + 500
    played.terminate(run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.CANCELED
    assert state.tasks["a"].phase is TaskPhase.CANCELED
    assert set(played.pods.started.values()) == {1}
