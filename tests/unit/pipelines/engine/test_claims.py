"""Tasks that make and delete claims, with engines killed between decision, act and record."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import yaml

from toolkit_jobs import ClaimMount
from toolkit_pipelines import naming, reset, spec
from toolkit_pipelines import pods as pods_module
from toolkit_pipelines.claims import LABEL_TASK
from toolkit_pipelines.events import RunPhase, RunRetried
from toolkit_pipelines.options import CacheOptions
from toolkit_pipelines.runstate import TaskPhase

from .conftest import CLAIMS, PlayedPods, Service
from .specs import constant, output, parameters, pipeline, task

CREATE = parameters(
    access_modes="LIST",
    size="STRING",
    pvc_name="STRING",
    pvc_name_suffix="STRING",
    storage_class_name="STRING",
    volume_name="STRING",
    annotations="STRUCT",
    data_source="STRUCT",
)
for _name, _declared in CREATE["parameters"].items():
    _declared["isOptional"] = _name not in ("access_modes", "size")
COMPONENTS = {
    "create": {
        "executorLabel": "create",
        "inputDefinitions": CREATE,
        "outputDefinitions": parameters(name="STRING"),
    },
    "delete": {"executorLabel": "delete", "inputDefinitions": parameters(pvc_name="STRING")},
    "use": {"executorLabel": "use"},
}
EXECUTORS = {
    "create": {"container": {"image": "argostub/createpvc"}},
    "delete": {"container": {"image": "argostub/deletepvc"}},
    "use": {"container": {"image": "python:3.11", "command": ["true"]}},
}


def creating(**given: Any) -> dict[str, Any]:
    inputs = {"access_modes": ["ReadWriteOnce"], "size": "1Gi", **given}
    values = {name: constant(value) for name, value in inputs.items()}
    return pipeline({"create": task("create", **values)}, COMPONENTS, EXECUTORS)


def deleting(name: str) -> dict[str, Any]:
    tasks = {"delete": task("delete", pvc_name=constant(name))}
    return pipeline(tasks, COMPONENTS, EXECUTORS)


async def test_a_claim_is_made_with_what_the_task_says_and_without_a_pod(played: Service) -> None:
    await played.start()
    run_id = played.submit(
        creating(
            pvc_name_suffix="-data",
            storage_class_name="fast",
            volume_name="v",
            annotations={"note": "mine"},
        )
    )
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    name = f"{naming.task_id(run_id, 'create')}-data"
    assert state.tasks["create"].outputs.parameters == {"name": name}
    assert state.tasks["create"].pod == ""
    assert played.pods.claims[name] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
        "volumeName": "v",
    }
    metadata = played.pods.objects[CLAIMS, name]
    assert metadata["annotations"] == {"note": "mine"}
    assert metadata["labels"] == {
        "toolkit.canonical.com/run": run_id,
        LABEL_TASK: naming.task_id(run_id, "create"),
    }
    assert not played.pods.started


async def test_what_the_engine_carries_out_is_on_the_disk_before(
    played: Service, appended: list[tuple[list[str], bool]]
) -> None:
    await played.start()
    await played.wait(played.submit(creating(pvc_name="a")))
    assert appended == [(["TaskStarted"], True), (["TaskSucceeded", "RunEnded"], True)]


async def test_no_class_is_another_thing_than_the_empty_one(played: Service) -> None:
    await played.start()
    await played.wait(played.submit(creating(pvc_name="a")))
    await played.wait(played.submit(creating(pvc_name="b", storage_class_name="")))
    assert "storageClassName" not in played.pods.claims["a"]
    assert played.pods.claims["b"]["storageClassName"] == ""


async def test_it_is_mounted_by_the_name_that_the_task_gives(played: Service) -> None:
    platform = {
        "platforms": {
            "kubernetes": {
                "deploymentSpec": {
                    "executors": {
                        "use": {
                            "pvcMount": [
                                {
                                    "mountPath": "/data",
                                    "pvcNameParameter": {
                                        "taskOutputParameter": {
                                            "producerTask": "create",
                                            "outputParameterKey": "name",
                                        }
                                    },
                                }
                            ]
                        }
                    }
                }
            }
        }
    }
    document = creating(pvc_name="shared")
    tasks = document["root"]["dag"]["tasks"]
    tasks["use"] = task("use", "create")
    tasks["delete"] = task("delete", "use", pvc_name=output("create", "name"))
    await played.start()
    packed = {"pipeline_spec": document, "platform_spec": platform}
    run_id = played.submit(packed)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    (request,) = played.pods.requests.values()
    assert ClaimMount("/data", "shared") in request.mounts
    assert (CLAIMS, "shared") not in played.pods.objects


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("deletes", [False, True])
async def test_an_engine_that_is_killed_makes_and_deletes_nothing_twice(
    played: Service, deletes: bool, acted: bool
) -> None:
    """Killed after the decision was recorded, and before or after the API had acted."""
    played.pods.objects[CLAIMS, "old"] = {"uid": "1", "labels": {}}
    reached, forever = asyncio.Event(), asyncio.Event()

    async def stop(*_: Any) -> None:
        reached.set()
        await forever.wait()

    engine = await played.start()
    # It has begun to look for what earlier ones left.
    await asyncio.wait_for(engine.at_work.wait(), 10)
    call = played.pods._call
    if acted:
        played.pods.act = stop
    else:
        played.pods._call = stop  # type: ignore[method-assign]
    run_id = played.submit(deleting("old") if deletes else creating(pvc_name="new"))
    await asyncio.wait_for(reached.wait(), 10)
    (started,) = played.state(run_id).tasks.values()
    assert started.phase is TaskPhase.RUNNING
    await played.kill()
    played.pods.act = None
    played.pods._call = call  # type: ignore[method-assign]
    await played.start()
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    counts = played.pods.unmade if deletes else played.pods.made
    assert list(counts.values()) == [1]


async def test_a_claim_made_anew_under_the_name_is_not_deleted_in_its_place(
    played: Service,
) -> None:
    played.pods.objects[CLAIMS, "x"] = {"uid": "1", "labels": {}}
    reached, forever = asyncio.Event(), asyncio.Event()

    async def stop(name: str) -> None:
        reached.set()
        await forever.wait()

    played.pods.act = stop
    await played.start()
    run_id = played.submit(deleting("x"))
    await asyncio.wait_for(reached.wait(), 10)
    await played.kill()
    played.pods.act = None
    played.pods.objects[CLAIMS, "x"] = {"uid": "2", "labels": {}}
    await played.start()
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    assert played.pods.objects[CLAIMS, "x"]["uid"] == "2"


async def test_what_is_somebody_elses_is_told(played: Service) -> None:
    played.pods.objects[CLAIMS, "taken"] = {"uid": "1", "labels": {LABEL_TASK: "another"}}
    await played.start()
    state = await played.wait(played.submit(creating(pvc_name="taken")))
    failed = state.tasks["create"]
    assert failed.reason == "ClaimRefused"
    assert 'persistentvolumeclaims "taken" already exists' in failed.message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (deleting("absent"), 'persistentvolumeclaims "absent" not found'),
        (deleting("../x"), "is not the name of an object"),
        (creating(pvc_name="a", pvc_name_suffix="b"), "only one of pvc_name and pvc_name_suffix"),
        (creating(pvc_name="No"), "is not the name of an object"),
        (creating(access_modes=["Any"]), "ReadWriteOnce"),
        (creating(annotations={"a": 1}), "'a' is not a text"),
        (creating(data_source={"kind": "VolumeSnapshot", "name": "s"}), "only another claim"),
        (creating(data_source={"kind": "PersistentVolumeClaim", "name": "db"}), "not for steps"),
        (deleting("db"), "the claim 'db' is not for steps: it bears the label of=juju"),
        (deleting("root"), "the claim 'root' is not for steps: it is the service's own"),
        (deleting("kept"), "no deletions today"),
        (creating(pvc_name="kept"), "exceeded quota"),
    ],
)
async def test_what_cannot_be_fails_the_task_with_the_reason(
    played: Service, document: dict[str, Any], message: str
) -> None:
    played.options = replace(played.options, reserved_labels=("of=juju",))
    played.pods.objects[CLAIMS, "db"] = {"uid": "1", "labels": {"of": "juju"}}
    played.pods.objects[CLAIMS, "root"] = {"uid": "3"}
    if "delete" in document["root"]["dag"]["tasks"]:
        played.pods.objects[CLAIMS, "kept"] = {"uid": "2"}
    played.pods.refuse_claim = lambda name: message if name == "kept" else ""
    before = dict(played.pods.objects)
    await played.start()
    state = await played.wait(played.submit(document))
    (failed,) = state.tasks.values()
    assert failed.phase is TaskPhase.FAILED
    assert message in failed.message
    assert played.pods.objects == before


async def test_a_refused_attempt_is_tried_again_as_the_task_says(played: Service) -> None:
    document = creating(pvc_name="a")
    document["root"]["dag"]["tasks"]["create"]["retryPolicy"] = {"maxRetryCount": 2}
    refusals = iter(["exceeded quota", ""])
    played.pods.refuse_claim = lambda name: next(refusals)
    await played.start()
    state = await played.wait(played.submit(document))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert state.tasks["create"].attempt == 1


async def test_claims_are_not_in_the_cache(played: Service) -> None:
    played.options = replace(played.options, cache=CacheOptions())
    await played.start()
    for _ in range(2):
        state = await played.wait(played.submit(creating()))
        assert state.tasks["create"].phase is TaskPhase.SUCCEEDED
    assert len(played.pods.made) == 2


async def test_an_api_that_is_away_is_waited_for(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_module, "_BACKOFF", (0.001, 0.001))
    await played.start()
    played.pods.away = 3
    state = await played.wait(played.submit(creating(pvc_name="a")))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert played.pods.made == {"a": 1}


async def test_a_run_that_is_retried_deletes_what_was_made_since(played: Service) -> None:
    """An exit handler that has deleted a claim deletes the one of the same name, once again."""
    document = deleting("x")
    tasks = document["root"]["dag"]["tasks"]
    tasks["use"] = task("use")
    tasks["delete"] |= {
        "dependentTasks": ["use"],
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    }
    pods = played.pods
    assert isinstance(pods, PlayedPods)
    codes = iter([1, 0])
    pods.behave = lambda path, given: {"exit_code": next(codes)}
    pods.objects[CLAIMS, "x"] = {"uid": "1", "labels": {}}
    await played.start()
    run_id = played.submit(document)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.FAILED
    assert pods.unmade == {"x": 1}
    pods.objects[CLAIMS, "x"] = {"uid": "2", "labels": {}}
    again = reset.reset(spec.load(yaml.safe_dump(document)), state)
    retried = RunRetried(
        run_id=run_id, time=time.time(), dropped=again.dropped, reopened=again.reopened
    )
    played.store.runs.append(run_id, [retried], state.sequence)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    assert state.tasks["delete"].attempt == 1
    assert pods.unmade == {"x": 2}


async def test_a_run_that_is_terminated_stops_them(played: Service) -> None:
    forever = asyncio.Event()

    async def stop(name: str) -> None:
        await forever.wait()

    played.pods.act = stop
    await played.start()
    run_id = played.submit(creating(pvc_name="a"))
    await played.until(lambda: played.pods.made["a"] == 1)
    played.terminate(run_id)
    state = await played.wait(run_id)
    assert state.tasks["create"].phase is TaskPhase.CANCELED
