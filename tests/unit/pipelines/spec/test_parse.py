"""Specs are checked to the last reference; what is not built is refused by its name."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from toolkit_pipelines import spec
from toolkit_pipelines.spec import NotSupportedError, SpecError
from toolkit_pipelines.spec.model import (
    Caching,
    Constant,
    Container,
    DagInput,
    FinalStatus,
    Importer,
    Iterator,
    Retry,
    TaskOutput,
)

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


CACHING = "root/dag/tasks/{}/cachingOptions"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"enableCache": True}, Caching(True)),
        ({"enableCache": True, "cacheKey": "k"}, Caching(True, "k")),
        ({"enableCache": False}, None),
        ({"cacheKey": "k"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_caching(given: Any, found: Caching | None) -> None:
    assert spec.parse(changed(CACHING.format("b"), given)).caching("b") == found


@pytest.mark.parametrize(("outer", "cached"), [({"enableCache": True}, True), ({}, False)])
def test_caching_inside_of_what_is_not_cached(outer: Any, cached: bool) -> None:
    document = changed(CACHING.format("a"), outer)
    document["components"]["inner"]["dag"]["tasks"]["t"]["cachingOptions"] = {"enableCache": True}
    assert (spec.parse(document).caching("a/t") is not None) is cached


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"enableCache": "yes"}, "cachingOptions.enableCache"),
        ({"enableCache": True, "cacheKey": 1}, "cachingOptions.cacheKey"),
        ({"maxStaleness": "P1D"}, "cachingOptions"),
        ([], "cachingOptions"),
    ],
)
def test_wrong_caching_is_named(given: Any, where: str) -> None:
    with pytest.raises(SpecError, match=where):
        spec.parse(changed(CACHING.format("b"), given))


@pytest.mark.parametrize(
    ("path", "value", "construct"),
    [
        (f"{CONTAINER}/lifecycle", {"preCacheCheck": {}}, "lifecycle"),
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


ITEMS = {"itemInput": "n", "items": {"raw": "[1, 2]"}}


def looped() -> dict[str, Any]:
    """The sound spec with its nested pipeline in a loop, whose output nobody takes."""
    found = changed(f"{TASK}/parameterIterator", copy.deepcopy(ITEMS))
    del found["root"]["dag"]["tasks"]["b"]
    inner = found["components"]["inner"]
    inner["outputDefinitions"]["parameters"]["r"]["parameterType"] = "LIST"
    inner["outputDefinitions"]["artifacts"]["o"]["isArtifactList"] = True
    return found


def test_control_flow_is_typed() -> None:
    found = looped()
    task = found["root"]["dag"]["tasks"]["a"]
    task["iteratorPolicy"] = {"parallelismLimit": 3}
    task["triggerPolicy"] = {"condition": "inputs.parameter_values['n'] == 3"}
    found["root"]["dag"]["tasks"]["c"] = {
        "componentRef": {"name": "comp"},
        "dependentTasks": ["a"],
        "inputs": {
            "parameters": {
                "x": {
                    "componentInputParameter": "n",
                    "parameterExpressionSelector": "parseJson(string_value)['k']",
                },
                "how": {"taskFinalStatus": {"producerTask": "a"}},
            }
        },
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
        "retryPolicy": {
            "maxRetryCount": 2,
            "backoffDuration": "1.5s",
            "backoffFactor": 3,
            "backoffMaxDuration": "60s",
        },
    }
    found["root"]["dag"]["tasks"]["d"] = {
        "componentRef": {"name": "comp"},
        "dependentTasks": ["c"],
        "inputs": {"parameters": {"x": {"runtimeValue": {"constant": 1}}}},
    }
    pipeline = spec.parse(found)
    loop = pipeline.dag.tasks["a"]
    assert loop.iterator == Iterator("n", (1, 2), limit=3)
    assert loop.condition == "inputs.parameter_values['n'] == 3"
    last = pipeline.dag.tasks["c"]
    assert last.closing
    assert last.retry == Retry(2, 1.5, 3.0, 60.0)
    assert last.parameters["x"] == DagInput("n", "parseJson(string_value)['k']")
    assert last.parameters["how"] == FinalStatus("a")
    assert pipeline.dag.closing == {"c", "d"}
    assert pipeline.dag.reads == {"n"}
    assert pipeline.task("a/7/t").name == "t"
    assert pipeline.task("a/7") is loop


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("triggerPolicy/condition", "1 +", "is no CEL expression"),
        ("triggerPolicy/condition", "inputs.parameter_values['y'] == 1", "'y': no input"),
        ("triggerPolicy/condition", "outputs == 1", "the variable 'outputs'"),
        ("triggerPolicy/condition", "[1].all(x, x > 0)", "the function 'all'"),
        ("triggerPolicy/condition", "1" * 10_001, "longer than 10000"),
        ("triggerPolicy/condition", "(" * 5000 + "1" + ")" * 4000, "is no CEL expression"),
        ("triggerPolicy/strategy", "SOMETIMES", "unknown strategy"),
        ("inputs/parameters/n/parameterExpressionSelector", "inputs", "the variable 'inputs'"),
        ("inputs/parameters/n", {"taskFinalStatus": {"producerTask": "z"}}, "no task 'z'"),
        ("inputs/parameters/n", {"taskFinalStatus": {"producerTask": "a"}}, "TASK_FINAL_STATUS"),
        ("iteratorPolicy", {"parallelismLimit": -1}, "expected a number from 0"),
        ("artifactIterator", ITEMS, "a task has one iterator"),
        ("parameterIterator/itemInput", "z", "there is no input 'z'"),
        ("parameterIterator/items", {"inputParameter": "z"}, "there is no input 'z'"),
        ("parameterIterator/items", {"raw": "[1"}, "a list in JSON"),
        ("parameterIterator/items", {"raw": '{"a": 1}'}, "a list, not dict"),
        ("parameterIterator/items", {"raw": "[" * 100_000}, "a list in JSON"),
        ("parameterIterator/items", {"raw": '["{{$.what}}"]'}, "unknown placeholder"),
        ("retryPolicy/maxRetryCount", -1, "expected a number from 0"),
        ("retryPolicy/backoffFactor", 0.5, "from 1"),
        ("retryPolicy/backoffDuration", "1 hour", "is not a duration"),
        ("componentRef/name", "comp", "a loop runs a DAG"),
    ],
)
def test_control_flow_that_is_wrong_is_named(path: str, value: Any, problem: str) -> None:
    found = looped()
    place = found["root"]["dag"]["tasks"]["a"]
    *outer, last = path.split("/")
    for part in outer:
        place = place.setdefault(part, {})
    place[last] = value
    if value == "comp":
        del found["root"]["dag"]["tasks"]["a"]["inputs"]
        found["components"]["comp"]["inputDefinitions"]["parameters"]["x"]["isOptional"] = True
    with pytest.raises(SpecError) as caught:
        spec.parse(found)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("root.dag.tasks.a")
    assert len(str(caught.value)) < 1000


IMPORTER = {
    "components": {
        "importer": {
            "executorLabel": "exec",
            "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
            "outputDefinitions": {
                "artifacts": {"artifact": {"artifactType": {"schemaTitle": "system.Model"}}}
            },
        }
    },
    "pipelineInfo": {"name": "p"},
    "root": {
        "dag": {
            "tasks": {
                "t": {
                    "componentRef": {"name": "importer"},
                    "inputs": {"parameters": {"uri": {"runtimeValue": {"constant": "u"}}}},
                }
            }
        }
    },
}


@pytest.mark.parametrize(
    ("importer", "found"),
    [
        ({"artifactUri": {"constant": "gs://b/a"}}, Importer("gs://b/a")),
        (
            {
                "artifactUri": {"runtimeParameter": "uri"},
                "reimport": True,
                "typeSchema": {"schemaTitle": "system.Model"},
                "metadata": {"k": "{{$.inputs.parameters['uri']}}", "n": [1]},
            },
            Importer(
                "{{$.inputs.parameters['uri']}}",
                {"k": "{{$.inputs.parameters['uri']}}", "n": [1]},
            ),
        ),
        ({"artifactUri": {"runtimeParameter": "url"}}, "asks for inputs.parameters 'url'"),
        ({"artifactUri": {}}, "a value is required"),
        ({"artifactUri": {"constant": "u"}, "surprise": 1}, "unknown field 'surprise'"),
        (
            {"artifactUri": {"constant": "u"}, "metadata": {"a": "{{$.what}}"}},
            "unknown placeholder",
        ),
    ],
)
def test_importers(importer: dict[str, Any], found: Importer | str) -> None:
    document = {**IMPORTER, "deploymentSpec": {"executors": {"exec": {"importer": importer}}}}
    if isinstance(found, Importer):
        assert spec.parse(document).components["importer"].body == found
        return
    with pytest.raises(SpecError) as caught:
        spec.parse(document)
    assert found in str(caught.value)


def test_an_importer_gives_one_artifact() -> None:
    document = copy.deepcopy(IMPORTER)
    importer = {"importer": {"artifactUri": {"constant": "u"}}}
    document["deploymentSpec"] = {"executors": {"exec": importer}}
    del document["components"]["importer"]["outputDefinitions"]
    with pytest.raises(SpecError, match="an importer gives one artifact, not 0"):
        spec.parse(document)


def test_what_only_looks_like_an_item_must_be_there() -> None:
    found = looped()
    inputs = found["root"]["dag"]["tasks"]["a"]["inputs"]["parameters"]
    inputs["extra"] = {"componentInputParameter": "x-loop-item"}
    with pytest.raises(SpecError, match="no input parameter 'x-loop-item'"):
        spec.parse(found)


RESOURCES = "deploymentSpec/executors/exec/container/resources"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"resourceMemoryLimit": "1.5Gi"}, "1.5Gi"),
        ({"resourceMemoryLimit": "1e3"}, "1e3"),
        ({"resourceMemoryLimit": "{{$.inputs.parameters['x']}}Gi"}, None),
        ({"memoryLimit": 1.073741824}, "1.073741824G"),
        ({"memoryLimit": 2_000_000}, "2000000G"),
        ({"memoryLimit": 3.0}, "3G"),
    ],
)
def test_quantities(given: Any, wanted: str | None) -> None:
    found = spec.parse(changed(RESOURCES, given)).components["comp"].body
    assert isinstance(found, Container)
    assert found.resources.memory_limit == (wanted or given["resourceMemoryLimit"])


@pytest.mark.parametrize(
    "given",
    [
        *({"resourceCpuLimit": each} for each in ("NaN", "-1", "1 core", "1GG", "1e9999")),
        *({"cpuLimit": each} for each in (1e308, -1, "1", True)),
    ],
)
def test_what_is_no_quantity_is_refused_with_its_place(given: Any) -> None:
    (name,) = given
    with pytest.raises(SpecError, match=rf"container\.resources\.{name}: "):
        spec.parse(changed(RESOURCES, given))


def test_a_nested_pipeline_may_be_tried_again_but_no_loop() -> None:
    policy = {"maxRetryCount": 2}
    retry = spec.parse(changed(f"{TASK}/retryPolicy", policy)).task("a").retry
    assert retry is not None
    assert retry.count == 2
    found = looped()
    found["root"]["dag"]["tasks"]["a"]["retryPolicy"] = policy
    with pytest.raises(NotSupportedError, match="retries of a loop as a whole"):
        spec.parse(found)


def test_a_loop_gives_lists() -> None:
    found = changed(f"{TASK}/parameterIterator", copy.deepcopy(ITEMS))
    with pytest.raises(SpecError, match="a loop gives lists, but the output 'r'"):
        spec.parse(found)


def test_outputs_of_branches() -> None:
    found = copy.deepcopy(SOUND)
    dag = found["components"]["inner"]["dag"]
    dag["tasks"]["u"] = copy.deepcopy(dag["tasks"]["t"])
    either = [{"producerSubtask": name, "outputParameterKey": "Output"} for name in ("t", "u")]
    dag["outputs"]["parameters"]["r"] = {"valueFromOneof": {"parameterSelectors": either}}
    artifacts = [{"producerSubtask": name, "outputArtifactKey": "out"} for name in ("t", "u")]
    dag["outputs"]["artifacts"]["o"] = {"artifactSelectors": artifacts}
    body = spec.parse(found).components["inner"].body
    assert not isinstance(body, Container)
    assert body.output_parameters["r"] == (TaskOutput("t", "Output"), TaskOutput("u", "Output"))
    assert body.output_artifacts["o"] == (TaskOutput("t", "out"), TaskOutput("u", "out"))
    dag["outputs"]["parameters"]["r"]["valueFromOneof"]["parameterSelectors"] = []
    with pytest.raises(SpecError, match=r"r.valueFromOneof: the output has no source"):
        spec.parse(found)


def test_pipelines_in_each_other_have_a_bound() -> None:
    found = copy.deepcopy(SOUND)
    found["components"]["d0"] = {"dag": {"tasks": {"t": {"componentRef": {"name": "plain"}}}}}
    found["components"]["plain"] = {"executorLabel": "plain"}
    found["deploymentSpec"]["executors"]["plain"] = {"container": {"image": "i", "command": ["c"]}}
    for number in range(1, 120):
        inner = {"t": {"componentRef": {"name": f"d{number - 1}"}}}
        found["components"][f"d{number}"] = {"dag": {"tasks": inner}}
    with pytest.raises(SpecError, match="deeper than 100"):
        spec.parse(found)
