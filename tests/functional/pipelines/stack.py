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
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports
    import kfp

ROOT = Path(__file__).parents[3]
TOKEN = "pipelines-functional-token"
PATIENCE = 90.0
NAMESPACE = "ml"


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """A tinykube of the test's own."""

    def __init__(self, folder: Path, step_image: str) -> None:
        self.folder = folder
        self.port = free_port()
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
        with contextlib.suppress(httpx.HTTPError, OSError, AssertionError):
            self.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0")
            self.wait_for_no_pods()
        subprocess.run(
            [sys.executable, "-m", "tinykube", "stop"], env=self.env, check=True, timeout=60
        )

    def kill(self) -> None:
        pid = int((self.folder / "lock").read_text())
        os.kill(pid, signal.SIGKILL)

    def client(self) -> httpx.Client:
        data = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = data["clusters"][0]["cluster"], data["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return httpx.Client(
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


def wait(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(0.05)


class Service:
    """The service as a process."""

    def __init__(self, folder: Path, cluster: Cluster, step_image: str, **settings: Any) -> None:
        self.folder = folder
        self.cluster = cluster
        self.port = free_port()
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

        def healthy() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
            return False

        wait(healthy, "the service is healthy")

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

    def logs(self, run_id: str) -> str:
        """What the run's steps printed, for a test that fails."""
        return "\n".join(
            f"== {path.parent.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted(self.root.glob(f"*/{run_id}/*/*.log"))
        )
