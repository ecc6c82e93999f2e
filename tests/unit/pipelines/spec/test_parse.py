"""Specs are checked to the last reference; what is not built is refused by its name."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from toolkit_pipelines import spec
from toolkit_pipelines.spec import NotSupportedError, SpecError
from toolkit_pipelines.spec.model import Constant, Container, DagInput, TaskOutput

SOUND: dict[str, Any] = {
    "pipelineInfo": {"name": "p", "displayName": "P", "description": "d"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.3",
    "components": {
        "comp": {
            "executorLabel": "exec",
            "inputDefinitions": {
                "parameters": {"x": {"parameterType": "NUMBER_INTEGER"}},
                "artifacts": {
                    "data": {"artifactType": {"schemaTitle": "system.Dataset"}, "isOptional": True}
                },
            },
            "outputDefinitions": {
                "parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}},
                "artifacts": {"out": {"artifactType": {"schemaTitle": "system.Dataset"}}},
            },
        },
        "inner": {
            "dag": {
                "tasks": {
                    "t": {
                        "componentRef": {"name": "comp"},
                        "inputs": {"parameters": {"x": {"componentInputParameter": "n"}}},
                    }
                },
                "outputs": {
                    "parameters": {
                        "r": {
                            "valueFromParameter": {
                                "producerSubtask": "t",
                                "outputParameterKey": "Output",
                            }
                        }
                    },
                    "artifacts": {
                        "o": {
                            "artifactSelectors": [
                                {"producerSubtask": "t", "outputArtifactKey": "out"}
                            ]
                        }
                    },
                },
            },
            "inputDefinitions": {"parameters": {"n": {"parameterType": "NUMBER_INTEGER"}}},
            "outputDefinitions": {
                "parameters": {"r": {"parameterType": "NUMBER_INTEGER"}},
                "artifacts": {"o": {"artifactType": {"schemaTitle": "system.Dataset"}}},
            },
        },
    },
    "deploymentSpec": {
        "executors": {
            "exec": {
                "container": {
                    "image": "python:3.11",
                    "command": ["echo"],
                    "args": ["{{$.inputs.parameters['x']}}"],
                    "env": [{"name": "A", "value": "b"}],
                    "resources": {
                        "cpuLimit": 0.5,
                        "memoryLimit": 1.5,
                        "resourceCpuRequest": "250m",
                    },
                }
            }
        }
    },
    "root": {
        "dag": {
            "tasks": {
                "b": {
                    "componentRef": {"name": "comp"},
                    "taskInfo": {"name": "the b"},
                    "cachingOptions": {"enableCache": True},
                    "inputs": {
                        "parameters": {
                            "x": {
                                "taskOutputParameter": {
                                    "producerTask": "a",
                                    "outputParameterKey": "r",
                                }
                            }
                        },
                        "artifacts": {
                            "data": {
                                "taskOutputArtifact": {
                                    "producerTask": "a",
                                    "outputArtifactKey": "o",
                                }
                            }
                        },
                    },
                },
                "a": {
                    "componentRef": {"name": "inner"},
                    "inputs": {"parameters": {"n": {"runtimeValue": {"constant": 3}}}},
                },
            }
        },
        "inputDefinitions": {
            "parameters": {
                "text": {
                    "parameterType": "STRING",
                    "defaultValue": "hi",
                    "literals": ["hi", "ho"],
                },
                "n": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
            }
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The sound spec with one place set, or removed if the value is ...."""
    found = copy.deepcopy(SOUND)
    *outer, last = path.split("/")
    place: Any = found
    for part in outer:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if isinstance(place, list):
        place[int(last)] = value
    elif value is ...:
        del place[last]
    else:
        place[last] = value
    return found


def test_a_sound_spec_is_typed() -> None:
    pipeline = spec.parse(SOUND)
    assert (pipeline.name, pipeline.display_name, pipeline.size) == ("p", "P", 3)
    assert list(pipeline.dag.tasks) == ["a", "b"]
    task = pipeline.dag.tasks["b"]
    assert task.display_name == "the b"
    assert task.upstream == ("a",)
    assert task.parameters == {"x": TaskOutput("a", "r")}
    assert pipeline.task("a/t").parameters == {"x": DagInput("n")}
    assert pipeline.dag.tasks["a"].parameters == {"n": Constant(3)}
    body = pipeline.component("a/t").body
    assert isinstance(body, Container)
    assert (body.resources.cpu_limit, body.resources.memory_limit) == ("0.5", "1.5G")
    assert body.resources.cpu_request == "250m"
    assert body.env == {"A": "b"}
    assert [path for path, _, _ in pipeline.walk()] == ["a", "b", "a/t"]


