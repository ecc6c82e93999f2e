"""The example's pipeline on the deployment: packages of an index, an engine that dies, MLflow."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import warnings
from types import ModuleType
from typing import Any

import httpx2
import pytest

from .. import web
from ..deployment import ENGINE, ROOT, Bundle, tasks
from ..waiting import wait

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


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


def kill_engine(bundle: Bundle) -> None:
    """Kill the pipelines service; Pebble starts it again."""
    (dead,) = bundle.inside(ENGINE)
    os.kill(dead, signal.SIGKILL)

    def back() -> bool:
        if dead in bundle.inside(ENGINE):
            return False
        with contextlib.suppress(httpx2.TransportError):
            return web.get(f"{bundle.pipelines}/healthz").status_code == 200
        return False

    wait(back, "the engine is back")


def read(bundle: Bundle, place: str, /, **query: str) -> httpx2.Response:
    """Ask MLflow by GET."""
    headers = {"Authorization": f"Bearer {bundle.token('metadata')}"}
    answer = web.get(f"{bundle.metadata}{place}", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def recorded(bundle: Bundle, run_id: str) -> Any:
    """A run of MLflow, whole."""
    return read(bundle, "/api/2.0/mlflow/runs/get", run_id=run_id).json()["run"]


@pytest.mark.usefixtures("home")
def test_the_example_registers_a_model_though_the_engine_is_killed(
    bundle: Bundle, example: ModuleType
) -> None:
    run_id = str(example.submit(bundle.client(), model_name="example-model").run_id)

    def ended(name: str) -> bool:
        run = bundle.call("GET", f"/runs/{run_id}").json()
        return any(t["display_name"] == name and t["state"] == "SUCCEEDED" for t in tasks(run))

    for milestone in ("load-and-split", "choose-best"):
        wait(lambda name=milestone: ended(name), f"{milestone} has ended", 300)  # type: ignore[misc]
        kill_engine(bundle)
    run = bundle.finish(run_id, patience=300)
    assert run["state"] == "SUCCEEDED", run

    # Each step ran once: one attempt's folder each, and one claim in it.
    folder = bundle.run_folder(run_id)
    assert len(list(folder.glob("*/*/.started"))) == 10
    assert len(list(folder.glob("*/*/result.json"))) == 10

    version = bundle.mlflow("registered-models/get-latest-versions", name="example-model")
    (found,) = version["model_versions"]
    assert (found["version"], found["status"]) == ("1", "READY")

    wait(lambda: bundle.told(run_id, 11), "the run and its ten tasks are recorded")
    by_task = {
        tag["value"]: run
        for run in bundle.recorded(run_id)
        for tag in run["data"]["tags"]
        if tag["key"] == "kfp.task"
    }
    parent = by_task["-"]
    values = {each["key"]: each["value"] for each in parent["data"]["metrics"]}
    assert 0.9 < values["evaluate/roc_auc"] <= 1.0
    assert {each["key"]: each["value"] for each in parent["data"]["params"]}["seed"] == "7"
    tags = {each["key"]: each["value"] for each in by_task["report"]["data"]["tags"]}
    assert tags["mlflow.parentRunId"] == parent["info"]["run_id"]
    page = read(
        bundle, "/get-artifact", path="kfp/report/page.html", run_uuid=parent["info"]["run_id"]
    )
    assert "ROC curve" in page.text

    # From the model back to the data: made by a task, of models that were made of a dataset.
    models = {
        each["info"]["model_id"]: each["info"]
        for each in bundle.mlflow(
            "logged-models/search",
            experiment_ids=[parent["info"]["experiment_id"]],
            filter=f"tags.`kfp.run_id` = '{run_id}'",
        )["models"]
    }
    # A search leaves out the models that runs took.
    chosen = recorded(bundle, by_task["choose-best"]["info"]["run_id"])
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
        assert any(f"/{run_id}/load-and-split/" in source for source in sources)
