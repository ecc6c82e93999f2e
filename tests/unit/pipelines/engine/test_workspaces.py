"""Workspaces: one claim for each run, whatever is killed when; who has it; importers into it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml

from toolkit_jobs import ClaimMount
from toolkit_pipelines import naming, reset, spec, workspaces
from toolkit_pipelines.events import RunPhase, RunRetried
from toolkit_pipelines.imagemap import ImageMap
from toolkit_pipelines.options import CacheOptions
from toolkit_pipelines.runstate import TaskPhase

from .conftest import CLAIMS, PlayedPods, Service
from .specs import ARTIFACTS, constant, container, parameters, pipeline, task

PATH = "{{$.workspace_path}}"
COMPONENTS = {
    **ARTIFACTS,
    "take": {"executorLabel": "exec", "inputDefinitions": parameters(x="STRING")},
    "args": {"executorLabel": "args"},
    "plain": {"executorLabel": "exec"},
}
EXECUTORS = {
    "exec": container("echo"),
    "args": container("ls", PATH),
    "importer": {
        "importer": {
            "artifactUri": {"runtimeParameter": "uri"},
            "metadata": {"k": 1},
            "downloadToWorkspace": True,
        }
    },
}


def package(tasks: dict[str, Any], **patch: Any) -> dict[str, Any]:
    workspace = {"size": "1Gi", "kubernetes": {"pvcSpecPatch": patch}}
    platforms = {"kubernetes": {"pipelineConfig": {"workspace": workspace}}}
    return {
        "pipeline_spec": pipeline(tasks, COMPONENTS, EXECUTORS),
        "platform_spec": {"platforms": platforms},
    }


def claim_of(run_id: str) -> str:
    return f"{naming.resource_name('test-pipeline', run_id)}-kfp-workspace"


def mounted(service: Service, run_id: str) -> set[str]:
    """The tasks whose pods have the workspace."""
    return {
        request.annotations["toolkit.canonical.com/task"]
        for request in service.pods.requests.values()
        if ClaimMount("/kfp-workspace", claim_of(run_id)) in request.mounts
    }


async def test_steps_that_use_it_have_it_and_it_goes_with_the_run(played: Service) -> None:
    tasks = {
        "path": task("take", x=constant(f"{PATH}/data")),
        "literal": task("take", "path", x=constant("/kfp-workspace/data")),
        "args": task("args", "literal"),
        "plain": task("plain", "args"),
    }
    seen: dict[str, Any] = {}
    pods = played.pods
    assert isinstance(pods, PlayedPods)

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        seen[path] = given
        return {}

    pods.behave = behave
    await played.start()
    run_id = played.submit(package(tasks, accessModes=["ReadWriteMany"], volumeName="v"))
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    assert mounted(played, run_id) == {"path", "literal", "args"}
    parameters = seen["path"]["executor_input"]["inputs"]["parameterValues"]
    assert parameters == {"x": "/kfp-workspace/data"}
    assert seen["args"]["constants"][".workspace_path"] == "/kfp-workspace"
    assert pods.claims[claim_of(run_id)] == {
        "accessModes": ["ReadWriteMany"],
        "volumeName": "v",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    assert pods.made == pods.unmade == {claim_of(run_id): 1}
    assert (CLAIMS, claim_of(run_id)) not in pods.objects


async def test_it_is_the_services_own_and_bears_the_run(played: Service) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    found: list[dict[str, Any]] = []

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        found.append(pods.objects[CLAIMS, claim_of(run_id)]["labels"])
        return {}

    pods.behave = behave
    await played.start()
    run_id = played.submit(package({"path": task("take", x=constant(PATH))}))
    await played.wait(run_id)
    assert found == [{"toolkit.canonical.com/run": run_id, "owner": "pipelines"}]


async def test_a_run_that_never_uses_it_makes_none(played: Service) -> None:
    await played.start()
    state = await played.wait(played.submit(package({"plain": task("plain")})))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert not played.pods.made


async def test_many_steps_at_once_make_one(played: Service) -> None:
    tasks = {f"t{n}": task("take", x=constant(f"{PATH}/{n}")) for n in range(10)}
    await played.start()
    run_id = played.submit(package(tasks))
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    assert played.pods.made == {claim_of(run_id): 1}


@pytest.mark.parametrize("ending", ["success", "failure", "terminated"])
async def test_it_goes_however_the_run_ends(played: Service, ending: str) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    begun, forever = asyncio.Event(), asyncio.Event()

    async def gate(path: str) -> None:
        begun.set()
        if ending == "terminated":
            await forever.wait()

    pods.gate = gate
    pods.behave = lambda path, given: {"exit_code": 1} if ending == "failure" else {}
    await played.start()
    run_id = played.submit(package({"path": task("take", x=constant(PATH))}))
    await asyncio.wait_for(begun.wait(), 10)
    assert (CLAIMS, claim_of(run_id)) in pods.objects
    if ending == "terminated":
        played.terminate(run_id)
    state = await played.wait(run_id)
    wanted = {"success": "SUCCEEDED", "failure": "FAILED", "terminated": "CANCELED"}
    assert state.status.phase == wanted[ending]
    assert pods.unmade == {claim_of(run_id): 1}


@pytest.mark.parametrize("moment", ["made", "running", "released"])
async def test_an_engine_that_is_killed_makes_one_and_leaves_none(
    played: Service, moment: str
) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    reached, forever = asyncio.Event(), asyncio.Event()

    async def act(name: str) -> None:
        if moment == "made" or pods.unmade:
            reached.set()
            await forever.wait()

    async def gate(path: str) -> None:
        if path == "second" and not reached.is_set():
            reached.set()

    if moment == "running":
        pods.gate = gate
    else:
        pods.act = act
    tasks = {
        "first": task("take", x=constant(PATH)),
        "second": task("take", "first", x=constant(f"{PATH}/b")),
    }
    await played.start()
    run_id = played.submit(package(tasks))
    await asyncio.wait_for(reached.wait(), 10)
    await played.kill()
    assert not played.state(run_id).status.phase.ended
    pods.act = None
    await played.start()
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    assert pods.made == {claim_of(run_id): 1}
    assert pods.unmade == {claim_of(run_id): 1}
    assert not pods.objects


async def test_a_run_ends_while_kubernetes_is_away_and_its_workspace_goes_later(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "_PATIENCE", 0.05)
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    for killed in (False, True):
        away = {"exit_code": 0}

        def behave(path: str, given: dict[str, Any], away: dict[str, Any] = away) -> Any:
            pods.away = 1_000_000
            return away

        pods.behave = behave
        await played.start()
        run_id = played.submit(package({"path": task("take", x=constant(PATH))}))
        state = await played.wait(run_id)
        assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
        assert (CLAIMS, claim_of(run_id)) in pods.objects
        if killed:
            await played.kill()
            await played.start()
        pods.away = 0
        await played.until(lambda run_id=run_id: pods.unmade[claim_of(run_id)] == 1)  # type: ignore[misc]
        await played.kill()
    assert not pods.objects


async def test_a_sweep_leaves_what_is_of_runs_under_way(played: Service) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    go = asyncio.Event()

    async def gate(path: str) -> None:
        await go.wait()

    pods.gate = gate
    pods.objects[CLAIMS, "mine"] = {
        "uid": "1",
        "labels": {"owner": "pipelines", "toolkit.canonical.com/run": "of-a-task"},
    }
    await played.start()
    run_id = played.submit(package({"path": task("take", x=constant(PATH))}))
    await played.until(lambda: bool(pods.started))
    await played.kill()
    await played.start()
    pods.objects[CLAIMS, "old-kfp-workspace"] = {
        "uid": "2",
        "labels": {"owner": "pipelines", "toolkit.canonical.com/run": "gone"},
    }
    await played.kill()
    await played.start()
    await played.until(lambda: pods.unmade["old-kfp-workspace"] == 1)
    assert (CLAIMS, claim_of(run_id)) in pods.objects
    go.set()
    assert (await played.wait(run_id)).status.phase is RunPhase.SUCCEEDED
    assert pods.made[claim_of(run_id)] == 1
    assert list(pods.objects) == [(CLAIMS, "mine")]


async def test_one_that_somebody_deletes_is_not_replaced_by_an_empty_one(played: Service) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    go = asyncio.Event()

    async def gate(path: str) -> None:
        if path == "first":
            await go.wait()

    pods.gate = gate
    tasks = {
        "first": task("take", x=constant(PATH)),
        "second": task("take", "first", x=constant(PATH)),
    }
    await played.start()
    run_id = played.submit(package(tasks))
    await played.until(lambda: bool(pods.started))
    await played.kill()
    del pods.objects[CLAIMS, claim_of(run_id)]
    await played.start()
    go.set()
    await played.wait(run_id)
    assert pods.made == {claim_of(run_id): 1}
    assert mounted(played, run_id) == {"first", "second"}


async def test_what_kubernetes_says_of_it_is_the_tasks_error(played: Service) -> None:
    played.pods.refuse_claim = lambda name: "exceeded quota: storage"
    await played.start()
    run_id = played.submit(package({"path": task("take", x=constant(PATH))}))
    state = await played.wait(run_id)
    failed = state.tasks["path"]
    assert failed.reason == "ClaimRefused"
    assert "the run's workspace cannot be made: exceeded quota: storage" in failed.message
    assert not played.pods.started


async def test_a_claim_of_another_run_is_neither_used_nor_deleted(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "name", lambda *of: "same")
    played.pods.objects[CLAIMS, "same"] = {
        "uid": "1",
        "labels": {"toolkit.canonical.com/run": "another"},
    }
    await played.start()
    state = await played.wait(played.submit(package({"path": task("take", x=constant(PATH))})))
    assert "already exists" in state.tasks["path"].message
    assert (CLAIMS, "same") in played.pods.objects


async def test_steps_of_a_workspace_run_in_every_run(played: Service) -> None:
    played.options = replace(played.options, cache=CacheOptions())
    tasks = {"path": task("take", x=constant(PATH)), "plain": task("plain")}
    await played.start()
    for plain in (TaskPhase.SUCCEEDED, TaskPhase.CACHED):
        state = await played.wait(played.submit(package(tasks)))
        assert state.tasks["path"].phase is TaskPhase.SUCCEEDED
        assert state.tasks["plain"].phase is plain


async def test_an_importer_copies_its_artifact_by_a_pod(played: Service) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    seen: dict[str, Any] = {}

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        seen[path] = given
        if path != "make":
            return {}
        (out,) = given["executor_input"]["outputs"]["artifacts"]["out"]["artifacts"]
        return {
            "artifacts": {"out": [{**out, "metadata": {}}]},
        }

    pods.behave = behave
    # What the service runs itself has the image that the operator gave it.
    images = ImageMap.read({"*": "mirror/*"})
    played.options = replace(played.options, images=images)
    await played.start()
    made = await played.wait(played.submit(package({"make": task("make")})))
    (model,) = made.tasks["make"].outputs.artifacts["out"]
    source = {"producerTask": "importer", "outputArtifactKey": "artifact"}
    tasks = {
        "importer": task("importer", uri=constant(model.uri)),
        "use": {
            **task("use"),
            "inputs": {"artifacts": {"model": {"taskOutputArtifact": source}}},
        },
    }
    run_id = played.submit(package(tasks))
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    (imported,) = state.tasks["importer"].outputs.artifacts["artifact"]
    assert (imported.uri, imported.type) == (model.uri, "system.Model")
    assert imported.metadata == {"k": 1, "_kfp_workspace": True}
    copying = seen["importer"]["command"]
    path = played.root.local(model.uri)
    assert copying[-3:] == ["copy", path, f"/kfp-workspace/.artifacts{path}"]
    assert mounted(played, run_id) == {"importer", "use"}
    assert pods.requests[state.tasks["importer"].pod].image == played.options.step_image
    assert pods.requests[state.tasks["use"].pod].image == "mirror/python:3.11"
    assert pods.requests[state.tasks["importer"].pod].auxiliary
    assert not pods.requests[state.tasks["use"].pod].auxiliary
    # Only the importer has the other run's files.
    below = played.root.below(model.uri)
    assert below is not None
    folder = below.rpartition("/")[0]
    readers = {
        request.annotations["toolkit.canonical.com/task"]
        for request in pods.requests.values()
        for mount in request.mounts
        if isinstance(mount, ClaimMount) and mount.sub_path == folder and mount.read_only
    }
    assert readers == {"importer"}


async def test_what_is_elsewhere_cannot_be_copied(played: Service) -> None:
    await played.start()
    tasks = {"importer": task("importer", uri=constant("gs://bucket/model"))}
    state = await played.wait(played.submit(package(tasks)))
    failed = state.tasks["importer"]
    assert failed.reason == "CannotStart"
    assert "nothing is fetched from elsewhere" in failed.message


async def test_a_retried_run_has_an_empty_one_and_what_was_in_the_first_is_made_again(
    played: Service,
) -> None:
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    played.options = replace(played.options, cache=CacheOptions())
    document = package(
        {
            "early": task("plain"),
            "fill": task("take", "early", x=constant(PATH)),
            "beside": task("plain", "early"),
            "loop": {
                "componentRef": {"name": "body"},
                "taskInfo": {"name": "loop"},
                "parameterIterator": {
                    "itemInput": "item",
                    "items": {"raw": json.dumps([PATH, "elsewhere"])},
                },
            },
            "last": task("args", "fill", "loop"),
        }
    )
    document["pipeline_spec"]["components"]["body"] = {
        "inputDefinitions": parameters(item="STRING"),
        "dag": {
            "tasks": {
                "in": task("take", x={"componentInputParameter": "item"}),
                "next": task("plain", "in"),
                "own": task("plain"),
            }
        },
    }
    tried: Counter[str] = Counter()
    fails = True

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        tried[path] += 1
        return {"exit_code": 1, "message": "no"} if fails and path == "last" else {}

    pods.behave = behave
    await played.start()
    run_id = played.submit(document)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.FAILED
    assert state.tasks["last"].message == "no"
    once = {
        *("early", "fill", "beside", "last"),
        *(f"loop/{n}/{name}" for n in (0, 1) for name in ("in", "next", "own")),
    }
    assert {path for path, count in tried.items() if count} <= once
    fails = False
    before = tried.copy()
    again = reset.reset(spec.load(yaml.safe_dump(document)), state)
    assert set(again.reopened) == {"loop", "loop/0"}
    assert set(again.dropped) == {"fill", "last", "loop/0/in", "loop/0/next"}
    event = RunRetried(run_id=run_id, time=9.0, dropped=again.dropped, reopened=again.reopened)
    played.store.runs.append(run_id, [event], state.sequence)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    # What filled it is not taken from the cache, where its first execution is; what only follows
    # and does not look into the workspace may be.
    assert {"fill", "last", "loop/0/in"} <= (tried - before).keys() <= set(again.dropped)
    first, second = claim_of(run_id), claim_of(run_id).replace("-kfp", "-1-kfp")
    assert pods.made == pods.unmade == {first: 1, second: 1}
    assert {state.tasks[path].attempt for path in ("fill", "last", "loop/0/in")} == {1}
    assert state.tasks["loop"].phase is state.tasks["loop/0"].phase is TaskPhase.SUCCEEDED


async def test_a_key_for_the_cache_does_not_lead_out_of_the_run(played: Service) -> None:
    played.options = replace(played.options, cache=CacheOptions())
    keyed = task("take", x=constant(PATH))
    keyed["cachingOptions"] = {"enableCache": True, "cacheKey": "mine"}
    await played.start()
    for _ in range(2):
        state = await played.wait(played.submit(package({"fill": keyed})))
        assert state.tasks["fill"].phase is TaskPhase.SUCCEEDED
