"""The bundle on data folders of the tests' own, as `./toolkit up` deploys it."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2

from minijuju.client import Client
from minijuju.errors import JujuError
from minijuju.rpc_names import LOCK
from sandbox import lock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports
    import kfp

from ..ports import free_ports
from . import web
from .processes import contains, processes
from .waiting import wait

ROOT = Path(__file__).parents[2]
MODEL = "toolkit"
# In the command line of the pipelines service.
ENGINE = "toolkit_pipelines --config"


class Bundle:
    """A deployment: its commands, its addresses, its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.minijuju = folder / "minijuju"
        self.tinykube = folder / "tinykube"
        self.environment = {
            **os.environ,
            "XDG_DATA_HOME": str(folder),
            "MINIJUJU_DATA": str(self.minijuju),
            "TINYKUBE_DATA": str(self.tinykube),
        }
        for name in ("JUJU_MODEL", "MINIJUJU_KUBECONFIG", "KUBECONFIG", "TOOLKIT_TOKEN_FILE"):
            self.environment.pop(name, None)
        self._exports: dict[str, str] = {}

    def prepare(self) -> None:
        """Choose a port that nobody has."""
        (port,) = free_ports()
        self.tinykube.mkdir(mode=0o700)
        (self.tinykube / "config.yaml").write_text(f"port: {port}\n")

    # -- commands ------------------------------------------------------------------------------

    def run(
        self, *command: str, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done

    def toolkit(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("toolkit_cli", *arguments, **options)

    def juju(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("minijuju.cli", *arguments, **options)

    def ask(self, method: str, **params: Any) -> Any:
        """Call minijuju's controller, which runs, without a process for it."""
        return Client(self.minijuju, start=False).call(method, **params)

    def status(self, model: str = MODEL) -> Any:
        """What `juju status --format json` prints."""
        # Asked of the controller itself, over and over; the command starts one that is not there.
        with contextlib.suppress(JujuError):
            return self.ask("status", model=model)
        return json.loads(self.juju("status", "-m", model, "--format", "json").stdout)

    def active(self) -> bool:
        """True if every unit of the bundle is active and idle, and the services answer."""
        try:
            for url in (f"{self.pipelines}/healthz", f"{self.metadata}/ready"):
                if web.get(url).status_code != 200:
                    return False
        except httpx2.TransportError:
            return False
        units = [
            unit
            for application in self.status()["applications"].values()
            for unit in application["units"].values()
        ]
        return len(units) == 2 and all(
            unit["workload-status"]["current"] == "active"
            and unit["juju-status"]["current"] == "idle"
            for unit in units
        )

    # -- clients -------------------------------------------------------------------------------

    @property
    def exports(self) -> dict[str, str]:
        """What `./toolkit env` points clients at; asked once, since addresses stay."""
        if not self._exports:
            self._exports = json.loads(self.toolkit("env", "--json").stdout)
        return self._exports

    @property
    def pipelines(self) -> str:
        return self.exports["KF_PIPELINES_ENDPOINT"]

    @property
    def metadata(self) -> str:
        return self.exports["MLFLOW_TRACKING_URI"]

    @property
    def kubernetes(self) -> str:
        port = (self.tinykube / "config.yaml").read_text().partition("port: ")[2].split()[0]
        return f"https://127.0.0.1:{port}"

    def token(self, application: str) -> str:
        files = {
            "pipelines": self.exports["KF_PIPELINES_SA_TOKEN_PATH"],
            "metadata": self.exports["MLFLOW_TRACKING_TOKEN"].removeprefix("@"),
        }
        return Path(files[application]).read_text().strip()

    def client(self) -> kfp.Client:
        return kfp.Client(host=self.pipelines, existing_token=self.token("pipelines"))

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Ask the pipelines' API; `path` begins below its prefix."""
        headers = {"Authorization": f"Bearer {self.token('pipelines')}"}
        url = f"{self.pipelines}/apis/v2beta1{path}"
        with web.client(timeout=60, headers=headers) as client:
            return client.request(method, url, **options)

    def kube(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Ask tinykube as its administrator."""
        context = ssl.create_default_context(cafile=str(self.tinykube / "pki" / "ca.crt"))
        token = (self.tinykube / "pki" / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(trust_env=False, timeout=60, headers=headers, verify=context) as client:
            return client.request(method, f"{self.kubernetes}{path}", json=body)

    def mlflow(self, path: str, **body: Any) -> Any:
        """Ask MLflow's API by POST."""
        headers = {"Authorization": f"Bearer {self.token('metadata')}"}
        url = f"{self.metadata}/api/2.0/mlflow/{path}"
        with web.client(timeout=60, headers=headers) as client:
            answer = client.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def mlflow_artifact(self, path: str) -> bytes:
        """Read a file that MLflow keeps, by its path from the root of all."""
        headers = {"Authorization": f"Bearer {self.token('metadata')}"}
        url = f"{self.metadata}/api/2.0/mlflow-artifacts/artifacts/{path}"
        answer = web.get(url, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.content

    def recorded(self, run_id: str) -> list[Any]:
        """What MLflow has of a pipeline run: the run itself and its tasks."""
        return mlflow_runs(self.mlflow, run_id)

    def told(self, run_id: str, records: int) -> bool:
        """Whether MLflow has the good end of a run and of its tasks, so many in all."""
        try:
            found = self.recorded(run_id)
        except (AssertionError, httpx2.TransportError):
            return False  # It is only just coming back.
        return [each["info"]["status"] for each in found] == ["FINISHED"] * records

    def start(self, pipeline: Any, **arguments: Any) -> str:
        """Start a run; give its id."""
        started = self.client().create_run_from_pipeline_func(
            pipeline, arguments=arguments, enable_caching=False
        )
        return str(started.run_id)

    def finish(self, run_id: str, patience: float = 120) -> Any:
        """Wait for a run's end; give it."""
        ended = ("SUCCEEDED", "FAILED", "CANCELED")
        run: Any = {}

        def over() -> bool:
            nonlocal run
            # Whoever has just killed the engine finds nobody there for a moment.
            with contextlib.suppress(httpx2.TransportError):
                run = self.call("GET", f"/runs/{run_id}").json()
            return run.get("state") in ended

        wait(over, f"the end of run {run_id}", patience)
        return run

    def log(self, run: Any, task: str) -> str:
        """What a task of a run printed."""
        (node,) = [t["task_id"] for t in tasks(run) if t["display_name"] == task]
        answer = self.call("GET", f"/runs/{run['run_id']}/nodes/{node}/log")
        assert answer.status_code == 200, answer.text
        return answer.text

    # -- processes and files -------------------------------------------------------------------

    def controller(self) -> int:
        """The process of minijuju's controller."""
        # By its command line it is found twice for the instant in which it starts a process.
        return _holder(self.minijuju / LOCK)

    def cluster(self) -> int:
        """The process of tinykube's daemon."""
        return _holder(self.tinykube / "lock")

    def inside(self, text: str) -> list[int]:
        """The processes in containers of this deployment with a text in their command line."""
        return [pid for pid, line in processes().items() if text in line and self.contains(pid)]

    def contains(self, pid: int) -> bool:
        """True for a process in a container of this deployment."""
        return contains(self.folder, pid)

    def run_folder(self, run_id: str) -> Path:
        """The files of a run below the pipeline root."""
        (found,) = self.minijuju.glob(f"storage/*/pipeline-root-*/*/{run_id}")
        return found

    def release(self, run_id: str) -> None:
        """Let the steps of a run that are held (`pipelines.hold`) go on."""
        (self.run_folder(run_id) / "go").touch()

    def files(self, *patterns: str) -> Iterator[tuple[Path, bytes]]:
        """The files of these names and what is in them; what goes meanwhile is left out."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                if any(fnmatch(name, each) for each in patterns) and path.is_file():
                    with contextlib.suppress(FileNotFoundError):
                        yield path, path.read_bytes()


def _holder(path: Path) -> int:
    found = lock.holder(path)
    assert found, f"nobody holds {path}"
    return found


def mlflow_runs(post: Callable[..., Any], run_id: str) -> list[Any]:
    """What an MLflow has of a pipeline run.

    Args:
        post: calls its API by a path and the body's fields.
        run_id: the pipeline run's.
    """
    experiments = post("experiments/search", max_results=100)["experiments"]
    found: list[Any] = post(
        "runs/search",
        experiment_ids=[each["experiment_id"] for each in experiments],
        filter=f"tags.`kfp.run_id` = '{run_id}'",
        max_results=1000,
    ).get("runs", [])
    return found


def tasks(run: Any) -> list[Any]:
    """The tasks of a run that ran something: the run's own entry is the root."""
    details: list[Any] = run["run_details"]["task_details"]
    return [task for task in details if task.get("display_name") != "root"]
