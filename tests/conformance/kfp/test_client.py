"""An unmodified kfp.Client: uploads, runs, waits, reads task details, artifacts and logs."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import kfp
import kfp_server_api
import pytest
from kfp import compiler

# KFP 2.17 warns of itself on every use.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This client only works with:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:kfp"),
    pytest.mark.filterwarnings("ignore::FutureWarning:kfp"),
]

TIMEOUT = 120


@pytest.fixture(scope="session")
def written() -> ModuleType:
    """The pipelines of `pipelines.py`, loaded as a user's file."""
    spec = importlib.util.spec_from_file_location(
        "written_pipelines", Path(__file__).with_name("pipelines.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(endpoint: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> kfp.Client:
    # The client keeps a file in the user's home.
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    return kfp.Client(host=endpoint.url, existing_token=endpoint.token)


@pytest.fixture
def name() -> str:
    """A name that no other test has used."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def package(tmp_path: Path) -> Callable[[Any], str]:
    """Give a function that compiles a pipeline to a package file."""

    def compile_(pipeline: Any) -> str:
        path = str(tmp_path / f"{pipeline.name}.yaml")
        compiler.Compiler().compile(pipeline, path)
        return path

    return compile_


@pytest.fixture(scope="session")
def nested_run(endpoint: Any, written: ModuleType) -> Any:
    """A finished run of the nested pipeline."""
    with pytest.warns(FutureWarning):
        client = kfp.Client(host=endpoint.url, existing_token=endpoint.token)
    run = client.create_run_from_pipeline_func(
        written.nested, arguments={"rows": 5}, enable_caching=False
    )
    return finished(client, run.run_id)


def finished(client: kfp.Client, run_id: str) -> Any:
    return client.wait_for_run_completion(run_id, timeout=TIMEOUT, sleep_duration=0.2)


def details(run: Any) -> dict[str, Any]:
    return {task.display_name: task for task in run.run_details.task_details}


def test_the_client_finds_the_service(client: kfp.Client) -> None:
    health = client.get_kfp_healthz()
    assert health.multi_user is False
    assert health.pipeline_store == "database"


def test_a_wrong_token_is_refused(endpoint: Any) -> None:
    for token in (None, "wrong-token-0123456789"):
        stranger = kfp.Client(host=endpoint.url, existing_token=token, namespace="x")
        with pytest.raises(kfp_server_api.ApiException) as caught:
            stranger.list_runs()
        assert caught.value.status == 401


def test_parameters_of_every_type(client: kfp.Client, written: ModuleType, endpoint: Any) -> None:
    given = {
        "i": -3,
        "f": 2.5,
        "s": "quotes \"' and $HOME; `id` {{$}} {{$.x}}",
        "b": True,
        "items": [1, 2.5, "x", None, [True]],
        "table": {"a": {"b": [1, 2]}},
    }
    run = client.create_run_from_pipeline_func(written.all_types, arguments=given)
    assert finished(client, run.run_id).state == "SUCCEEDED"
    (task,) = json.loads(endpoint.get(f"/runs/{run.run_id}"))["run_details"]["task_details"]
    assert task["output_parameters"] == {**given, "unset": "default"}


def test_task_details(nested_run: Any) -> None:
    assert nested_run.state == "SUCCEEDED"
    assert nested_run.error is None
    assert [each.state for each in nested_run.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    tasks = details(nested_run)
    assert set(tasks) == {"inner", "make", "train", "shout"}
    assert all(task.state == "SUCCEEDED" for task in tasks.values())
    assert tasks["make"].parent_task_id == tasks["inner"].task_id
    assert {child.task_id for child in tasks["inner"].child_tasks} == {
        tasks["make"].task_id,
        tasks["train"].task_id,
    }
    assert tasks["train"].start_time >= tasks["make"].end_time
    assert tasks["shout"].start_time >= tasks["inner"].end_time
    assert tasks["make"].pod_name
    assert tasks["train"].inputs["data"].artifact_ids == tasks["make"].outputs["data"].artifact_ids


def test_artifacts(nested_run: Any, endpoint: Any) -> None:
    tasks = details(nested_run)

    def artifact(task: str, output: str) -> Any:
        (found,) = tasks[task].outputs[output].artifact_ids
        return json.loads(endpoint.get(f"/artifacts/{found}?view=DOWNLOAD"))

    def content(task: str, output: str) -> bytes:
        found: bytes = endpoint.get(f"/artifacts/{artifact(task, output)['artifact_id']}:download")
        return found

    types = {name: artifact("make", name)["artifact_type"] for name in tasks["make"].outputs}
    assert types == {
        "data": "system.Dataset",
        "metrics": "system.Metrics",
        "page": "system.HTML",
        "text": "system.Markdown",
        "curve": "system.ClassificationMetrics",
        "folder": "system.Artifact",
    }
    assert artifact("make", "data")["metadata"] == {"rows": 5}
    assert artifact("make", "metrics")["metadata"] == {"rows": 5}
    assert artifact("make", "data")["uri"].endswith("/data")
    assert artifact("train", "model")["metadata"] == {"framework": "none"}
    assert content("train", "model") == b"weights"
    assert content("make", "data") == b"0\n1\n2\n3\n4\n"
    with tarfile.open(fileobj=io.BytesIO(content("make", "folder"))) as archive:
        assert archive.getnames() == ["part"]
    node = tasks["train"].task_id
    path = f"/runs/{nested_run.run_id}/nodes/{node}/artifacts/model:read"
    assert json.loads(endpoint.get(path))["data"] == "d2VpZ2h0cw=="


def test_logs_outlive_their_pods(nested_run: Any, endpoint: Any) -> None:
    tasks = details(nested_run)
    for node in (tasks["make"].task_id, tasks["make"].pod_name):
        log = endpoint.get(f"/runs/{nested_run.run_id}/nodes/{node}/log").decode()
        assert "making 5 rows" in log


def test_a_container_component(nested_run: Any, endpoint: Any) -> None:
    listed = json.loads(endpoint.get(f"/runs/{nested_run.run_id}"))["run_details"]["task_details"]
    (shout,) = (task for task in listed if task["display_name"] == "shout")
    assert shout["output_parameters"]["loud"].strip() == "done!"


def test_upload_version_and_run_of_it(
    client: kfp.Client, written: ModuleType, package: Callable[[Any], str], name: str
) -> None:
    pipeline = client.upload_pipeline(package(written.all_types), name, description="text")
    assert client.get_pipeline_id(name) == pipeline.pipeline_id
    assert client.get_pipeline(pipeline.pipeline_id).description == "text"
    version = client.upload_pipeline_version(
        package(written.nested), f"{name}-2", pipeline_id=pipeline.pipeline_id
    )
    listed = client.list_pipeline_versions(pipeline.pipeline_id, sort_by="created_at desc")
    assert [each.display_name for each in listed.pipeline_versions] == [f"{name}-2", name]
    experiment = client.create_experiment(name)
    run = client.run_pipeline(
        experiment.experiment_id,
        name,
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        params={"rows": 2},
    )
    ended = finished(client, run.run_id)
    assert ended.state == "SUCCEEDED"
    assert ended.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    client.delete_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
    client.delete_pipeline_version(
        pipeline.pipeline_id, listed.pipeline_versions[1].pipeline_version_id
    )
    client.delete_pipeline(pipeline.pipeline_id)
    assert client.get_pipeline_id(name) is None


def test_a_run_that_fails_says_why(client: kfp.Client, written: ModuleType, endpoint: Any) -> None:
    run = client.create_run_from_pipeline_func(
        written.failing, arguments={"message": "the reason"}
    )
    ended = finished(client, run.run_id)
    assert ended.state == "FAILED"
    tasks = details(ended)
    assert tasks["fail"].state == "FAILED"
    assert tasks["fail"].error.message
    assert "fail" in ended.error.message
    log = endpoint.get(f"/runs/{run.run_id}/nodes/{tasks['fail'].task_id}/log").decode()
    assert "the reason" in log
    assert "shout" not in tasks or tasks["shout"].state == "SKIPPED"


def test_terminate_archive_delete(client: kfp.Client, written: ModuleType, endpoint: Any) -> None:
    run_id = client.create_run_from_pipeline_func(written.sleeping).run_id
    wait_for(lambda: b"sleeping" in first_log(client, endpoint, run_id))
    client.terminate_run(run_id)
    wait_for(lambda: client.get_run(run_id).state == "CANCELED")
    client.archive_run(run_id)
    assert client.get_run(run_id).storage_state == "ARCHIVED"
    client.unarchive_run(run_id)
    client.delete_run(run_id)
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.get_run(run_id)
    assert caught.value.status == 404


def first_log(client: kfp.Client, endpoint: Any, run_id: str) -> bytes:
    run = client.get_run(run_id)
    if run.run_details is None or not run.run_details.task_details:
        return b""
    node = run.run_details.task_details[0].task_id
    found: bytes = endpoint.get(f"/runs/{run_id}/nodes/{node}/log")
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_experiments(client: kfp.Client, name: str) -> None:
    made = client.create_experiment(name, description="text")
    assert client.create_experiment(name).experiment_id == made.experiment_id
    assert client.get_experiment(experiment_name=name).description == "text"
    client.archive_experiment(made.experiment_id)
    assert client.get_experiment(made.experiment_id).storage_state == "ARCHIVED"
    client.unarchive_experiment(made.experiment_id)
    client.delete_experiment(made.experiment_id)
    with pytest.raises(ValueError, match="No experiment is found"):
        client.get_experiment(experiment_name=name)


def test_pages_sorted_and_filtered(client: kfp.Client, name: str) -> None:
    for number in range(5):
        client.create_experiment(f"{name}-{number}")
    text = json.dumps(
        {"predicates": [{"operation": "IS_SUBSTRING", "key": "display_name", "stringValue": name}]}
    )
    names, token = [], ""
    while True:
        page = client.list_experiments(
            page_token=token, page_size=2, sort_by="display_name desc", filter=text
        )
        names += [each.display_name for each in page.experiments]
        token = page.next_page_token
        if not token:
            break
    assert names == [f"{name}-{number}" for number in (4, 3, 2, 1, 0)]
    assert page.total_size == 5


def test_bad_requests_name_the_trouble(
    client: kfp.Client, written: ModuleType, package: Callable[[Any], str], name: str
) -> None:
    def refused(call: Callable[[], Any], said: str) -> None:
        with pytest.raises(kfp_server_api.ApiException) as caught:
            call()
        assert caught.value.status == 400
        assert said in json.loads(caught.value.body)["message"]

    refused(lambda: client.create_run_from_pipeline_func(written.all_types), "parameters.")
    refused(
        lambda: client.create_run_from_pipeline_func(written.nested, {"rows": "many"}),
        "parameters.rows",
    )
    refused(
        lambda: client.create_run_from_pipeline_func(written.nested, {"colour": "red"}),
        "colour",
    )
    refused(lambda: client.upload_pipeline(package(written.nested), "../x"), "name")
    refused(lambda: client.list_runs(page_token="forged"), "page_token")
