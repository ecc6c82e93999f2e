"""Definitions and their objects through lightkube and the `kubernetes` client."""

from __future__ import annotations

from pathlib import Path

import lightkube
import pytest
import yaml
from kubernetes import client as kube
from kubernetes import config, watch
from kubernetes.client.exceptions import ApiException
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.types import PatchType

DEFINITIONS = Path(__file__).with_name("definitions")
GROUP, VERSION = "tuning.example.com", "v1beta1"
Experiment = create_namespaced_resource(GROUP, VERSION, "Experiment", "experiments")
PLACE = (GROUP, VERSION, "default", "experiments")


def spec(**more):
    return {
        "objective": {"type": "maximize", "objectiveMetricName": "accuracy"},
        "parameters": [
            {"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1"}}
        ],
        **more,
    }


def install(tinykube, client, name):
    """Apply a definition and wait until it is established."""
    body = yaml.safe_load((DEFINITIONS / f"{name}.yaml").read_text())
    client.apply(CustomResourceDefinition.from_dict(body), field_manager="test", force=True)

    def established():
        found = client.get(CustomResourceDefinition, body["metadata"]["name"])
        return any(
            item.type == "Established" and item.status == "True"
            for item in found.status.conditions or ()
        )

    tinykube.wait(established)


@pytest.fixture
def client(tinykube) -> lightkube.Client:
    tinykube.start()
    made = tinykube.client()
    install(tinykube, made, "experiments")
    return made


@pytest.fixture
def custom(tinykube, client):
    api = config.new_client_from_config(str(tinykube.data / "kubeconfig"))
    yield kube.CustomObjectsApi(api)
    api.close()


def test_lightkube(tinykube, client):
    made = client.create(Experiment(metadata=ObjectMeta(name="one"), spec=spec()))
    assert made.spec["parallelTrialCount"] == 3
    assert made.spec["algorithm"] == {"algorithmName": "random"}
    with pytest.raises(ApiError) as error:
        client.create(Experiment(metadata=ObjectMeta(name="two"), spec=spec(parallelTrialCount=0)))
    assert error.value.status.code == 422
    assert error.value.status.details.causes[0].field == "spec.parallelTrialCount"

    change = {"spec": {"maxTrialCount": 9}}
    assert (
        client.patch(Experiment, "one", change, patch_type=PatchType.MERGE).spec["maxTrialCount"]
        == 9
    )
    status = {"status": {"trialsRunning": 2}}
    done = client.patch(Experiment.Status, "one", status, patch_type=PatchType.MERGE)
    assert done.status["trialsRunning"] == 2

    scale = client.get(Experiment.Scale, "one")
    assert (scale.spec.replicas, scale.status.replicas) == (3, 2)
    scale.spec = ScaleSpec(replicas=5)
    client.replace(scale, "one")
    assert client.get(Experiment, "one").spec["parallelTrialCount"] == 5

    settings = {"algorithmSettings": [{"name": "seed", "value": "1"}]}
    applied = Experiment(metadata=ObjectMeta(name="one"), spec={"algorithm": settings})
    client.apply(applied, field_manager="other", force=True)
    assert client.get(Experiment, "one").spec["algorithm"]["algorithmSettings"] == [
        {"name": "seed", "value": "1"}
    ]

    client.delete(CustomResourceDefinition, "experiments.tuning.example.com")

    def gone():
        try:
            client.get(Experiment, "one")
        except ApiError as error:
            return error.status.code == 404
        return False

    tinykube.wait(gone)


def test_the_kubernetes_client(custom):
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Experiment",
        "metadata": {"name": "one"},
        "spec": spec(),
    }
    made = custom.create_namespaced_custom_object(*PLACE, body)
    custom.patch_namespaced_custom_object(*PLACE, "one", {"spec": {"maxTrialCount": 9}})
    custom.patch_namespaced_custom_object_status(
        *PLACE, "one", {"status": {"conditions": [{"type": "Running", "status": "True"}]}}
    )
    custom.patch_namespaced_custom_object_scale(*PLACE, "one", {"spec": {"replicas": 4}})
    assert custom.get_namespaced_custom_object_scale(*PLACE, "one")["spec"] == {"replicas": 4}
    custom.delete_namespaced_custom_object(*PLACE, "one")
    following = watch.Watch()
    seen = []
    for event in following.stream(
        custom.list_namespaced_custom_object,
        *PLACE,
        resource_version=made["metadata"]["resourceVersion"],
        timeout_seconds=30,
    ):
        seen.append((event["type"], event["object"]["spec"].get("parallelTrialCount")))
        if event["type"] == "DELETED":
            following.stop()
    assert seen == [("MODIFIED", 3), ("MODIFIED", 3), ("MODIFIED", 4), ("DELETED", 4)]
    with pytest.raises(ApiException) as error:
        custom.create_namespaced_custom_object(*PLACE, {**body, "spec": {}})
    assert error.value.status == 422


def test_definitions_outlive_the_daemon(tinykube, client):
    client.create(Experiment(metadata=ObjectMeta(name="one"), spec=spec()))
    install(tinykube, client, "services")
    tinykube.kill()
    tinykube.start()
    again = tinykube.client()
    assert again.get(Experiment, "one").spec["parallelTrialCount"] == 3
    with pytest.raises(ApiError):
        again.patch(
            Experiment,
            "one",
            {"spec": {"objective": {"type": "minimize"}}},
            patch_type=PatchType.MERGE,
        )
    service = create_namespaced_resource(
        "serving.example.com", "v1alpha1", "ModelService", "modelservices"
    )
    body = {"predictor": {"containers": [{"name": "c", "image": "x"}]}}
    made = again.create(service(metadata=ObjectMeta(name="m"), spec=body))
    assert made.spec["predictor"]["containers"] == [{"name": "c", "image": "x"}]
    assert made.spec["predictor"]["minReplicas"] == 1