TASK = "root/dag/tasks/a"
CONTAINER = "deploymentSpec/executors/exec/container"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("root", ..., "root: missing"),
        ("pipelineInfo", {}, "pipelineInfo.name"),
        ("schemaVersion", "3.0.0", "'3.0.0' is not supported"),
        ("surprise", 1, "unknown field 'surprise'"),
        (f"{TASK}/componentRef/name", "nothing", "there is no component 'nothing'"),
        ("components/comp/executorLabel", "nothing", "there is no executor 'nothing'"),
        ("components/comp/executorLabel", ..., "exactly one of dag and executorLabel"),
        (f"{TASK}/dependentTasks", ["b"], "cycle"),
        (f"{TASK}/dependentTasks", ["nothing"], "there is no task 'nothing'"),
        (f"{TASK}/inputs", {}, "the required input 'n' is missing"),
        (f"{TASK}/inputs/parameters/n/runtimeValue/constant", "x", "expected an integer"),
        (f"{TASK}/inputs/parameters/n", {"componentInputParameter": "text"}, "is STRING, but"),
        (f"{TASK}/inputs/parameters/n", {"componentInputParameter": "no"}, "no input parameter"),
        ("components/inner/dag/tasks/t/componentRef/name", "inner", "cycle"),
        ("root/dag/tasks/c", {"componentRef": {"name": "comp"}}, "the required input 'x'"),
        ("root/dag/tasks/..", {"componentRef": {"name": "comp"}}, "is not a name"),
        ("root/dag/tasks/a\0b", {"componentRef": {"name": "comp"}}, "is not a name"),
        ("root/dag/tasks/" + "x" * 300, {"componentRef": {"name": "comp"}}, "is not a name"),
        (f"{CONTAINER}/image", "", "a value is required"),
        (f"{CONTAINER}/image", "a\0b", "NUL"),
        (f"{CONTAINER}/args/0", "{{$.inputs.parameters['y']}}", "asks for inputs.parameters 'y'"),
        (f"{CONTAINER}/args/0", "{{$.what}}", "unknown placeholder"),
        (f"{CONTAINER}/args/0", '{"Concat": [1]}', "where a string is expected"),
        (f"{CONTAINER}/env", [{"name": "A=B", "value": ""}], "is not the name"),
        (f"{CONTAINER}/env", [{"name": "A"}, {"name": "A"}], "set twice"),
        ("root/dag/tasks", {}, "at least one task"),
        ("components/inner/outputDefinitions/parameters/r/parameterType", "STRING", "declared is"),
        ("root/inputDefinitions/parameters/text/defaultValue", 3, "expected a string"),
        ("root/inputDefinitions/parameters/text/defaultValue", "he", "is not one of the allowed"),
        ("root/inputDefinitions/parameters/n/parameterType", "THING", "unknown parameterType"),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(changed(path, value))
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("path", "value", "construct"),
    [
        (f"{TASK}/triggerPolicy", {"condition": "1 == 1"}, "a condition"),
        (
            f"{TASK}/triggerPolicy",
            {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
            "ALL_UPSTREAM_TASKS_COMPLETED",
        ),
        (f"{TASK}/parameterIterator", {"itemInput": "i"}, "a loop"),
        (f"{TASK}/artifactIterator", {"itemInput": "i"}, "a loop"),
        (f"{TASK}/iteratorPolicy", {"parallelismLimit": 1}, "a loop's parallelism"),
        (f"{TASK}/retryPolicy", {"maxRetryCount": 2}, "retries"),
        (f"{TASK}/inputs/parameters/n", {"taskFinalStatus": {}}, "the final status"),
        (
            f"{TASK}/inputs/parameters/n",
            {"componentInputParameter": "n", "parameterExpressionSelector": "x"},
            "parameterExpressionSelector",
        ),
        ("deploymentSpec/executors/exec", {"importer": {}}, "an importer"),
        (f"{CONTAINER}/image", "argostub/createpvc", "making or deleting a claim"),
        (f"{CONTAINER}/lifecycle", {"preCacheCheck": {}}, "lifecycle"),
        (f"{CONTAINER}/args/0", "{{$.workspace_path}}", "a workspace"),
        (
            "components/inner/dag/outputs/parameters/r",
            {"valueFromOneof": {"parameterSelectors": []}},
            "(dsl.OneOf)",
        ),
        (
            "components/inner/outputDefinitions/parameters/r/parameterType",
            "LIST",
            "(dsl.Collected)",
        ),
        ("root/inputDefinitions/parameters/n/parameterType", "TASK_CONFIG", "(dsl.TaskConfig)"),
    ],
)
def test_what_is_not_built_is_refused_by_name(path: str, value: Any, construct: str) -> None:
    with pytest.raises(NotSupportedError) as caught:
        spec.parse(changed(path, value))
    assert construct in str(caught.value)
    assert str(caught.value).endswith("is not supported yet")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("", "")),
        ({"resourceType": "nvidia.com/gpu", "resourceCount": "2"}, ("nvidia.com/gpu", "2")),
        ({"type": "amd.com/gpu", "count": 1.0}, ("amd.com/gpu", "1")),
        ({"count": "1", "resourceCount": "4"}, ("", "4")),
        ({"resourceCount": "0"}, ("", "0")),
        (
            {"resourceCount": "{{$.inputs.parameters['x']}}"},
            ("", "{{$.inputs.parameters['x']}}"),
        ),
    ],
)
def test_accelerators(given: Any, found: tuple[str, str]) -> None:
    document = changed(f"{CONTAINER}/resources", {"accelerator": given})
    container = next(
        each.body for each in spec.parse(document).components.values() if each.name == "comp"
    )
    assert isinstance(container, Container)
    accelerator = container.resources.accelerator
    assert (accelerator.type, accelerator.count) == found


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"resourceType": "NVIDIA_TESLA_K80"}, "is no resource of Kubernetes"),
        ({"resourceType": "nvidia.com/gpu", "resourceCount": "two"}, "is not a whole number"),
        ({"resourceCount": "-1"}, "is not a whole number"),
        ({"resourceCount": "100000"}, "is not a whole number from 0 to 1024"),
        ({"count": 1.5}, "expected a string"),
        ({"kind": "gpu"}, "unknown field 'kind'"),
    ],
)
def test_accelerators_that_kubernetes_does_not_take(given: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        spec.parse(changed(f"{CONTAINER}/resources", {"accelerator": given}))


def test_a_run_of_too_many_tasks_is_refused_without_being_made() -> None:
    components: dict[str, Any] = {"c0": {"executorLabel": "exec"}}
    for level in range(1, 41):
        inner = {"componentRef": {"name": f"c{level - 1}"}}
        components[f"c{level}"] = {"dag": {"tasks": {"a": inner, "b": inner}}}
    document = {
        "pipelineInfo": {"name": "p"},
        "components": components,
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "i", "command": ["c"]}}}},
        "root": {"dag": {"tasks": {"t": {"componentRef": {"name": "c40"}}}}},
    }
    with pytest.raises(SpecError, match="at most 10000 may be"):
        spec.parse(document)


@pytest.mark.parametrize("text", ["", "--- 1\n--- 2\n--- 3", "null"])
def test_a_package_has_one_document_or_two(text: str) -> None:
    with pytest.raises(SpecError, match="one YAML document"):
        spec.load(text)


def test_the_form_that_clients_send_is_read() -> None:
    import json

    text = json.dumps({"pipeline_spec": SOUND, "platform_spec": {}})
    assert spec.load(text).name == "p"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"text": "hi"}),
        ({"text": "ho", "n": 3.0}, {"text": "ho", "n": 3}),
        ({"n": None}, {"text": "hi"}),
    ],
)
def test_arguments_are_checked_and_completed(given: Any, found: Any) -> None:
    result = spec.arguments(spec.parse(SOUND).root.inputs, given)
    assert result == found
    assert all(type(result[name]) is type(found[name]) for name in found)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"other": 1}, "its inputs are: n, text"),
        ({"n": "3"}, "expected an integer"),
        ({"n": True}, "expected an integer"),
        ({"n": 3.5}, "expected an integer"),
        ({"text": "hu"}, "not one of the allowed values"),
    ],
)
def test_wrong_arguments_are_named(given: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        spec.arguments(spec.parse(SOUND).root.inputs, given)
