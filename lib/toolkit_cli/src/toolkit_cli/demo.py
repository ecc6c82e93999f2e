"""The demo: a user's pipeline on the deployment, followed to its end and checked.

Nothing is believed: what the demo claims (the registered model, its signature, its score, the
report) is read back from the services that hold it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2

from toolkit_cli.deployment import Deployment, Endpoint
from toolkit_cli.errors import ToolkitError
from toolkit_cli.progress import Reporter
from toolkit_cli.source import Source

EXAMPLE = "breast_cancer"
POLL = 0.5
ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo made.

    Attributes:
        model: the registered model's name.
        version: its version.
        score: area under its ROC curve, on data it has not seen.
        run: the pipeline run's id.
        tasks: how many tasks ran.
        seconds: from the submission to the run's end.
        model_page: the model's page in MLflow.
        report: the report's artifact, where the pipelines service serves it.
    """

    model: str
    version: str
    score: float
    run: str
    tasks: int
    seconds: float
    model_page: str
    report: str

    def rows(self) -> list[tuple[str, str]]:
        """What a person is shown."""
        return [
            ("model", f"{self.model}, version {self.version}"),
            ("ROC AUC", f"{self.score:.4f}"),
            ("run", f"{self.run} ({self.tasks} tasks, {self.seconds:.1f} s)"),
            ("model page", self.model_page),
            ("report", self.report),
        ]


def run(deployment: Deployment, report: Reporter, *, timeout: float) -> Outcome:
    """Submit the example's pipeline, follow it, and check what it made.

    Raises:
        ToolkitError: the run failed or did not end in time, or something claimed is not there.
    """
    pipelines = deployment.endpoint("pipelines")
    metadata = deployment.endpoint("metadata")
    example = _load(deployment.source)
    with _quiet():
        import kfp

        client = kfp.Client(
            host=pipelines.url, existing_token=Path(pipelines.token_file).read_text()
        )
        begun = time.monotonic()
        # It shall show that steps run here, now.
        run_id = str(example.submit(client, enable_caching=False).run_id)
        ended = _follow(client, run_id, report, deadline=begun + timeout)
        seconds = time.monotonic() - begun
    tasks = list(ended.run_details.task_details)
    if ended.state != "SUCCEEDED":
        raise ToolkitError(f"run {run_id} ended {ended.state}\n" + _failures(tasks))
    return _checked(example, pipelines, metadata, run_id, tasks, seconds)


def _load(source: Source) -> ModuleType:
    file = source.root / "examples" / EXAMPLE / "pipeline.py"
    found = importlib.util.spec_from_file_location("demo_pipeline", file)
    if found is None or found.loader is None:
        raise ToolkitError(f"there is no example at {file}")
    module = importlib.util.module_from_spec(found)
    with _quiet():
        found.loader.exec_module(module)
    return module


def _follow(client: Any, run_id: str, report: Reporter, *, deadline: float) -> Any:
    """Report each task as its state changes, until the run has ended."""
    shown: dict[str, str] = {}
    while True:
        run = client.get_run(run_id)
        for detail in run.run_details.task_details if run.run_details else ():
            name, state = detail.display_name, str(detail.state or "")
            if shown.get(detail.task_id) == state:
                continue
            if detail.task_id not in shown:
                report.begin(name)
            shown[detail.task_id] = state
            if state in ENDED:
                report.end(name, state.lower(), ok=state == "SUCCEEDED")
            else:
                report.note(name, state.lower())
        if str(run.state) in ENDED:
            return run
        if time.monotonic() > deadline:
            raise ToolkitError(f"run {run_id} has not ended in time; it is {run.state}")
        time.sleep(POLL)


def _failures(tasks: list[Any]) -> str:
    lines = []
    for task in tasks:
        if str(task.state) == "FAILED":
            message = task.error.message if task.error else "no message"
            lines.append(f"  {task.display_name}: {message}")
    return "\n".join(lines)


def _checked(
    example: ModuleType,
    pipelines: Endpoint,
    metadata: Endpoint,
    run_id: str,
    tasks: list[Any],
    seconds: float,
) -> Outcome:
    """Read back from both services what the run says it made."""
    with _session(metadata) as mlflow:
        found = _get(
            mlflow,
            "/api/2.0/mlflow/model-versions/search",
            filter=f"name = '{example.MODEL_NAME}'",
            order_by="version_number DESC",
            max_results=1,
        ).get("model_versions", [])
        if not found:
            raise ToolkitError(f"no version of model {example.MODEL_NAME} is registered in MLflow")
        version = found[0]
        record = _get(mlflow, "/api/2.0/mlflow/runs/get", run_id=version["run_id"])["run"]["data"]
        tags = {tag["key"]: tag["value"] for tag in record.get("tags", [])}
        if tags.get("kfp.pipeline_run") != run_id:
            raise ToolkitError(
                f"the newest version of {example.MODEL_NAME} is not of run {run_id}"
            )
        metrics = {metric["key"]: metric["value"] for metric in record.get("metrics", [])}
        _check_signature(mlflow, version)
    with _session(pipelines) as service:
        report = _report(service, run_id, tasks)
    return Outcome(
        model=version["name"],
        version=str(version["version"]),
        score=float(metrics["roc_auc"]),
        run=run_id,
        tasks=len(tasks),
        seconds=round(seconds, 2),
        model_page=f"{metadata.url}/#/models/{version['name']}/versions/{version['version']}",
        report=report,
    )


def _check_signature(mlflow: httpx2.Client, version: dict[str, Any]) -> None:
    """The model's description in the artifact store names its inputs."""
    model_id = str(version.get("source", "")).rpartition("/")[2]
    logged = _get(mlflow, f"/api/2.0/mlflow/logged-models/{model_id}")["model"]["info"]
    root = logged["artifact_uri"].removeprefix("mlflow-artifacts:").lstrip("/")
    answer = mlflow.get(f"/api/2.0/mlflow-artifacts/artifacts/{root}/MLmodel")
    if answer.status_code != httpx2.codes.OK or "signature:" not in answer.text:
        raise ToolkitError(
            f"model {version['name']} version {version['version']} has no signature"
        )


def _report(service: httpx2.Client, run_id: str, tasks: list[Any]) -> str:
    """The address of the report; it is downloaded once to see that it is one."""
    for task in tasks:
        if "page" in (task.outputs or {}):
            path = f"/apis/v2beta1/runs/{run_id}/nodes/{task.task_id}/artifacts/page:read"
            answer = service.get(path)
            if answer.status_code == httpx2.codes.OK and answer.content:
                return str(answer.url)
            raise ToolkitError(f"the report cannot be read: {answer.status_code} {path}")
    raise ToolkitError(f"run {run_id} has no report")


def _session(endpoint: Endpoint) -> httpx2.Client:
    token = Path(endpoint.token_file).read_text().strip()
    return httpx2.Client(
        base_url=endpoint.url, headers={"Authorization": f"Bearer {token}"}, timeout=30,
        trust_env=False,
    )  # fmt: skip


def _get(session: httpx2.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = session.get(path, params=query)
    if answer.status_code != httpx2.codes.OK:
        raise ToolkitError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
    found: dict[str, Any] = json.loads(answer.text)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The SDK warns of its own deprecations and prints links to pages of its UI; both mislead."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("kfp").setLevel(logging.ERROR)
        yield
