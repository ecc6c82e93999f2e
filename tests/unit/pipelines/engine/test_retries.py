"""Runs that are retried, through the engine and its store."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from toolkit_pipelines import reset, spec
from toolkit_pipelines.events import RunPhase, RunRetried
from toolkit_pipelines.options import CacheOptions
from toolkit_pipelines.runstate import TaskPhase

from .conftest import Service, pods_of
from .specs import constant, output, parameters, pipeline, task

COMPONENTS: dict[str, Any] = {
    "comp": {
        "executorLabel": "exec",
        "inputDefinitions": parameters(x="NUMBER_INTEGER"),
        "outputDefinitions": {
            **parameters(Output="NUMBER_INTEGER"),
            "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}},
        },
    },
    "tell": {
        "executorLabel": "exec",
        "inputDefinitions": {
            "parameters": {"status": {"parameterType": "TASK_FINAL_STATUS", "isOptional": True}}
        },
        "outputDefinitions": {
            "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}}
        },
    },
}
TELL = {
    **task("tell"),
    "dependentTasks": ["b"],
    "inputs": {"parameters": {"status": {"taskFinalStatus": {"producerTask": "b"}}}},
    "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
}
SPEC = pipeline(
    {
        "a": task("comp", x=constant(1)),
        "b": {**task("comp", x=output("a")), "retryPolicy": {"maxRetryCount": 1}},
        "c": task("comp", x=output("b")),
        "tell": TELL,
    },
    COMPONENTS,
)


class Steps:
    """Steps that fail as often as a test says, and give one more than they get, and a model."""

    def __init__(self, **fails: int) -> None:
        self.fails = fails
        self.tried: Counter[str] = Counter()

    def __call__(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        self.tried[path] += 1
        if self.tried[path] <= self.fails.get(path, 0):
            return {"exit_code": 1, "message": f"no {self.tried[path]}"}
        inputs, outputs = (given["executor_input"][key] for key in ("inputs", "outputs"))
        models = outputs["artifacts"]["model"]["artifacts"]
        value = inputs["parameterValues"].get("x")
        parameters = {} if value is None else {"Output": value + 1}
        return {"parameters": parameters, "artifacts": {"model": models}}


def retry(service: Service, run_id: str) -> None:
    state = service.state(run_id)
    again = reset.reset(spec.parse(SPEC), state)
    event = RunRetried(run_id=run_id, time=9.0, dropped=again.dropped, reopened=again.reopened)
    service.store.runs.append(run_id, [event], state.sequence)


async def test_only_what_failed_runs_again(played: Service) -> None:
    steps = pods_of(played).behave = Steps(b=3)
    await played.start()
    run_id = played.submit(SPEC)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.FAILED
    assert state.tasks["tell"].inputs.parameters["status"]["state"] == "FAILED"
    # Both attempts that its policy allows; after the retry there are two more.
    assert steps.tried == {"a": 1, "b": 2, "tell": 1}
    retry(played, run_id)
    assert played.store.runs.active_runs() == (run_id,)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert steps.tried == {"a": 1, "b": 4, "c": 1, "tell": 2}
    assert {path: each.attempt for path, each in state.tasks.items()} == {
        "a": 0,
        "b": 3,
        "c": 0,
        "tell": 1,
    }
    assert state.tasks["c"].outputs.parameters["Output"] == 4
    assert state.tasks["tell"].inputs.parameters["status"]["state"] == "COMPLETE"
    assert set(played.pods.started.values()) == {1}
    env = played.pods.requests[state.tasks["b"].pod].env["KFP_RETRY_INDEX"]
    assert env == "3"
    # The handler's first artifact gave way to its second.
    artifacts = {each.task: each.uri for each in played.store.runs.artifacts_of(run_id)}
    assert artifacts.keys() == {"a", "b", "c", "tell"}
    (told,) = state.tasks["tell"].outputs.artifacts["model"]
    assert artifacts["tell"] == told.uri
    await played.until(lambda: not played.pods.statuses)


async def test_a_run_is_retried_until_it_succeeds_though_the_engine_is_killed(
    played: Service,
) -> None:
    steps = pods_of(played).behave = Steps(a=2, b=5, c=1)
    await played.start()
    run_id = played.submit(SPEC)
    for _ in range(10):
        state = await played.wait(run_id)
        if state.status.phase is RunPhase.SUCCEEDED:
            break
        await played.kill()
        retry(played, run_id)
        await played.start()
    assert state.status.phase is RunPhase.SUCCEEDED
    assert (steps.tried["a"], steps.tried["b"], steps.tried["c"]) == (3, 6, 2)
    assert set(played.pods.started.values()) == {1}
    await played.until(lambda: not played.pods.statuses)


@pytest.mark.parametrize("number", range(20))
async def test_a_run_is_retried_the_moment_it_has_ended(played: Service, number: int) -> None:
    pods_of(played).behave = Steps(a=1)
    stop = None

    def at_once(run_id: str) -> None:
        # In the thread that recorded the end, before the engine has let go of the run.
        if played.store.runs.run(run_id).phase is RunPhase.FAILED:
            retry(played, run_id)

    await played.start()
    stop = played.store.runs.subscribe(at_once)
    try:
        state = await played.wait(played.submit(SPEC))
        await played.until(
            lambda: played.store.runs.run(played.runs[0]).phase is RunPhase.SUCCEEDED
        )
    finally:
        stop()
    assert state.created is not None


async def test_a_terminated_run_goes_on(played: Service) -> None:
    steps = pods_of(played).behave = Steps()
    held = True

    async def hold(path: str) -> None:
        if path == "b" and held:
            await played.until(lambda: False, 60)

    pods_of(played).gate = hold
    await played.start()
    run_id = played.submit(SPEC)
    await played.until(lambda: "b" in played.state(run_id).tasks)
    played.terminate(run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.CANCELED
    held = False
    retry(played, run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert steps.tried["a"] == 1
    assert state.tasks["b"].attempt == 1


async def test_what_runs_again_may_come_from_the_cache(played: Service) -> None:
    played.options = replace(played.options, cache=CacheOptions())
    pods_of(played).behave = Steps(b=2)
    await played.start()
    run_id, other = played.submit(SPEC), ""
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.FAILED
    other = played.submit(SPEC)
    assert (await played.wait(other)).status.phase is RunPhase.SUCCEEDED
    retry(played, run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert {path: each.phase for path, each in state.tasks.items()} == {
        "a": TaskPhase.SUCCEEDED,
        "b": TaskPhase.CACHED,
        "c": TaskPhase.CACHED,
        "tell": TaskPhase.SUCCEEDED,
    }
    assert (state.tasks["b"].origin, state.tasks["b"].pod) == (other, "")
