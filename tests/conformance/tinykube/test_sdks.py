"""SDKs of Katib and KServe and a hub's KubeSpawner, unmodified, each in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import lightkube
import pytest
import yaml
from lightkube.models.apiextensions_v1 import CustomResourceDefinition as Model
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

from sandbox.images import ImageStore

HERE = Path(__file__).parent


@pytest.fixture
def definitions(kubeconfig):
    """The custom resources that the SDKs speak of."""
    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig), field_manager="test")
    for path in sorted((HERE / "definitions").glob("*.yaml")):
        made = CustomResourceDefinition.from_dict(yaml.safe_load(path.read_text()))
        assert isinstance(made, Model)
        client.apply(made)
        client.wait(CustomResourceDefinition, made.metadata.name, for_conditions=["Established"])
    client.close()


def run(kubeconfig, tmp_path, client, program):
    python = ImageStore().build(HERE / "clients" / client).path / "bin" / "python"
    done = subprocess.run(
        [python, "-W", "ignore", HERE / "clients" / client / program],
        env={"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=180, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_katib(kubeconfig, tmp_path, definitions):
    assert run(kubeconfig, tmp_path, "katib", "tune.py") == {
        "listed": ["tune"],
        "trials": 12,
        "created": False,
        "running": True,
        "budget": 20,
        "of the experiment": ["tune-1"],
        "left": [],
    }


def test_kserve(kubeconfig, tmp_path, definitions):
    seen = run(kubeconfig, tmp_path, "kserve", "serve.py")
    assert seen["created"]["minReplicas"] == 1
    assert seen["created"]["sklearn"]["storageUri"] == "s3://models/iris"
    assert (seen["patched"], seen["replaced"]) == (2, 2)
    assert seen["ready"]
    assert "http://iris.default.example.com" in seen["watched"]
    assert "a model needs its storageUri" in seen["refused"]
    assert seen["gone"]


def test_kubespawner(kubeconfig, tmp_path):
    seen = run(kubeconfig, tmp_path, "kubespawner", "spawn.py")
    assert seen["page"] == "hello\n"
    assert seen["running"] is None
    assert seen["found again"] is None
    assert seen["ended"] is not None
    assert seen["home"] == "hello\nhello\n"
    assert "Started" in seen["events"]
