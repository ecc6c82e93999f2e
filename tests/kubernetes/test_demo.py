"""The demo, whole, with its steps as pods of the real control plane's process node."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Namespace, Node, Pod

from ..functional.deployment import Bundle, wait
from .cluster.nodes import ProcessNode

NAMESPACE = "steps"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    made = Bundle(tmp_path_factory.mktemp("bundle"))
    made.prepare()
    try:
        made.toolkit("up")
        yield made
    finally:
        # No purge: the images and programs of the store are everybody's, the control plane's too.
        made.toolkit("down")


@pytest.fixture(scope="module")
def node(plane, bundle, client):
    """A node that has the images the deployment's own node has."""
    images = yaml.safe_load((bundle.tinykube / "config.yaml").read_text())["images"]
    made = ProcessNode(plane, "steps", config=yaml.safe_dump({"images": images}))

    def ready():
        return any(
            condition.type == "Ready" and condition.status == "True"
            for found in client.list(Node)
            if found.metadata.name == "steps"
            for condition in found.status.conditions or ()
        )

    wait(ready, "the node is ready")
    client.create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
    yield made
    client.delete(Namespace, NAMESPACE)
    made.stop()


@pytest.fixture
def kubeconfig(plane, tmp_path):
    """The administrator's, in the namespace for steps."""
    data = yaml.safe_load(plane.kubeconfig.read_text())
    data["contexts"][0]["context"]["namespace"] = NAMESPACE
    path = tmp_path / "kubeconfig"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(yaml.safe_dump(data))
    return path


def test_the_demo_on_the_real_control_plane(bundle, node, client, kubeconfig):
    bundle.toolkit("up", "--kubeconfig", str(kubeconfig))
    outcome = json.loads(bundle.toolkit("demo", "--json").stdout.splitlines()[-1])
    run = bundle.finish(outcome["run"])
    assert run["state"] == "SUCCEEDED"
    pods = {
        pod["pod_name"]
        for task in run["run_details"]["task_details"]
        for pod in task.get("child_tasks", [])
        if pod.get("pod_name")
    }
    started = {
        event.involvedObject.name
        for event in client.list(Event, namespace=NAMESPACE)
        if event.reason == "Started"
    }
    assert len(started) >= 5
    assert pods <= started
    assert not [pod.metadata.name for pod in client.list(Pod, namespace=NAMESPACE)]
