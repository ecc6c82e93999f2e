"""`up --kubeconfig`: the deployment stays, its steps run in another cluster, a second tinykube."""

import json
import os
import ssl
import subprocess
import sys

import httpx2
import pytest
import yaml

from ...ports import free_ports
from ..bundle.pipelines import handing
from ..deployment import tasks
from ..waiting import wait

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

NAMESPACE = "steps"


class Other:
    """A cluster that shares no volume with the deployment."""

    def __init__(self, bundle, folder):
        self.folder = folder
        self.environment = {**bundle.environment, "TINYKUBE_DATA": str(folder)}
        folder.mkdir(mode=0o700)
        (self.port,) = free_ports()
        images = yaml.safe_load((bundle.tinykube / "config.yaml").read_text())["images"]
        config = {"port": self.port, "images": images}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

    def tinykube(self, *arguments):
        command = [sys.executable, "-m", "tinykube", *arguments]
        subprocess.run(command, env=self.environment, check=True, timeout=120)

    def call(self, method, path, body=None):
        context = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        token = (self.folder / "pki" / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(trust_env=False, timeout=60, headers=headers, verify=context) as client:
            found = client.request(method, f"https://127.0.0.1:{self.port}{path}", json=body)
        assert found.status_code < 300, found.text
        return found.json()

    def kubeconfig(self):
        """The administrator's, in the namespace for steps."""
        data = yaml.safe_load((self.folder / "kubeconfig").read_text())
        data["contexts"][0]["context"]["namespace"] = NAMESPACE
        path = self.folder / "for-steps"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(yaml.safe_dump(data))
        return path

    def names(self, kind):
        items = self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/{kind}")["items"]
        return {item["metadata"]["name"] for item in items}

    def started(self):
        """The pods whose containers this cluster has started, by its events."""
        events = self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        return {e["involvedObject"]["name"] for e in events if e["reason"] == "Started"}


@pytest.fixture(scope="module")
def other(bundle, tmp_path_factory):
    made = Other(bundle, tmp_path_factory.mktemp("other") / "tinykube")
    made.tinykube("start")
    try:
        metadata = {"name": NAMESPACE}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        made.call("POST", "/api/v1/namespaces", body)
        yield made
    finally:
        made.tinykube("stop", "--pods")


def test_steps_in_another_cluster(bundle, other, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # kfp.Client keeps a context file there.

    def local():
        return bundle.kube("GET", "/api/v1/namespaces/toolkit/events").json()["items"]

    def secrets():
        items = bundle.kube("GET", "/api/v1/namespaces/toolkit/secrets").json()["items"]
        return {item["metadata"]["name"] for item in items}

    before = len([e for e in local() if e["reason"] == "Started"])
    done = bundle.toolkit("up", "--kubeconfig", str(other.kubeconfig()))
    try:
        # The token for MLflow is where the steps are, once the charm has heard of it.
        wait(lambda: "pipelines-metadata" in other.names("secrets"), "the token is there")
        wait(lambda: "pipelines-metadata" not in secrets(), "the token is here no more")
        run_id = bundle.start(handing, megabytes=1)
        run = bundle.finish(run_id)
        assert run["state"] == "SUCCEEDED", run
        pods = {task["pod_name"] for task in tasks(run)}
        assert len(pods) == 2, run
        assert pods <= other.started()
        wait(lambda: bundle.told(run_id, 3), "MLflow has the run and its tasks")
        assert len([e for e in local() if e["reason"] == "Started"]) == before
        wait(lambda: not other.names("pods"), "the steps' pods are gone")
        wait(lambda: other.names("secrets") == {"pipelines-metadata"}, "and their secrets")
        # What is in the secret is not shown.
        token = yaml.safe_load(other.kubeconfig().read_text())["users"][0]["user"]["token"]
        assert token not in done.stdout + done.stderr
        assert token not in bundle.juju("config", "-m", "toolkit", "pipelines").stdout
    finally:
        bundle.juju(
            "config", "-m", "toolkit", "pipelines", "--reset",
            "kubeconfig,artifact-transfer,artifact-address",
        )  # fmt: skip
        wait(bundle.active, "the steps are here again")
    # What the application made there is gone, and is here again instead.
    wait(lambda: not other.names("secrets"), "nothing of the application is left there")
    assert "pipelines-steps" not in other.names("serviceaccounts")
    assert "pipelines-metadata" in secrets()
    # The credentials for it are kept nowhere in the charm's own secrets.
    shown = bundle.juju("secrets", "-m", "toolkit", "--format", "json").stdout
    for key, secret in json.loads(shown).items():
        if secret.get("label") == "clusters":
            revealed = bundle.juju("show-secret", "-m", "toolkit", key, "--reveal").stdout
            assert token not in revealed
