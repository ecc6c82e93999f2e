"""What the service records in MLflow, a real server, though that is down and the service dies."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sandbox.images import ImageStore

from ...ports import free_ports
from .. import web
from ..deployment import mlflow_runs
from ..waiting import wait
from .stack import NAMESPACE, ROOT, Cluster, Service
from .test_steps import doubling

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

    def runs(self, run_id: str) -> list[Any]:
        return mlflow_runs(self.post, run_id)


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


def test_mlflow_that_is_down_stops_no_run_and_loses_no_record(
    recorded: Service, tracking: Tracking
) -> None:
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
