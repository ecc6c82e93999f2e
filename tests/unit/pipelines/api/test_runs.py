from __future__ import annotations

import dataclasses
import json
import math
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy
from starlette.testclient import TestClient

from toolkit_objects import ObjectStoreError
from toolkit_pipelines import api
from toolkit_pipelines.api import runs as runs_api
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.events import (
    Artifact,
    RunCreated,
    RunEnded,
    RunPhase,
    RunRetried,
    TaskCached,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.imagemap import ImageMap
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import Run

from ..conftest import Bench, NewRun

Spec = dict[str, Any]


def body(pipeline: Spec, **more: Any) -> dict[str, Any]:
    return {
        "display_name": "run",
        "pipeline_spec": pipeline,
        "runtime_config": {"parameters": {"a": 1}},
        **more,
    }


def created(client: TestClient, pipeline: Spec, **more: Any) -> dict[str, Any]:
    reply = client.post("/runs", json=body(pipeline, **more))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def end(
    store: Store, run_id: str, phase: RunPhase = RunPhase.SUCCEEDED, message: str = ""
) -> None:
    sequence = store.runs.run(run_id).sequence
    store.runs.append(
        run_id, [RunEnded(run_id=run_id, time=50.0, phase=phase, message=message)], sequence
    )


def test_create_from_a_spec(client: TestClient, pipeline: Spec, store: Store) -> None:
    run = created(client, pipeline, description="text")
    assert run["state"] == "PENDING"
    assert run["pipeline_spec"] == pipeline
    assert run["runtime_config"] == {"parameters": {"a": 1}}
    assert "finished_at" not in run
    experiment = client.get(f"/experiments/{run['experiment_id']}").json()
    assert experiment["display_name"] == "Default"
    assert experiment["last_run_created_at"] == run["created_at"]
    assert store.runs.active_runs() == (run["run_id"],)
    assert client.get(f"/runs/{run['run_id']}").json() == {
        **run,
        "run_details": {"task_details": []},
    }


def test_create_with_a_platform_spec(client: TestClient, pipeline: Spec) -> None:
    both = {"pipeline_spec": pipeline, "platform_spec": {}}
    assert client.post("/runs", json=body(both)).status_code == 200


def test_create_from_a_version(client: TestClient, pipeline: Spec, store: Store) -> None:
    made = client.post("/pipelines", json={"name": "p"}).json()
    path = f"/pipelines/{made['pipeline_id']}/versions"
    version = client.post(path, json={"name": "v", "pipeline_spec": pipeline}).json()
    full = {
        "pipeline_id": made["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    for reference in (full, {"pipeline_id": made["pipeline_id"]}):
        run = created(client, pipeline, pipeline_spec=None, pipeline_version_reference=reference)
        assert run["pipeline_version_reference"] == full
        assert "pipeline_spec" not in run
    for wrong, status in (
        ({"pipeline_id": "none", "pipeline_version_id": version["pipeline_version_id"]}, 404),
        ({"pipeline_id": made["pipeline_id"], "pipeline_version_id": "none"}, 404),
        ({"pipeline_version_id": version["pipeline_version_id"]}, 400),
    ):
        reply = client.post(
            "/runs", json=body(pipeline, pipeline_spec=None, pipeline_version_reference=wrong)
        )
        assert reply.status_code == status


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"display_name": ""}, "display_name"),
        ({"display_name": "../x"}, "display_name"),
        ({"display_name": "x\0"}, "display_name"),
        ({"display_name": "x" * 1_000_000}, "display_name"),
        ({"pipeline_spec": None}, "pipeline_spec"),
        ({"pipeline_spec": []}, ""),
        ({"pipeline_spec": {"pipeline_spec": None}}, ""),
        ({"pipeline_version_reference": {"pipeline_id": "x"}}, "not both"),
        ({"pipeline_version_id": "x"}, "pipeline_version_reference"),
        ({"runtime_config": {}}, "a"),
        ({"runtime_config": []}, "runtime_config"),
        ({"runtime_config": {"parameters": {"a": "text"}}}, "integer"),
        ({"runtime_config": {"parameters": {"a": 1.5}}}, "integer"),
        ({"runtime_config": {"parameters": {"a": 1, "z": 1}}}, "z"),
        ({"runtime_config": {"parameters": [1]}}, "parameters"),
        ({"service_account": "admin"}, "service_account"),
        ({"runtime_config": {"parameters": {"a": 1}, "pipeline_root": "s3://mine"}}, "root"),
        ({"runtime_config": {"parameters": {"a": 1}, "pipeline_root": "../x"}}, "root"),
    ],
)
def test_refused(
    client: TestClient, pipeline: Spec, store: Store, change: dict[str, Any], said: str
) -> None:
    reply = client.post("/runs", json=body(pipeline, **change))
    assert reply.status_code == 400, reply.text
    assert reply.json()["code"] == 3
    assert said in reply.json()["message"]
    assert len(reply.content) < 10_000
    assert store.runs.active_runs() == ()


