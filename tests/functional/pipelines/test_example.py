"""The example's pipeline on real parts: tinykube, sandboxes, packages from an index, MLflow."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from sandbox.images import ImageStore

from ...ports import free_ports
from .. import web
from ..waiting import wait
from .stack import NAMESPACE, ROOT, Cluster, Service

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

MLFLOW_TOKEN = "mlflow-functional-token"


class Tracking:
    """MLflow's server, with its data kept over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (self.port,) = free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token_file = folder / "token"
        tokens = folder / "tokens"
        for path, text in ((self.token_file, MLFLOW_TOKEN), (tokens, f"test:{MLFLOW_TOKEN}\n")):
            path.touch(mode=0o600)
            path.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        image = ImageStore().build(ROOT / "images" / "metadata")
        with (self.folder / "log").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    str(image.path / "bin" / "python"),
                    *("-m", "toolkit_metadata", "--port", str(self.port)),
                    *("--data", str(self.folder / "data")),
                    *("--tokens", str(self.folder / "tokens")),
                ],
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
        wait(lambda: self._answers(), "MLflow answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return web.get(f"{self.url}/ready").status_code == 200
        except httpx2.HTTPError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def post(self, path: str, **body: Any) -> Any:
        response = web.post(
            f"{self.url}/api/2.0/mlflow/{path}",
            json=body,
            headers={"Authorization": f"Bearer {MLFLOW_TOKEN}"},
            timeout=60,
        )
        assert response.status_code == 200, response.text
        return response.json()

    def get(self, run_id: str) -> Any:
        """A run of MLflow, whole."""
        response = web.get(
            f"{self.url}/api/2.0/mlflow/runs/get",
            params={"run_id": run_id},
            headers={"Authorization": f"Bearer {MLFLOW_TOKEN}"},
        )
        assert response.status_code == 200, response.text
        return response.json()["run"]

    def runs(self, run_id: str) -> list[Any]:
        experiments = self.post("experiments/search", max_results=100)["experiments"]
        found: list[Any] = self.post(
            "runs/search",
            experiment_ids=[each["experiment_id"] for each in experiments],
            filter=f"tags.`kfp.run_id` = '{run_id}'",
            max_results=1000,
        ).get("runs", [])
        return found


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[Tracking]:
    server = Tracking(tmp_path / "mlflow")
    yield server
    server.stop()


@pytest.fixture
def recorded(
    cluster: Cluster, step_image: str, tracking: Tracking, tmp_path: Path
) -> Iterator[Service]:
    """A service that records in MLflow, on the cluster's volumes."""
    cluster.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets/mlflow")
    cluster.call(
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/secrets",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mlflow"},
            "stringData": {"token": MLFLOW_TOKEN},
        },
    )
    volumes = cluster.folder.parent
    service = Service(
        tmp_path,
        cluster,
        step_image,
        name="recorded",
        pipeline_root=str(volumes / "pipeline-root"),
        environments=str(volumes / "environments"),
        metadata_url=tracking.url,
        metadata_token_file=str(tracking.token_file),
        metadata_secret="mlflow",
    )
    service.root = volumes / "pipeline-root"
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def example() -> ModuleType:
    path = ROOT / "examples" / "breast_cancer" / "pipeline.py"
    spec = importlib.util.spec_from_file_location("breast_cancer_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of kfp's default image
        spec.loader.exec_module(module)
    return module


def test_the_example_registers_a_model_though_the_engine_is_killed(
    recorded: Service, tracking: Tracking, example: ModuleType
) -> None:
    tracking.start()
    client = recorded.client()
    started = example.submit(client, model_name="example-model")

    def ended(name: str) -> bool:
        tasks = client.get_run(started.run_id).run_details.task_details or []
        return any(t.display_name == name and t.state == "SUCCEEDED" for t in tasks)

    for milestone in ("load-and-split", "choose-best"):
        wait(lambda name=milestone: ended(name), f"{milestone} has ended", 300)  # type: ignore[misc]
        recorded.kill()
        recorded.start()
    run = client.wait_for_run_completion(started.run_id, timeout=300, sleep_duration=1)
    assert run.state == "SUCCEEDED", recorded.evidence(started.run_id)

    # Each step ran once: one attempt's folder each, and one claim in it.
    (folder,) = recorded.root.glob(f"breast-cancer/{started.run_id}")
    assert len(list(folder.glob("*/*/.started"))) == 10
    assert len(list(folder.glob("*/*/result.json"))) == 10

    version = tracking.post("registered-models/get-latest-versions", name="example-model")
    (found,) = version["model_versions"]
    assert (found["version"], found["status"]) == ("1", "READY")

    def whole() -> bool:
        runs = tracking.runs(started.run_id)
        return len(runs) == 11 and all(r["info"]["status"] == "FINISHED" for r in runs)

    wait(whole, "the run and its ten tasks are recorded")
    by_task = {
        tag["value"]: run
        for run in tracking.runs(started.run_id)
        for tag in run["data"]["tags"]
        if tag["key"] == "kfp.task"
    }
    parent = by_task["-"]
    values = {each["key"]: each["value"] for each in parent["data"]["metrics"]}
    assert 0.9 < values["evaluate/roc_auc"] <= 1.0
    assert {each["key"]: each["value"] for each in parent["data"]["params"]}["seed"] == "7"
    tags = {each["key"]: each["value"] for each in by_task["report"]["data"]["tags"]}
    assert tags["mlflow.parentRunId"] == parent["info"]["run_id"]
    page = web.get(
        f"{tracking.url}/get-artifact",
        params={"path": "kfp/report/page.html", "run_uuid": parent["info"]["run_id"]},
        headers={"Authorization": f"Bearer {MLFLOW_TOKEN}"},
    )
    assert "ROC curve" in page.text

    # From the model back to the data: made by a task, of models that were made of a dataset.
    models = {
        each["info"]["model_id"]: each["info"]
        for each in tracking.post(
            "logged-models/search",
            experiment_ids=[parent["info"]["experiment_id"]],
            filter=f"tags.`kfp.run_id` = '{started.run_id}'",
        )["models"]
    }
    # A search leaves out the models that runs took.
    chosen = tracking.get(by_task["choose-best"]["info"]["run_id"])
    (best,) = (m for m in models.values() if m["source_run_id"] == chosen["info"]["run_id"])
    assert best["status"] == "LOGGED_MODEL_READY"
    (given,) = chosen["outputs"]["model_outputs"]
    assert given["model_id"] == best["model_id"]
    makers = {
        models[each["model_id"]]["source_run_id"] for each in chosen["inputs"]["model_inputs"]
    }
    trained = [run for run in by_task.values() if run["info"]["run_id"] in makers]
    assert len(trained) == len(makers) > 1
    for run in trained:
        sources = [each["dataset"]["source"] for each in run["inputs"]["dataset_inputs"]]
        assert any(f"/{started.run_id}/load-and-split/" in source for source in sources)


def test_mlflow_that_is_down_stops_no_run_and_loses_no_record(
    recorded: Service, tracking: Tracking
) -> None:
    from .test_steps import doubling

    client = recorded.client()
    started = client.create_run_from_pipeline_func(doubling, arguments={"x": 3})
    run = client.wait_for_run_completion(started.run_id, timeout=60, sleep_duration=1)
    assert run.state == "SUCCEEDED"
    recorded.kill()
    recorded.start()
    tracking.start()

    def whole() -> bool:
        runs = tracking.runs(started.run_id)
        return len(runs) == 3 and all(r["info"]["status"] == "FINISHED" for r in runs)

    wait(whole, "the run and its two tasks are recorded")
