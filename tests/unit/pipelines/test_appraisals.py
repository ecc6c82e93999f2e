"""What components ask for is put to Kubernetes as their pods would, once for each kind of pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit_jobs import Appraisal, PodOptions, PodRequest
from toolkit_jobs.manifests import manifests
from toolkit_pipelines import spec
from toolkit_pipelines.appraisals import Appraisals
from toolkit_pipelines.options import EngineOptions
from toolkit_pipelines.root import PipelineRoot

OPTIONS = PodOptions(namespace="ml", labels={"app": "pipelines"})


class Pods:
    """Answers for the API; nothing else is asked of it."""

    def __init__(self) -> None:
        self.asked: list[PodRequest] = []
        self.answer: Any = Appraisal()

    async def appraise(self, request: PodRequest) -> Appraisal | None:
        self.asked.append(request)
        return self.answer  # type: ignore[no-any-return]


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def appraisals(pods: Pods, tmp_path: Path) -> Appraisals:
    options = EngineOptions(step_image="step", claim="root", environments_claim="environments")
    return Appraisals(pods, options, PipelineRoot(tmp_path, "/minio"))  # type: ignore[arg-type]


def pipeline(*settings: dict[str, Any], **container: Any) -> spec.Pipeline:
    """A pipeline of tasks `t0`, `t1`, ... with these settings of their platform."""
    numbers = range(len(settings))
    executor = {"image": "python:3.11", "command": ["true"], **container}
    document = {
        "pipelineInfo": {"name": "p"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.3",
        "components": {
            f"comp-{n}": {
                "executorLabel": f"exec-{n}",
                "inputDefinitions": {
                    "parameters": {"cpu": {"parameterType": "STRING", "isOptional": True}}
                },
            }
            for n in numbers
        },
        "deploymentSpec": {"executors": {f"exec-{n}": {"container": executor} for n in numbers}},
        "root": {
            "dag": {
                "tasks": {
                    f"t{n}": {
                        "componentRef": {"name": f"comp-{n}"},
                        "taskInfo": {"name": f"t{n}"},
                    }
                    for n in numbers
                }
            },
            "inputDefinitions": {
                "parameters": {
                    "name": {"parameterType": "STRING", "isOptional": True},
                    "labels": {"parameterType": "STRUCT", "isOptional": True},
                }
            },
        },
    }
    executors = {f"exec-{n}": each for n, each in enumerate(settings)}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    return spec.parse(json.loads(json.dumps(document)), platform)


def pod(request: PodRequest) -> dict[str, Any]:
    found: dict[str, Any] = manifests(request, OPTIONS)[-1]["spec"]
    return found


async def test_what_a_component_asks_for_is_in_the_pod_that_is_asked_about(
    pods: Pods, appraisals: Appraisals
) -> None:
    settings = {
        "imagePullSecret": [{"secretName": "key"}],
        "securityContext": {"runAsUser": "5"},
        "nodeSelector": {"labels": {"a": "b"}},
    }
    assert await appraisals.invalid(pipeline(settings, resources={"cpuLimit": 2.0})) == {}
    (request,) = pods.asked
    found = pod(request)
    assert found["imagePullSecrets"] == [{"name": "key"}]
    assert found["nodeSelector"] == {"a": "b"}
    (container,) = found["containers"]
    assert container["resources"]["limits"] == {"cpu": "2"}
    assert container["securityContext"]["runAsUser"] == 5


async def test_components_that_ask_for_the_same_are_asked_about_once(
    pods: Pods, appraisals: Appraisals
) -> None:
    both = pipeline({}, {}, {"imagePullPolicy": "Always"})
    await appraisals.invalid(both)
    await appraisals.invalid(both)
    assert [each.pull_policy for each in pods.asked] == ["", "Always"]
    # The image matters to the policy alone.
    assert [each.image for each in pods.asked] == ["step", "python:3.11"]


async def test_a_pod_that_cannot_be_is_asked_about_again(
    pods: Pods, appraisals: Appraisals
) -> None:
    pods.answer = Appraisal(invalid="spec.resourceClaims: Forbidden")
    asked = pipeline({}, {"podResourceClaims": [{"resourceClaimTemplateName": "gpu"}]})
    assert set(await appraisals.invalid(asked)) == {"comp-0", "comp-1"}
    pods.answer = Appraisal()
    assert await appraisals.invalid(asked) == {}


async def test_what_only_a_run_knows_stands_for_itself(pods: Pods, appraisals: Appraisals) -> None:
    source = {"componentInputParameter": "name"}
    settings = {
        "imagePullSecret": [{"secretNameParameter": source}],
        "pvcMount": [{"mountPath": "/data", "pvcNameParameter": source}],
        "nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "labels"}},
        "tolerations": [{"tolerationJson": {"componentInputParameter": "labels"}}],
    }
    limited = {"resources": {"resourceCpuLimit": "{{$.inputs.parameters['cpu']}}"}}
    component = pipeline(settings, **limited).components["comp-0"]
    pods.answer = Appraisal(ineffective=("spec.imagePullSecrets: has no effect here: x",))
    assert await appraisals.ineffective(component) == pods.answer.ineffective
    found = pod(pods.asked[0])
    assert found["imagePullSecrets"] == [{"name": "from-a-parameter"}]
    assert "nodeSelector" not in found
    assert "tolerations" not in found
    assert "limits" not in found["containers"][0].get("resources", {})


async def test_nothing_is_known_while_nobody_answers(pods: Pods, appraisals: Appraisals) -> None:
    pods.answer = None
    asked = pipeline({})
    assert await appraisals.ineffective(asked.components["comp-0"]) is None
    assert await appraisals.invalid(asked) == {}
    pods.answer = Appraisal()
    assert await appraisals.ineffective(asked.components["comp-0"]) == ()
    assert len(pods.asked) == 3