def test_an_image_that_cannot_be_had_is_refused(
    client: TestClient, pipeline: Spec, workloads: Bench
) -> None:
    workloads.nowhere = {"python:3.11": "it is not on this machine: map it"}
    before = client.get("/runs").json().get("total_size", 0)
    reply = client.post("/runs", json=body(pipeline))
    assert reply.status_code == 400
    said = reply.json()["message"]
    assert "pipeline_spec.components.comp-add" in said
    assert "it is not on this machine: map it" in said
    assert client.get("/runs").json().get("total_size", 0) == before


def test_an_image_is_looked_for_as_the_map_has_it(
    context: Context, pipeline: Spec, workloads: Bench
) -> None:
    mapped = dataclasses.replace(context, images=ImageMap.read({"python:*": "mirror/python:*"}))
    with TestClient(api.application(mapped), base_url="http://test/apis/v2beta1") as client:
        workloads.nowhere = {"python:3.11": "it is nowhere"}
        assert client.post("/runs", json=body(pipeline)).status_code == 200
        workloads.nowhere = {"mirror/python:3.11": "it is nowhere"}
        reply = client.post("/runs", json=body(pipeline))
    assert reply.status_code == 400
    said = reply.json()["message"]
    assert "pipeline_spec.components.comp-add" in said
    assert "'python:3.11' is 'mirror/python:3.11' by image_map: it is nowhere" in said


def test_what_kubernetes_would_never_take_is_refused(
    client: TestClient, pipeline: Spec, workloads: Bench
) -> None:
    workloads.refused = {"comp-add": "spec.resourceClaims: Forbidden: there is no driver"}
    reply = client.post("/runs", json=body(pipeline))
    assert reply.status_code == 400
    said = reply.json()["message"]
    assert "pipeline_spec.components.comp-add" in said
    assert "spec.resourceClaims: Forbidden: there is no driver" in said


