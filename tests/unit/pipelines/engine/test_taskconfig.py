"""A task's configuration, handed on to what it launches: what the step reads, what its pod has."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from toolkit_jobs import ClaimMount, GpuRequest, Placement, PodRequest, Resources
from toolkit_pipelines.events import RunPhase

from .conftest import PlayedPods, Service
from .specs import constant, container, parameters, pipeline, task

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
TOLERATION = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
EXECUTOR = container(
    "train",
    env=[{"name": "ENV1", "value": "{{$.inputs.parameters['path']}}/1"}],
    resources={
        "resourceCpuLimit": "1",
        "resourceMemoryRequest": "1Gi",
        "accelerator": {"resourceCount": "2"},
    },
)
SETTINGS = {
    "nodeSelector": {"labels": {"disk": "ssd"}},
    "tolerations": [{**TOLERATION, "tolerationSeconds": "60"}],
    "nodeAffinity": [TERM],
    "pvcMount": [{"pvcNameParameter": {"runtimeValue": {"constant": "data"}}, "mountPath": "/d"}],
    "emptyDirMounts": [{"volumeName": "scratch", "mountPath": "/s"}],
    "secretAsVolume": [{"secretName": "files", "mountPath": "/f"}],
    "secretAsEnv": [{"secretName": "db", "keyToEnv": [{"secretKey": "p", "envVar": "PASSWORD"}]}],
    "podMetadata": {"labels": {"team": "vision"}},
}
ALL = (
    "RESOURCES",
    "ENV",
    "KUBERNETES_AFFINITY",
    "KUBERNETES_TOLERATIONS",
    "KUBERNETES_NODE_SELECTOR",
    "KUBERNETES_VOLUMES",
)


def package(**passed: bool) -> dict[str, Any]:
    component = {
        "executorLabel": "exec",
        "inputDefinitions": parameters(path="STRING"),
        "taskConfigPassthroughs": [
            {"field": name, **({"applyToTask": True} if on_pod else {})}
            for name, on_pod in passed.items()
        ],
    }
    component["inputDefinitions"]["parameters"]["config"] = {
        "parameterType": "TASK_CONFIG",
        "isOptional": True,
    }
    tasks = {"train": task("comp", path=constant("{{$.workspace_path}}"))}
    return {
        "pipeline_spec": pipeline(tasks, {"comp": component}, {"exec": EXECUTOR}),
        "platform_spec": {
            "platforms": {
                "kubernetes": {
                    "pipelineConfig": {"workspace": {"size": "1Gi"}},
                    "deploymentSpec": {"executors": {"exec": SETTINGS}},
                }
            }
        },
    }


async def ran(service: Service, **passed: bool) -> tuple[dict[str, Any], PodRequest]:
    """Run the task; what it read of its configuration, and its pod."""
    read: dict[str, Any] = {}

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        read.update(given["executor_input"]["inputs"]["parameterValues"]["config"])
        return {}

    assert isinstance(service.pods, PlayedPods)
    service.pods.behave = behave
    await service.start()
    state = await service.wait(service.submit(package(**passed)))
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    (request,) = service.pods.requests.values()
    return read, request


async def test_all_of_it_is_handed_on_and_nothing_of_it_is_on_the_pod(played: Service) -> None:
    read, request = await ran(played, **dict.fromkeys(ALL, False))
    (claim,) = played.pods.made
    assert read == {
        "resources": {
            "requests": {"memory": "1Gi"},
            "limits": {"cpu": "1", "nvidia.com/gpu": "2"},
        },
        "env": [
            {"name": "ENV1", "value": "/kfp-workspace/1"},
            {
                "name": "PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}},
            },
        ],
        "affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [TERM]}}},
        "tolerations": [TOLERATION],
        "nodeSelector": {"disk": "ssd"},
        "volumes": [
            {"name": "kfp-workspace", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "files", "secret": {"secretName": "files", "optional": False}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "scratch", "emptyDir": {}},
        ],
        "volumeMounts": [
            {"name": "kfp-workspace", "mountPath": "/kfp-workspace"},
            {"name": "files", "mountPath": "/f"},
            {"name": "data", "mountPath": "/d"},
            {"name": "scratch", "mountPath": "/s"},
        ],
    }
    # What is no part of a configuration stays the pod's.
    assert request.labels["team"] == "vision"
    assert request.placement == Placement()
    assert request.resources == Resources()
    # None, whatever the operator gives to those that say nothing.
    assert request.gpus == GpuRequest(0)
    assert not {"ENV1", "PASSWORD"} & request.env.keys()
    assert not {"/kfp-workspace", "/d", "/s", "/f"} & {mount.path for mount in request.mounts}


async def test_what_is_applied_to_the_task_too_is_on_both(played: Service) -> None:
    read, request = await ran(played, ENV=True, KUBERNETES_VOLUMES=True)
    (claim,) = played.pods.made
    assert read.keys() == {"resources", "env", "volumes", "volumeMounts"}
    # Of what is not named nothing is handed on: it is the pod's alone.
    assert read["resources"] == {}
    assert request.resources == Resources("", "1Gi", "1", "")
    assert request.gpus == GpuRequest(2)
    assert request.placement.node_selector == {"disk": "ssd"}
    assert request.env["ENV1"] == "/kfp-workspace/1"
    assert ClaimMount("/kfp-workspace", claim) in request.mounts
    assert ClaimMount("/d", "data") in request.mounts


async def test_without_a_word_it_is_empty_and_all_is_the_pods(played: Service) -> None:
    read, request = await ran(played)
    assert read == {"resources": {}}
    assert request.resources == Resources("", "1Gi", "1", "")
    assert "PASSWORD" in request.env


@pytest.mark.parametrize(("kind", "name"), [("secrets", "db"), ("persistentvolumeclaims", "data")])
async def test_what_steps_may_not_read_is_not_handed_on(
    played: Service, kind: str, name: str
) -> None:
    played.options = dataclasses.replace(played.options, reserved_labels=("owner=us",))
    played.pods.objects[kind, name] = {"labels": {"owner": "us"}}
    await played.start()
    state = await played.wait(played.submit(package(**dict.fromkeys(ALL, False))))
    assert state.status.phase is RunPhase.FAILED
    assert f"{name!r} is not for steps" in state.tasks["train"].message
    assert not played.pods.requests
