"""The bundle on data folders of the tests' own, as `./toolkit up` deploys it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports
    import kfp

ROOT = Path(__file__).parents[2]
MODEL = "toolkit"
PATIENCE = 90.0


def wait(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds; fail with what was waited for."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.1)


def processes() -> dict[int, str]:
    """The command line of every process that we may look at; a zombie has none and is dead."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if line:
                found[int(path.parent.name)] = line
    return found


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
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
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

    def status(self, model: str = MODEL) -> Any:
        return json.loads(self.juju("status", "-m", model, "--format", "json").stdout)

    def active(self) -> bool:
        """True if every unit of the bundle is active and idle, and the services answer."""
        try:
            for url in (f"{self.pipelines}/healthz", f"{self.metadata}/ready"):
                if httpx.get(url, trust_env=False).status_code != 200:
                    return False
        except httpx.TransportError:
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

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the pipelines' API; `path` begins below its prefix."""
        headers = {"Authorization": f"Bearer {self.token('pipelines')}"}
        url = f"{self.pipelines}/apis/v2beta1{path}"
        with httpx.Client(trust_env=False, timeout=60, headers=headers) as client:
            return client.request(method, url, **options)

    def kube(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask tinykube as its administrator."""
        context = ssl.create_default_context(cafile=str(self.tinykube / "pki" / "ca.crt"))
        token = (self.tinykube / "pki" / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(trust_env=False, timeout=60, headers=headers, verify=context) as client:
            return client.request(method, f"{self.kubernetes}{path}", json=body)

    def mlflow(self, path: str, **body: Any) -> Any:
        """Ask MLflow's API by POST."""
        headers = {"Authorization": f"Bearer {self.token('metadata')}"}
        url = f"{self.metadata}/api/2.0/mlflow/{path}"
        with httpx.Client(trust_env=False, timeout=60, headers=headers) as client:
            answer = client.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def recorded(self, run_id: str) -> list[Any]:
        """What MLflow has of a pipeline run: the run itself and its tasks."""
        experiments = self.mlflow("experiments/search", max_results=100)["experiments"]
        found: list[Any] = self.mlflow(
            "runs/search",
            experiment_ids=[each["experiment_id"] for each in experiments],
            filter=f"tags.`kfp.run_id` = '{run_id}'",
            max_results=1000,
        ).get("runs", [])
        return found

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
            with contextlib.suppress(httpx.TransportError):
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
        (found,) = [
            p for p, line in processes().items() if f"minijuju.serve {self.minijuju}" in line
        ]
        return found

    def cluster(self) -> int:
        """The process of tinykube's daemon."""
        return int((self.tinykube / "lock").read_text())

    def inside(self, text: str) -> list[int]:
        """The processes in containers of this deployment with a text in their command line."""
        return [pid for pid, line in processes().items() if text in line and self.contains(pid)]

    def contains(self, pid: int) -> bool:
        """True for a process in a container of this deployment: its mounts tell."""
        try:
            first = Path("/proc", str(pid), "mountinfo").read_text().split("\n", 1)[0]
        except OSError:
            return False
        # The root is below the data folder; proc(5) writes that from the file system's own root.
        _, _, device, root, place, *_ = (*first.split(), *[""] * 5)
        mount = next(each for each in (self.folder, *self.folder.parents) if each.is_mount())
        below = "/" + str(self.folder.relative_to(mount)).lstrip(".")
        number = mount.stat().st_dev
        same = device == f"{os.major(number)}:{os.minor(number)}" or below != "/"
        return place == "/" and same and f"{below.rstrip('/')}/" in root

    def run_folder(self, run_id: str) -> Path:
        """The files of a run below the pipeline root."""
        (found,) = self.minijuju.glob(f"storage/*/pipeline-root-*/*/{run_id}")
        return found


def tasks(run: Any) -> list[Any]:
    """The tasks of a run that ran something: the run's own entry is the root."""
    details: list[Any] = run["run_details"]["task_details"]
    return [task for task in details if task.get("display_name") != "root"]