def test_a_run_is_read_by_as_many_statements_whatever_it_has(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    counts = []
    for size in (1, 300):
        run_id = created(client, pipeline)["run_id"]
        given = Artifact("data", "system.Dataset", f"minio://{run_id}/data")
        appended = []
        for number in range(size):
            task = f"t{number}"
            inputs, outputs = Values({"x": 1}, {"data": (given,)}), Values({}, {"data": (given,)})
            appended += [
                TaskStarted(run_id=run_id, time=20.0, task=task, pod=task, inputs=inputs),
                TaskSucceeded(run_id=run_id, time=21.0, task=task, outputs=outputs),
            ]
        store.runs.append(run_id, appended, 1)
        statements: list[str] = []

        def executed(*told: Any, kept: list[str] = statements) -> None:
            kept.append(told[2])

        engine = store.database.engine
        sqlalchemy.event.listen(engine, "before_cursor_execute", executed)
        found = client.get(f"/runs/{run_id}").json()
        client.get("/runs?page_size=200")
        sqlalchemy.event.remove(engine, "before_cursor_execute", executed)
        assert len(found["run_details"]["task_details"]) == size
        counts.append(len([each for each in statements if each.startswith("SELECT")]))
    # The run, its events, its artifacts and its spec; a page of runs, and how many there are.
    assert counts == [6, 6]


def test_what_changes_nothing_is_told_with_the_run_and_its_tasks(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    run_id = created(client, pipeline)["run_id"]
    one, two = (f"spec.{name}: has no effect here: why" for name in ("a", "b"))

    def started(task: str, **fields: Any) -> TaskStarted:
        return TaskStarted(run_id=run_id, time=20.0, task=task, **fields)

    store.runs.append(
        run_id,
        [
            started("plain", pod="p0"),
            started("add", pod="p1", ineffective=(one, two)),
            started("loop", iterations=9),
            *(started(f"loop/{n}", iteration=n) for n in range(9)),
            *(started(f"loop/{n}/add", pod=f"l{n}", ineffective=(one,)) for n in range(9)),
            *(started(f"more-{n}", pod=f"m{n}", ineffective=(two,)) for n in range(9)),
        ],
        1,
    )
    run = client.get(f"/runs/{run_id}").json()
    named = "add, more-0, more-1, more-2, more-3 and 5 more"
    assert run["warnings"] == [f"add, loop/add: {one}", f"{named}: {two}"]
    # Where KFP's clients read it: a status that says OK.
    told = "\n".join(f"warning: {each}" for each in run["warnings"])
    assert run["state_history"][0]["error"] == {"code": 0, "message": told, "details": []}
    assert "error" not in run["state_history"][1]
    tasks = {each.get("pod_name"): each for each in run["run_details"]["task_details"]}
    assert tasks["p1"]["warnings"] == [one, two]
    message = f"warning: {one}\nwarning: {two}"
    assert tasks["p1"]["state_history"][0]["error"]["message"] == message
    assert "error" not in tasks["p1"]
    assert "warnings" not in tasks["p0"]
    assert "error" not in tasks["p0"]["state_history"][0]


def test_an_experiment_that_is_not_there_or_archived(client: TestClient, pipeline: Spec) -> None:
    unknown = client.post("/runs", json=body(pipeline, experiment_id=str(uuid.uuid4())))
    assert unknown.status_code == 404
    made = client.post("/experiments", json={"display_name": "e"}).json()["experiment_id"]
    client.post(f"/experiments/{made}:archive")
    archived = client.post("/runs", json=body(pipeline, experiment_id=made))
    assert (archived.status_code, archived.json()["code"]) == (400, 9)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": NaN}', b"[" * 100_000, b"\xff", b'"text"']
)
def test_bodies_that_are_none(client: TestClient, content: bytes) -> None:
    reply = client.post("/runs", content=content)
    assert reply.status_code == 400
    assert reply.json()["code"] == 3


def test_a_repeated_request(client: TestClient, pipeline: Spec) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = client.post("/runs", json=body(pipeline), headers=headers)
    again = client.post("/runs", json=body(pipeline), headers=headers)
    assert again.json() == first.json()
    other = client.post("/runs", json=body(pipeline, display_name="other"), headers=headers)
    assert other.status_code == 409
    assert client.get("/runs").json()["total_size"] == 1
    long = client.post("/runs", json=body(pipeline), headers={"Idempotency-Key": "k" * 300})
    assert long.status_code == 400


def test_task_details(client: TestClient, pipeline: Spec, store: Store) -> None:
    run_id = created(client, pipeline)["run_id"]
    model = Artifact("m", "system.Model", "file:///m", {"framework": "sklearn"})

    outputs = Values({"n": 2, "bad": math.nan, "odd": "\ud800"}, {"model": (model,)})

    def event(kind: Any, time: float, task: str, **more: Any) -> Any:
        return kind(run_id=run_id, time=time, task=task, **more)

    store.runs.append(
        run_id,
        [
            event(TaskStarted, 20.0, "outer"),
            event(TaskStarted, 20.0, "outer/train", pod="pod-1", inputs=Values({"a": 1})),
            event(TaskSucceeded, 30.0, "outer/train", outputs=outputs),
            event(TaskSucceeded, 30.0, "outer", outputs=Values({}, {"best": (model,)})),
            event(TaskStarted, 31.0, "use", pod="pod-2", inputs=Values({}, {"model": (model,)})),
            event(TaskFailed, 32.0, "use", reason="OOMKilled", message="ask for more memory"),
        ],
        1,
    )
    end(store, run_id, RunPhase.FAILED, "the task 'use' failed")
    run = client.get(f"/runs/{run_id}").json()
    assert run["state"] == "FAILED"
    assert run["error"]["message"] == "the task 'use' failed"
    assert run["finished_at"] == "1970-01-01T00:00:50.000000Z"
    assert [each["state"] for each in run["state_history"]] == ["PENDING", "RUNNING", "FAILED"]
    outer, train, use = run["run_details"]["task_details"]
    assert [x["display_name"] for x in (outer, train, use)] == ["outer", "train", "use"]
    assert train["parent_task_id"] == outer["task_id"]
    assert outer["child_tasks"] == [{"task_id": train["task_id"]}]
    assert train["pod_name"] == "pod-1"
    assert train["input_parameters"] == {"a": 1}
    assert train["output_parameters"] == {"n": 2, "bad": "NaN", "odd": "\ud800"}
    ids = train["outputs"]["model"]
    assert outer["outputs"] == {"best": ids}
    assert use["inputs"] == {"model": ids}
    assert use["state"] == "FAILED"
    assert "ask for more memory" in use["error"]["message"]
    artifact = client.get(f"/artifacts/{ids['artifact_ids'][0]}").json()
    assert artifact["artifact_type"] == "system.Model"
    assert artifact["metadata"] == {"framework": "sklearn"}
    assert artifact["task_id"] == train["task_id"]


def test_details_of_loops_skipped_tasks_and_attempts(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    run_id = created(client, pipeline)["run_id"]

    def event(kind: Any, task: str, **more: Any) -> Any:
        return kind(run_id=run_id, time=20.0, task=task, **more)

    store.runs.append(
        run_id,
        [
            event(TaskStarted, "loop", iterations=2),
            event(TaskStarted, "loop/0", iteration=0),
            event(TaskSkipped, "loop/0/condition", reason="its condition is not met: 1 > 2"),
            event(TaskStarted, "loop/0/train", pod="pod-0"),
            event(TaskFailed, "loop/0/train", reason="E", message="once more", retry=60.0),
        ],
        1,
    )
    loop, iteration, condition, train = client.get(f"/runs/{run_id}").json()["run_details"][
        "task_details"
    ]
    assert (loop["display_name"], loop["iteration_count"]) == ("loop", 2)
    assert loop["child_tasks"] == [{"task_id": iteration["task_id"]}]
    assert (iteration["display_name"], iteration["iteration_index"]) == ("loop[0]", 0)
    assert iteration["parent_task_id"] == loop["task_id"]
    assert condition["parent_task_id"] == iteration["task_id"]
    assert condition["state"] == "SKIPPED"
    assert condition["skip_reason"] == "its condition is not met: 1 > 2"
    assert "error" not in condition
    assert train["state"] == "PENDING"
    assert "once more" in train["error"]["message"]
    assert "end_time" not in train
    assert [each["state"] for each in train["state_history"]] == ["RUNNING", "PENDING"]


def test_what_a_run_can_be_made_again_from(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    run = created(client, pipeline)
    data = Artifact("d", "system.Dataset", "file:///d", digest="none")
    model = Artifact("m", "system.Model", "file:///m", digest=f"sha256:{'a' * 64}")
    unknown = Artifact("u", "system.Model", "s3://b/u")
    common = {"run_id": run["run_id"], "task": "add"}
    outputs = Values({}, {"model": (unknown, model), "other": (unknown,)})
    packages = ("a==1", "b==2")
    store.runs.append(
        run["run_id"],
        [
            TaskStarted(time=20.0, pod="pod", inputs=Values({}, {"data": (data,)}), **common),
            TaskSucceeded(
                time=30.0, outputs=outputs, image="i", lock="ab", packages=packages, **common
            ),
        ],
        1,
    )
    found = client.get(f"/runs/{run['run_id']}").json()
    assert store.runs.spec(found["spec_digest"])
    assert found["spec_digest"] == run["spec_digest"]
    assert found["locks"] == {"ab": ["a==1", "b==2"]}
    (task,) = found["run_details"]["task_details"]
    assert (task["image"], task["lock"]) == ("i", "ab")
    assert task["input_digests"] == {"data": ["none"]}
    assert task["output_digests"] == {"model": ["", model.digest]}


def test_a_task_from_the_cache(client: TestClient, pipeline: Spec, store: Store) -> None:
    origin, run_id = (created(client, pipeline)["run_id"] for _ in range(2))
    uri = f"minio://mlpipeline/v2/artifacts/adder/{origin}/add/0123456789abcdef/model"
    outputs = Values({"n": 2}, {"model": (Artifact("m", "system.Model", uri),)})
    common = {"run_id": origin, "task": "add"}
    store.runs.append(
        origin,
        [
            TaskStarted(time=20.0, pod="pod", **common),
            TaskSucceeded(time=30.0, outputs=outputs, fingerprint="f", **common),
        ],
        1,
    )
    end(store, origin)
    store.runs.append(
        run_id,
        [
            TaskStarted(run_id=run_id, time=40.0, task="add"),
            TaskCached(
                run_id=run_id,
                time=40.0,
                task="add",
                outputs=outputs,
                origin=origin,
                origin_task="add",
                origin_sequence=3,
            ),
        ],
        1,
    )
    end(store, run_id)
    (first,) = client.get(f"/runs/{origin}").json()["run_details"]["task_details"]
    (task,) = client.get(f"/runs/{run_id}").json()["run_details"]["task_details"]
    assert (first["state"], "cached_from" in first) == ("SUCCEEDED", False)
    assert task["state"] == "CACHED"
    assert [each["state"] for each in task["state_history"]] == ["RUNNING", "CACHED"]
    assert task["cached_from"] == {"run_id": origin, "task_id": first["task_id"], "task": "add"}
    assert not {"pod_name", "executor_detail", "error"} & task.keys()
    assert task["output_parameters"] == {"n": 2}
    (own,) = task["outputs"]["model"]["artifact_ids"]
    artifact = client.get(f"/artifacts/{own}").json()
    assert (artifact["uri"], artifact["run_id"], artifact["origin_run_id"]) == (
        uri,
        run_id,
        origin,
    )
    (theirs,) = first["outputs"]["model"]["artifact_ids"]
    assert "origin_run_id" not in client.get(f"/artifacts/{theirs}").json()
    refused = client.delete(f"/runs/{origin}")
    assert (refused.status_code, refused.json()["code"]) == (400, 9)
    assert run_id in refused.json()["message"]
    assert client.delete(f"/runs/{run_id}").json() == {}
    assert client.delete(f"/runs/{origin}").json() == {}


def test_a_run_may_be_forced(client: TestClient, pipeline: Spec, store: Store) -> None:
    forced = client.post("/runs", json=body(pipeline), headers={"Toolkit-Caching": "force"}).json()
    assert forced["caching"] == "force"
    first = store.runs.events(forced["run_id"])[0]
    assert isinstance(first, RunCreated)
    assert first.force
    assert client.get(f"/runs/{forced['run_id']}").json()["caching"] == "force"
    plain = created(client, pipeline)
    assert "caching" not in plain
    assert "caching" not in client.get(f"/runs/{plain['run_id']}").json()
    refused = client.post("/runs", json=body(pipeline), headers={"Toolkit-Caching": "off"})
    assert (refused.status_code, refused.json()["code"]) == (400, 3)
    assert "Toolkit-Caching: must be force" in refused.json()["message"]
    headers = {"Toolkit-Caching": "force", "Idempotency-Key": "k"}
    again = [client.post("/runs", json=body(pipeline), headers=headers).json() for _ in range(2)]
    assert again[0] == again[1]
    del headers["Toolkit-Caching"]
    assert client.post("/runs", json=body(pipeline), headers=headers).status_code == 409


def test_a_task_that_waits_says_why(
    client: TestClient, pipeline: Spec, store: Store, workloads: Any
) -> None:
    run_id = created(client, pipeline)["run_id"]
    started = TaskStarted(run_id=run_id, time=20.0, task="add", pod="pod")
    store.runs.append(run_id, [started], 1)
    workloads.reasons = {"add": "Unschedulable: 0/1 nodes have enough memory"}
    (task,) = client.get(f"/runs/{run_id}").json()["run_details"]["task_details"]
    assert task["state"] == "PENDING"
    assert task["error"]["message"] == "Unschedulable: 0/1 nodes have enough memory"
    workloads.reasons = {}
    (task,) = client.get(f"/runs/{run_id}").json()["run_details"]["task_details"]
    assert task["state"] == "RUNNING"
    assert "error" not in task


def test_list(client: TestClient, pipeline: Spec) -> None:
    mine = client.post("/experiments", json={"display_name": "e"}).json()["experiment_id"]
    for number in range(5):
        more = {"experiment_id": mine} if number % 2 else {}
        created(client, pipeline, display_name=f"run-{number}", **more)
    names = []
    token = ""
    while True:
        page = client.get(
            "/runs", params={"page_size": 2, "sort_by": "created_at desc", "page_token": token}
        ).json()
        assert page["total_size"] == 5
        names += [run["display_name"] for run in page["runs"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    scoped = client.get("/runs", params={"experiment_id": mine, "page_size": 1}).json()
    assert (len(scoped["runs"]), scoped["total_size"]) == (1, 2)
    elsewhere = client.get("/runs", params={"page_token": scoped["next_page_token"]})
    assert elsewhere.status_code == 400
    text = json.dumps(
        {"predicates": [{"operation": "EQUALS", "key": "state", "string_value": "PENDING"}]}
    )
    assert client.get("/runs", params={"filter": text}).json()["total_size"] == 5
    assert "pipeline_spec" not in page["runs"][0]


@pytest.mark.parametrize(
    "params",
    [
        {"page_size": "-1"},
        {"page_token": "x"},
        {"sort_by": "message; DROP TABLE runs"},
        {"filter": "x"},
        {"filter": '{"predicates":[{"operation":1,"key":"request_key","string_value":"x"}]}'},
        {"namespace": "other"},
    ],
)
def test_list_refused(client: TestClient, params: dict[str, str]) -> None:
    reply = client.get("/runs", params=params)
    assert (reply.status_code, reply.json()["code"]) == (400, 3)


def test_terminate(client: TestClient, pipeline: Spec, store: Store) -> None:
    run_id = created(client, pipeline)["run_id"]
    for _ in range(2):
        assert client.post(f"/runs/{run_id}:terminate").json() == {}
    assert client.get(f"/runs/{run_id}").json()["state"] == "CANCELING"
    assert store.runs.run(run_id).sequence == 2
    end(store, run_id, RunPhase.CANCELED)
    assert client.post(f"/runs/{run_id}:terminate").json() == {}
    assert store.runs.run(run_id).sequence == 3


def test_retry(client: TestClient, pipeline: Spec, store: Store) -> None:
    run_id = created(client, pipeline)["run_id"]

    def refused() -> str:
        reply = client.post(f"/runs/{run_id}:retry")
        assert (reply.status_code, reply.json()["code"]) == (400, 9)
        message: str = reply.json()["message"]
        return message

    assert "is PENDING" in refused()
    common: dict[str, Any] = {"run_id": run_id, "time": 20.0, "task": "add"}
    failed = TaskFailed(**common, reason="Error", message="no")
    store.runs.append(run_id, [TaskStarted(**common, pod="pod"), failed], 1)
    end(store, run_id, RunPhase.FAILED, "the task 'add' failed")
    assert client.post(f"/runs/{run_id}:retry").json() == {}
    run = client.get(f"/runs/{run_id}").json()
    assert run["state"] == "RUNNING"
    assert not {"error", "finished_at"} & run.keys()
    assert run["run_details"]["task_details"] == []
    assert [each["state"] for each in run["state_history"]] == [
        "PENDING",
        "RUNNING",
        "FAILED",
        "RUNNING",
    ]
    last = store.runs.events(run_id)[-1]
    assert isinstance(last, RunRetried)
    assert last.dropped == ("add",)
    assert store.runs.active_runs() == (run_id,)
    assert "is RUNNING" in refused()
    end(store, run_id)
    assert "is SUCCEEDED" in refused()


def test_a_run_whose_workspace_is_gone_is_retried(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    workspace = {"kubernetes": {"pipelineConfig": {"workspace": {"size": "1Gi"}}}}
    both = {"pipeline_spec": pipeline, "platform_spec": {"platforms": workspace}}
    run_id = created(client, both)["run_id"]
    inputs = Values({"a": "/kfp-workspace/file"})
    task = {"run_id": run_id, "time": 20.0, "task": "add"}
    store.runs.append(
        run_id, [TaskStarted(**task, pod="p", inputs=inputs), TaskSucceeded(**task)], 1
    )
    end(store, run_id, RunPhase.FAILED, "no")
    assert client.post(f"/runs/{run_id}:retry").json() == {}
    last = store.runs.events(run_id)[-1]
    assert isinstance(last, RunRetried)
    assert last.dropped == ("add",)


def test_archive_and_delete(
    client: TestClient, pipeline: Spec, store: Store, workloads: Any
) -> None:
    run_id = created(client, pipeline)["run_id"]
    assert client.post(f"/runs/{run_id}:archive").json() == {}
    assert client.get(f"/runs/{run_id}").json()["storage_state"] == "ARCHIVED"
    assert client.post(f"/runs/{run_id}:unarchive").json() == {}
    refused = client.delete(f"/runs/{run_id}")
    assert (refused.status_code, refused.json()["code"]) == (400, 9)
    assert "terminate" in refused.json()["message"]
    assert workloads.awaited == []
    end(store, run_id)
    assert client.delete(f"/runs/{run_id}").json() == {}
    assert workloads.awaited == [run_id]
    assert client.get(f"/runs/{run_id}").status_code == 404
    assert workloads.forgotten == [run_id]


def test_a_run_that_is_ending_is_deleted_once_it_has(
    client: TestClient, pipeline: Spec, store: Store, context: Context
) -> None:
    run_id = created(client, pipeline)["run_id"]
    client.post(f"/runs/{run_id}:terminate")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.delete, f"/runs/{run_id}")
        while run_id not in context.watchers._watches:
            assert not asked.done(), asked.result().text
        end(store, run_id, RunPhase.CANCELED)
        assert asked.result().json() == {}
    assert client.get(f"/runs/{run_id}").status_code == 404


def test_a_run_that_does_not_end_is_not_waited_for_for_ever(
    client: TestClient, pipeline: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_api, "_ENDING_SECONDS", 0.01)
    run_id = created(client, pipeline)["run_id"]
    client.post(f"/runs/{run_id}:terminate")
    refused = client.delete(f"/runs/{run_id}")
    assert (refused.status_code, refused.json()["code"]) == (400, 9)
    assert "is CANCELING" in refused.json()["message"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ObjectStoreError("the object store is away", transient=True), "the object store is away"),
        (OSError(30, "Read-only file system"), "files can be deleted: [Errno 30] Read-only"),
    ],
)
def test_a_run_whose_artifacts_cannot_be_deleted_stays(
    client: TestClient,
    pipeline: Spec,
    store: Store,
    workloads: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    run_id = created(client, pipeline)["run_id"]
    end(store, run_id)

    def away(run_id: str) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(workloads, "forget", away)
        refused = client.delete(f"/runs/{run_id}")
    assert refused.status_code == 503
    assert message in refused.json()["message"]
    assert client.get(f"/runs/{run_id}").status_code == 200
    assert client.delete(f"/runs/{run_id}").json() == {}


@pytest.mark.parametrize("verb", [":terminate", ":retry", ":archive", ":unarchive"])
def test_unknown(client: TestClient, verb: str) -> None:
    assert client.post(f"/runs/{uuid.uuid4()}{verb}").status_code == 404
    assert client.get("/runs/..%2f..%2fetc%2fpasswd").status_code == 404
    assert client.delete("/runs/none").status_code == 404


def test_macros_are_filled_in(client: TestClient, pipeline: Spec) -> None:
    pipeline["root"]["inputDefinitions"]["parameters"]["day"] = {"parameterType": "STRING"}
    text = "[[RunUUID]] [[CurrentTime.2006-01-02]] [[ScheduledTime]] [[Index]]"
    run = created(client, pipeline, runtime_config={"parameters": {"a": 1, "day": text}})
    assert run["runtime_config"]["parameters"] == {
        "a": 1,
        # It is of no schedule.
        "day": f"{run['run_id']} 2027-01-15 [[ScheduledTime]] [[Index]]",
    }
    assert run["scheduled_at"] == run["created_at"]
    assert "recurring_run_id" not in run


def ended(store: Store, run: Run, moment: float) -> str:
    end = RunEnded(run_id=run.run_id, time=moment, phase=RunPhase.SUCCEEDED)
    store.runs.append(run.run_id, [end], 1)
    return run.run_id


def test_prune(client: TestClient, store: Store, new_run: NewRun, workloads: Bench) -> None:
    runs = [ended(store, new_run(created=float(n)), 10.0 + n) for n in range(4)]
    going = new_run().run_id
    dry = client.post("/runs:prune", json={"count": 1, "dry_run": True}).json()
    assert dry == {"run_ids": runs[2::-1], "kept": 0, "failed": {}, "more": False}
    assert workloads.forgotten == []
    assert client.post("/runs:prune", json={"count": 1}).json()["run_ids"] == runs[2::-1]
    assert workloads.forgotten == runs[2::-1]
    left = {run["run_id"] for run in client.get("/runs").json()["runs"]}
    assert left == {runs[3], going}
    assert client.post("/runs:prune", json={"seconds": 3600}).json()["run_ids"] == [runs[3]]


def test_prune_in_parts(
    client: TestClient,
    store: Store,
    new_run: NewRun,
    workloads: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs_api, "_PRUNE_SECONDS", 0.0)
    runs = [ended(store, new_run(created=float(n)), 10.0 + n) for n in range(3)]
    for run_id, more in ((runs[2], True), (runs[1], True), (runs[0], False)):
        found = client.post("/runs:prune", json={"seconds": 1}).json()
        assert (found["run_ids"], found["more"]) == ([run_id], more)


def test_prune_tells_what_stays(
    client: TestClient, store: Store, new_run: NewRun, workloads: Bench
) -> None:
    stays = ended(store, new_run(), 11.0)

    def away(run_id: str) -> None:
        raise ObjectStoreError("the store is away", transient=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workloads, "forget", away)
        found = client.post("/runs:prune", json={"seconds": 1}).json()
    assert found == {
        "run_ids": [],
        "kept": 0,
        "failed": {stays: "the store is away"},
        "more": False,
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "say by seconds, by count or by both"),
        ({"count": -1}, "count: must be a whole number from 0 to 1000000, not -1"),
        ({"count": True}, "count"),
        ({"seconds": "soon"}, "seconds"),
        ({"seconds": 10**12}, "seconds: must be a whole number from 0 to"),
        ({"seconds": 1, "dry_run": "yes"}, "dry_run: must be true or false"),
    ],
)
def test_what_cannot_be_pruned(client: TestClient, body: dict[str, Any], message: str) -> None:
    answer = client.post("/runs:prune", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
