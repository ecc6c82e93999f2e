from __future__ import annotations

import json
import math
import uuid
from typing import Any

import pytest
from starlette.testclient import TestClient

from toolkit_pipelines.events import (
    Artifact,
    RunEnded,
    RunPhase,
    TaskFailed,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.store import Store

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
    end(store, run_id)
    assert client.delete(f"/runs/{run_id}").json() == {}
    assert client.get(f"/runs/{run_id}").status_code == 404
    assert workloads.forgotten == [run_id]


@pytest.mark.parametrize("verb", [":terminate", ":archive", ":unarchive"])
def test_unknown(client: TestClient, verb: str) -> None:
    assert client.post(f"/runs/{uuid.uuid4()}{verb}").status_code == 404
    assert client.get("/runs/..%2f..%2fetc%2fpasswd").status_code == 404
    assert client.delete("/runs/none").status_code == 404


def test_what_is_not_built_says_so(client: TestClient) -> None:
    for reply in (
        client.get("/recurringruns"),
        client.post("/recurringruns/x:enable"),
        client.post("/runs/x:retry"),
    ):
        assert (reply.status_code, reply.json()["code"]) == (501, 12)
