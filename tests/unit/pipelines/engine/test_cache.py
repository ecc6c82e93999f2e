"""The engine and the cache, against pods that a test plays."""

from __future__ import annotations

import asyncio
import copy
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit_jobs import ClaimMount
from toolkit_pipelines import events
from toolkit_pipelines.events import RunPhase
from toolkit_pipelines.options import CacheOptions
from toolkit_pipelines.runstate import RunState, TaskPhase
from toolkit_pipelines.store.interface import StoreError

from .conftest import Service, pods_of
from .specs import constant, container, output, parameters, pipeline, task

CACHED, SUCCEEDED = TaskPhase.CACHED, TaskPhase.SUCCEEDED
MODEL = {"artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}}}
FROM_ROOT = {"componentInputParameter": "x"}
TRAINING = pipeline(
    {
        "prepare": task("comp-prepare", x=FROM_ROOT),
        "train": task("comp-train", x=output("prepare")),
        "test": {
            **task("comp-test"),
            "inputs": {
                "artifacts": {
                    "model": {
                        "taskOutputArtifact": {
                            "producerTask": "train",
                            "outputArtifactKey": "model",
                        }
                    }
                }
            },
        },
    },
    {
        "comp-prepare": {
            "executorLabel": "exec",
            "inputDefinitions": parameters(x="NUMBER_INTEGER"),
            "outputDefinitions": parameters(Output="NUMBER_INTEGER"),
        },
        "comp-train": {
            "executorLabel": "exec",
            "inputDefinitions": parameters(x="NUMBER_INTEGER"),
            "outputDefinitions": MODEL,
        },
        "comp-test": {"executorLabel": "exec", "inputDefinitions": MODEL},
    },
    inputDefinitions=parameters(x="NUMBER_INTEGER"),
)


def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """`prepare` gives half of what it gets, `train` a model, whose file is in its folder."""
    if path == "prepare":
        value = given["executor_input"]["inputs"]["parameterValues"]["x"]
        return {"parameters": {"Output": value // 2}}
    if path == "train":
        (made,) = given["executor_input"]["outputs"]["artifacts"]["model"]["artifacts"]
        Path(made["uri"]).write_text("weights")
        return {"artifacts": {"model": [{**made, "metadata": {"layers": 3}}]}}
    return {}


@pytest.fixture
def caching(played: Service) -> Service:
    pods_of(played).behave = behave
    played.options = replace(played.options, cache=CacheOptions())
    return played


async def ran(service: Service, spec: dict[str, Any], x: int = 8, **more: Any) -> RunState:
    state = await service.wait(service.submit(spec, {"x": x}, **more))
    assert state.status.phase is RunPhase.SUCCEEDED, state.status.message
    return state


def phases(state: RunState) -> dict[str, TaskPhase]:
    return {path: each.phase for path, each in state.tasks.items()}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The pipeline with something in it changed."""
    spec = copy.deepcopy(TRAINING)
    inner = spec
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = to
    return spec


ALL = dict.fromkeys(("prepare", "train", "test"), CACHED)
NONE = dict.fromkeys(ALL, SUCCEEDED)


async def test_the_second_run_takes_all_from_the_first(caching: Service) -> None:
    await caching.start()
    first = await ran(caching, TRAINING)
    assert phases(first) == NONE
    pods = dict(caching.pods.started)
    second = await ran(caching, TRAINING)
    assert phases(second) == ALL
    assert caching.pods.started == pods
    for path, each in second.tasks.items():
        assert each.outputs == first.tasks[path].outputs
        assert (each.pod, each.origin, each.origin_task) == ("", caching.runs[0], path)
        assert each.finished is not None
    # A third takes it from the first too: the second made nothing.
    third = await ran(caching, TRAINING)
    assert {each.origin for each in third.tasks.values()} == {caching.runs[0]}


async def test_what_is_taken_is_recorded_before_anything_comes_of_it(caching: Service) -> None:
    await caching.start()
    await ran(caching, TRAINING)
    await ran(caching, TRAINING)
    recorded = caching.events(caching.runs[1])
    assert [(type(each), getattr(each, "task", "")) for each in recorded] == [
        (events.RunCreated, ""),
        *[
            (kind, path)
            for path in ("prepare", "train", "test")
            for kind in (events.TaskStarted, events.TaskCached)
        ],
        (events.RunEnded, ""),
    ]


async def test_other_inputs_run_and_the_same_further_on_does_not(caching: Service) -> None:
    await caching.start()
    await ran(caching, TRAINING, 8)
    state = await ran(caching, TRAINING, 9)
    # Half of nine is half of eight, without a rest.
    assert phases(state) == {**ALL, "prepare": SUCCEEDED}
    assert phases(await ran(caching, TRAINING, 20)) == NONE


async def test_a_step_after_a_cached_one_sees_its_artifact(caching: Service) -> None:
    await caching.start()
    first = await ran(caching, TRAINING)
    other = changed("root", "dag", "tasks", "test", "cachingOptions", to={})
    second = await ran(caching, other)
    assert phases(second) == {**ALL, "test": SUCCEEDED}
    (model,) = first.tasks["train"].outputs.artifacts["model"]
    assert second.tasks["test"].inputs.artifacts["model"] == (model,)
    request = caching.pods.requests[second.tasks["test"].pod]
    home = Path(model.uri).parent
    below = str(home.relative_to(caching.root.folder))
    assert ClaimMount(str(home), "root", below, read_only=True) in request.mounts


@pytest.mark.parametrize(
    "spec",
    [
        changed("deploymentSpec", "executors", "exec", to=container("echo", "other")),
        changed("pipelineInfo", "name", to="another-pipeline"),
        changed(
            "deploymentSpec",
            "executors",
            "exec",
            to=container("echo", "{{$.pipeline_job_uuid}}", "hello"),
        ),
    ],
)
async def test_another_container_or_pipeline_runs(caching: Service, spec: dict[str, Any]) -> None:
    await caching.start()
    await ran(caching, TRAINING)
    assert phases(await ran(caching, spec)) == NONE


async def test_a_command_that_names_its_run_is_never_the_same(caching: Service) -> None:
    own = container("echo", "{{$.pipeline_job_uuid}}")
    spec = changed("deploymentSpec", "executors", "exec", to=own)
    await caching.start()
    assert phases(await ran(caching, spec)) == NONE
    assert phases(await ran(caching, spec)) == NONE


async def test_a_task_that_does_not_want_it_runs(caching: Service) -> None:
    await caching.start()
    await ran(caching, TRAINING)
    for options in ({}, {"enableCache": False}):
        spec = changed("root", "dag", "tasks", "train", "cachingOptions", to=options)
        state = await ran(caching, spec)
        # What it gives is elsewhere, so what follows has another input.
        assert phases(state) == {"prepare": CACHED, "train": SUCCEEDED, "test": SUCCEEDED}
    silent = copy.deepcopy(TRAINING)
    del silent["root"]["dag"]["tasks"]["prepare"]["cachingOptions"]
    assert phases(await ran(caching, silent))["prepare"] is SUCCEEDED


@pytest.mark.parametrize(
    ("said", "cached"), [({}, False), (None, True), ({"enableCache": True}, True)]
)
async def test_what_a_nested_pipeline_says_holds_for_all_in_it(
    caching: Service, said: dict[str, Any] | None, cached: bool
) -> None:
    components = {
        "group": {"dag": {"tasks": {"inner": task("comp")}}},
        "comp": {"executorLabel": "exec"},
    }
    outer = {**task("group"), "cachingOptions": said}
    if said is None:
        del outer["cachingOptions"]
    spec = pipeline({"group": outer}, components)
    await caching.start()
    for expected in (SUCCEEDED, CACHED if cached else SUCCEEDED):
        state = await caching.wait(caching.submit(spec))
        assert phases(state) == {"group": SUCCEEDED, "group/inner": expected}


async def test_a_given_key_stands_for_the_inputs(caching: Service) -> None:
    options = {"enableCache": True, "cacheKey": "mine"}
    spec = changed("root", "dag", "tasks", "prepare", "cachingOptions", to=options)
    await caching.start()
    await ran(caching, spec, 8)
    state = await ran(caching, spec, 100)
    assert phases(state) == ALL
    assert state.tasks["prepare"].outputs.parameters == {"Output": 4}


async def test_what_failed_is_not_taken(caching: Service) -> None:
    def fails(path: str, given: dict[str, Any]) -> dict[str, Any]:
        return {"exit_code": 1, "message": "no"} if path == "train" else behave(path, given)

    pods_of(caching).behave = fails
    await caching.start()
    state = await caching.wait(caching.submit(TRAINING, {"x": 8}))
    assert state.status.phase is RunPhase.FAILED
    pods_of(caching).behave = behave
    assert phases(await ran(caching, TRAINING)) == {**NONE, "prepare": CACHED}


async def test_nothing_is_taken_nor_kept_where_caching_is_off(caching: Service) -> None:
    on, off = caching.options, replace(caching.options, cache=None)
    for options, expected in ((off, NONE), (on, NONE), (off, NONE), (on, ALL)):
        caching.options = options
        await caching.start()
        assert phases(await ran(caching, TRAINING)) == expected
        await caching.kill()


async def test_a_forced_run_takes_nothing_and_keeps_what_it_gives(caching: Service) -> None:
    await caching.start()
    await ran(caching, TRAINING)
    assert phases(await ran(caching, TRAINING, force=True)) == NONE
    state = await ran(caching, TRAINING)
    assert phases(state) == ALL
    assert {each.origin for each in state.tasks.values()} == {caching.runs[1]}


async def test_what_is_too_old_is_not_taken(caching: Service) -> None:
    now = 1_900_000_000.0
    caching.clock = lambda: now
    caching.options = replace(caching.options, cache=CacheOptions(ttl=3600))
    await caching.start()
    await ran(caching, TRAINING)
    now += 3600
    assert phases(await ran(caching, TRAINING)) == ALL
    now += 1
    assert phases(await ran(caching, TRAINING)) == NONE
    now += 3600
    assert phases(await ran(caching, TRAINING)) == ALL


async def test_what_was_removed_runs_again(caching: Service) -> None:
    await caching.start()
    first = await ran(caching, TRAINING)
    (model,) = first.tasks["train"].outputs.artifacts["model"]
    shutil.rmtree(Path(model.uri).parent)
    state = await ran(caching, TRAINING)
    assert phases(state) == {"prepare": CACHED, "train": SUCCEEDED, "test": SUCCEEDED}
    assert phases(await ran(caching, TRAINING)) == ALL


async def test_what_is_deleted_while_it_is_looked_at_runs_again(
    caching: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caching.start()
    await ran(caching, TRAINING)
    find = caching.store.runs.execution

    def deleted_meanwhile(*asked: Any) -> Any:
        found = find(*asked)
        if found is not None:
            caching.store.runs.retire(caching.runs[0])
        return found

    monkeypatch.setattr(caching.store.runs, "execution", deleted_meanwhile)
    state = await ran(caching, TRAINING)
    assert phases(state) == NONE
    assert not any(isinstance(each, events.TaskCached) for each in caching.events(caching.runs[1]))


@pytest.mark.parametrize("error", [StoreError("the disk is away"), ValueError("damaged")])
async def test_a_cache_that_fails_fails_no_task(
    caching: Service, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await caching.start()
    await ran(caching, TRAINING)

    def fails(*asked: Any) -> None:
        raise error

    monkeypatch.setattr(caching.store.runs, "execution", fails)
    assert phases(await ran(caching, TRAINING)) == NONE


@pytest.mark.parametrize("steps", range(12))
async def test_an_engine_that_is_killed_goes_on(caching: Service, steps: int) -> None:
    await caching.start()
    await ran(caching, TRAINING)
    started = dict(caching.pods.started)
    run_id = caching.submit(TRAINING, {"x": 8})
    for _ in range(steps):
        await asyncio.sleep(0)
    await caching.until(lambda: len(caching.events(run_id)) > min(steps // 2, 6))
    await caching.kill()
    await caching.start()
    state = await caching.wait(run_id)
    assert phases(state) == ALL
    assert caching.pods.started == started


async def test_an_execution_is_kept_though_the_engine_was_killed_in_it(caching: Service) -> None:
    gate = asyncio.Event()

    async def hold(path: str) -> None:
        await gate.wait()

    pods_of(caching).gate = hold
    await caching.start()
    run_id = caching.submit(TRAINING, {"x": 8})
    await caching.until(lambda: bool(caching.pods.started))
    await caching.kill()
    gate.set()
    await caching.start()
    assert phases(await caching.wait(run_id)) == NONE
    assert phases(await ran(caching, TRAINING)) == ALL


async def test_a_slot_that_the_cache_makes_needless_is_for_others(
    caching: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    caching.options = replace(caching.options, parallelism=1)
    engine = await caching.start()
    await ran(caching, TRAINING)
    looking, go = threading.Event(), threading.Event()
    find: Callable[..., Any] = caching.store.runs.execution

    def slow(*asked: Any) -> Any:
        looking.set()
        assert go.wait(10)
        return find(*asked)

    monkeypatch.setattr(caching.store.runs, "execution", slow)
    cached = caching.submit(
        changed("root", "dag", "tasks", "train", "cachingOptions", to={}), {"x": 8}
    )
    await asyncio.to_thread(looking.wait, 10)
    other = caching.submit(pipeline({"a": {**task("comp"), "cachingOptions": {}}}))
    await caching.until(lambda: other in engine._starved)
    assert caching.state(other).tasks == {}, "no pod beyond what may run"
    go.set()
    assert phases(await caching.wait(other)) == {"a": SUCCEEDED}
    assert (await caching.wait(cached)).status.phase is RunPhase.SUCCEEDED


async def test_a_final_status_says_so(caching: Service) -> None:
    given = {"taskFinalStatus": {"producerTask": "a"}}
    tell = {
        **task("comp-tell"),
        "dependentTasks": ["a"],
        "inputs": {"parameters": {"status": given}},
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    }
    spec = pipeline(
        {"a": task("comp", x=constant(1)), "tell": tell},
        {
            "comp": {
                "executorLabel": "exec",
                "inputDefinitions": parameters(x="NUMBER_INTEGER"),
            },
            "comp-tell": {
                "executorLabel": "exec",
                "inputDefinitions": {
                    "parameters": {
                        "status": {"isOptional": True, "parameterType": "TASK_FINAL_STATUS"}
                    }
                },
            },
        },
    )
    await caching.start()
    for phase, told in ((SUCCEEDED, "COMPLETE"), (CACHED, "CACHED")):
        state = await caching.wait(caching.submit(spec))
        assert phases(state) == {"a": phase, "tell": SUCCEEDED}
        assert state.tasks["tell"].inputs.parameters["status"]["state"] == told
