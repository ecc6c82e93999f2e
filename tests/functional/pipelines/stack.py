"""A tinykube and the pipelines service as processes of a test's own."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import yaml

from ...ports import free_ports
from .. import web
from ..processes import processes
from ..waiting import wait

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports
    import kfp

ROOT = Path(__file__).parents[3]
TOKEN = "pipelines-functional-token"

NAMESPACE = "ml"


class Gate:
    """What a step waits at, by connecting to its port until that works, and a test opens.

    So a step outlives what the test does meanwhile, however long that takes.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        # Nobody else can have the port, and nobody is let in before it is listened at.
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def open(self) -> None:
        self._socket.listen()

    def close(self) -> None:
        self._socket.close()


class Cluster:
    """A tinykube of the test's own."""

    def __init__(self, folder: Path, step_image: str) -> None:
        self.folder = folder
        (self.port,) = free_ports()
        folder.mkdir(mode=0o700)
        images = [{"match": "python:3.*", "image": step_image}]
        config = {
            "port": self.port,
            "images": images,
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": 100, "nvidia.com/gpu": 2},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        self.env = {**os.environ, "TINYKUBE_DATA": str(folder)}
        self.kubeconfig = folder / "kubeconfig"

    def start(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "tinykube", "start"], env=self.env, check=True, timeout=60
        )

    def stop(self) -> None:
        # Pods outlive the daemon: end them first.
        with contextlib.suppress(httpx2.HTTPError, OSError, AssertionError):
            self.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0")
            self.wait_for_no_pods()
        subprocess.run(
            [sys.executable, "-m", "tinykube", "stop"], env=self.env, check=True, timeout=60
        )

    def kill(self) -> None:
        pid = int((self.folder / "lock").read_text())
        os.kill(pid, signal.SIGKILL)
        # A start would take one that is just dying for one that runs.
        wait(lambda: pid not in processes(), "tinykube is dead")

    def client(self) -> httpx2.Client:
        data = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = data["clusters"][0]["cluster"], data["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return httpx2.Client(
            base_url=cluster["server"],
            verify=ssl.create_default_context(cadata=authority),
            headers={"Authorization": f"Bearer {user['token']}"},
            trust_env=False,
            timeout=30,
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        with self.client() as client:
            response = client.request(method, path, json=body)
        assert response.status_code < 300 or response.status_code == 404, response.text
        return response.json()

    def pods(self) -> list[Any]:
        found: list[Any] = self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods").get("items")
        return found or []

    def printed(self, name: str, text: str) -> bool:
        """Tell whether a pod with this in its name has printed a text."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        for pod in self.pods():
            if name in pod["metadata"]["name"]:
                with self.client() as client:
                    log = client.get(f"{path}/{pod['metadata']['name']}/log")
                if log.status_code == 200 and text in log.text:
                    return True
        return False

    def wait_for_no_pods(self) -> None:
        wait(lambda: not self.pods(), "the pods are gone")

    def prepare(self, volumes: dict[str, Path]) -> None:
        self.call(
            "POST",
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        )
        for name, path in volumes.items():
            path.mkdir(exist_ok=True)
            size = {"storage": "10Gi"}
            self.call(
                "POST",
                "/api/v1/persistentvolumes",
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": name},
                    "spec": {
                        "capacity": size,
                        "accessModes": ["ReadWriteMany"],
                        "hostPath": {"path": str(path)},
                        "claimRef": {"namespace": NAMESPACE, "name": name},
                    },
                },
            )
            self.call(
                "POST",
                f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name, "namespace": NAMESPACE},
                    "spec": {
                        "accessModes": ["ReadWriteMany"],
                        "resources": {"requests": size},
                        "volumeName": name,
                        "storageClassName": "",
                    },
                },
            )


class Service:
    """The service as a process."""

    def __init__(self, folder: Path, cluster: Cluster, step_image: str, **settings: Any) -> None:
        self.folder = folder
        self.cluster = cluster
        (self.port,) = free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.root = folder / "pipeline-root"
        self.log = folder / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        tokens = folder / "tokens"
        tokens.touch(mode=0o600)
        tokens.write_text(f"test:{TOKEN}\n")
        (folder / "state").mkdir(exist_ok=True)
        self.config = folder / "settings.yaml"
        self.settings = {
            "name": "pipelines",
            "host": "127.0.0.1",
            "port": self.port,
            "state": str(folder / "state"),
            "pipeline_root": str(self.root),
            "environments": str(folder / "environments"),
            "token_file": str(tokens),
            "namespace": NAMESPACE,
            "pipeline_root_claim": "pipeline-root",
            "environments_claim": "environments",
            "step_image": step_image,
            **settings,
        }

    def start(self) -> None:
        self.launch()
        wait(self.healthy, "the service is healthy")

    def healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx2.HTTPError):
            return web.get(f"{self.url}/healthz").status_code == 200
        return False

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        self.config.write_text(yaml.safe_dump(self.settings))
        path = os.pathsep.join([str(ROOT / "images" / "pipelines" / "src")])
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "toolkit_pipelines", "--config", str(self.config)],
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    "KUBECONFIG": str(self.cluster.kubeconfig),
                },
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def client(self) -> kfp.Client:
        return kfp.Client(host=self.url, existing_token=TOKEN)

    def http(self) -> httpx2.Client:
        """The API as it is, for what KFP's client leaves out."""
        return web.client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"})

    def logs(self, run_id: str) -> str:
        """What the run's steps printed."""
        return "\n".join(
            f"== {path.parent.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted(self.root.glob(f"*/{run_id}/*/*.log"))
        )

    def evidence(self, run_id: str) -> str:
        """Why a run ended otherwise than a test expects: errors first, then what was printed."""
        with self.http() as api:
            run = api.get(f"/apis/v2beta1/runs/{run_id}").json()
        lines = [
            f"{each.get('display_name')}: {each.get('state')} {each.get('error', '')}"
            for each in (run, *run.get("run_details", {}).get("task_details", []))
        ]
        return "\n".join([*lines, self.logs(run_id), self.log.read_text()[-3000:]])


@contextlib.contextmanager
def remote(
    folder: Path, cluster: Cluster, step_image: str, name: str, **settings: Any
) -> Iterator[Service]:
    """A service, running, whose steps mount none of its volumes."""
    made = Service(
        folder,
        cluster,
        step_image,
        name=name,
        # No claim is named, so a pod that asked for one would be refused.
        pipeline_root_claim="",
        environments_claim="",
        **{"artifact_transfer": "endpoint", **settings},
    )
    made.settings["artifact_address"] = made.settings["url"] = made.url
    made.start()
    try:
        yield made
    finally:
        made.stop()
