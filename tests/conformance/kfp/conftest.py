"""A pipelines service for KFP's own client: the deployment at hand, or one of our own.

With `KF_PIPELINES_ENDPOINT` and `TOOLKIT_TOKEN_FILE` set (`./toolkit env` prints such lines), the
tests run against that deployment. Otherwise they start tinykube and the service as processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kfp
import lightkube
import pytest
import yaml
from lightkube.config.kubeconfig import KubeConfig
from lightkube.models.core_v1 import (
    HostPathVolumeSource,
    ObjectReference,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    VolumeResourceRequirements,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import (
    Namespace,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Secret,
)

from sandbox.images import ImageStore

from ...ports import free_ports

ROOT = Path(__file__).parents[3]
NAMESPACE = "ml"
TOKEN = "conformance-token-0123456789"
PATIENCE = 120.0


@dataclass(frozen=True)
class Endpoint:
    """Where the service is and the token for it."""

    url: str
    token: str

    def get(self, path: str) -> bytes:
        """GET a path below the API's prefix with the token."""
        request = urllib.request.Request(
            f"{self.url}/apis/v2beta1{path}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            content: bytes = response.read()
        return content


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    url = os.environ.get("KF_PIPELINES_ENDPOINT")
    file = os.environ.get("TOOLKIT_TOKEN_FILE")
    if url and file:
        yield Endpoint(url, Path(file).read_text().strip())
        return
    folder = Path(tempfile.mkdtemp(prefix="kfp-", dir="/tmp"))
    try:
        with _tinykube(folder) as kubeconfig, _service(folder, kubeconfig) as port:
            yield Endpoint(f"http://127.0.0.1:{port}", TOKEN)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _tinykube(folder: Path) -> Iterator[Path]:
    data = folder / "tinykube"
    data.mkdir(mode=0o700)
    # A sample asks for a GPU, and only that the node has one.
    config = {"port": free_ports()[0], "capacity": {"nvidia.com/gpu": 1}}
    (data / "config.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "TINYKUBE_DATA": str(data)}

    def command(verb: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "tinykube", verb], env=environment, check=True, timeout=PATIENCE
        )

    command("start")
    try:
        yield data / "kubeconfig"
    finally:
        command("stop")


@contextlib.contextmanager
def _service(folder: Path, kubeconfig: Path) -> Iterator[int]:
    with _client(kubeconfig) as client:
        client.create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
        for name in ("pipeline-root", "environments"):
            _claim(client, folder / name, name)
        # What a sample reads, as its makers' own tests have it.
        secret = Secret(
            metadata=ObjectMeta(name="test-secret-1"), stringData={"username": "someone"}
        )
        client.create(secret, namespace=NAMESPACE)
    store = ImageStore()
    (port,) = free_ports()
    tokens = folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"main:{TOKEN}\n")
    settings = {
        "port": port,
        "state": str(folder / "state"),
        "pipeline_root": str(folder / "pipeline-root"),
        "environments": str(folder / "environments"),
        "token_file": str(tokens),
        "namespace": NAMESPACE,
        "pipeline_root_claim": "pipeline-root",
        "environments_claim": "environments",
        "step_image": store.build(ROOT / "images" / "step").reference,
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    python = store.build(ROOT / "images" / "pipelines").path / "bin" / "python"
    command = [python, "-m", "toolkit_pipelines", "--config", folder / "settings.yaml"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "KUBECONFIG": str(kubeconfig)}
        )
    try:
        _wait(port, process, folder / "log")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=30) == 0, (folder / "log").read_text()
        finally:
            process.kill()
            with _client(kubeconfig) as client:
                for pod in client.list(Pod, namespace=NAMESPACE):
                    client.delete(Pod, pod.metadata.name, namespace=NAMESPACE, grace_period=0)


def _client(kubeconfig: Path) -> lightkube.Client:
    return lightkube.Client(KubeConfig.from_file(kubeconfig).get())


def _claim(client: lightkube.Client, folder: Path, name: str) -> None:
    folder.mkdir(mode=0o700)
    volume = PersistentVolume(
        metadata=ObjectMeta(name=name),
        spec=PersistentVolumeSpec(
            capacity={"storage": "1Gi"},
            accessModes=["ReadWriteOnce"],
            storageClassName="",
            hostPath=HostPathVolumeSource(path=str(folder)),
            claimRef=ObjectReference(namespace=NAMESPACE, name=name),
        ),
    )
    claim = PersistentVolumeClaim(
        metadata=ObjectMeta(name=name, namespace=NAMESPACE),
        spec=PersistentVolumeClaimSpec(
            accessModes=["ReadWriteOnce"],
            storageClassName="",
            volumeName=name,
            resources=VolumeResourceRequirements(requests={"storage": "1Gi"}),
        ),
    )
    client.create(volume)
    client.create(claim)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"the service did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def client(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kfp.Client]:
    with pytest.MonkeyPatch.context() as patch:
        # The client keeps a file in the user's home.
        path = tmp_path_factory.mktemp("kfp") / "context.json"
        patch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(path))
        yield kfp.Client(host=endpoint.url, existing_token=endpoint.token)
