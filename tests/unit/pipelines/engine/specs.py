"""Pipeline specs for tests, as short as they can be."""

from __future__ import annotations

from typing import Any


def container(*command: str, image: str = "python:3.11", **fields: Any) -> dict[str, Any]:
    return {"container": {"image": image, "command": list(command), **fields}}


def parameters(**types: str) -> dict[str, Any]:
    return {"parameters": {name: {"parameterType": kind} for name, kind in types.items()}}


def task(component: str, *after: str, **inputs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "componentRef": {"name": component},
        "taskInfo": {"name": component},
        "cachingOptions": {"enableCache": True},
    }
    if after:
        found["dependentTasks"] = list(after)
    if inputs:
        found["inputs"] = {"parameters": inputs}
    return found


def output(producer: str, key: str = "Output") -> dict[str, Any]:
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}}


def constant(value: Any) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def pipeline(
    tasks: dict[str, Any],
    components: dict[str, Any] | None = None,
    executors: dict[str, Any] | None = None,
    **root: Any,
) -> dict[str, Any]:
    """A pipeline; without components each task runs `comp`, which prints a line."""
    if components is None:
        components = {"comp": {"executorLabel": "exec"}}
    if executors is None:
        executors = {"exec": container("echo", "hello")}
    return {
        "pipelineInfo": {"name": "test-pipeline"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.3",
        "components": components,
        "deploymentSpec": {"executors": executors},
        "root": {"dag": {"tasks": tasks}, **root},
    }


CHAIN = pipeline(
    {
        "a": task("comp", x=constant(1)),
        "b": task("comp", x=output("a")),
        "c": task("comp", x=output("b")),
    },
    {
        "comp": {
            "executorLabel": "exec",
            "inputDefinitions": parameters(x="NUMBER_INTEGER"),
            "outputDefinitions": parameters(Output="NUMBER_INTEGER"),
        }
    },
)
"""Three tasks in a row; each takes a number and gives one."""

ARTIFACT = {"artifactType": {"schemaTitle": "system.Model"}}
ARTIFACTS = {
    "make": {"executorLabel": "exec", "outputDefinitions": {"artifacts": {"out": ARTIFACT}}},
    "importer": {
        "executorLabel": "importer",
        "inputDefinitions": parameters(uri="STRING"),
        "outputDefinitions": {"artifacts": {"artifact": ARTIFACT}},
    },
    "use": {"executorLabel": "exec", "inputDefinitions": {"artifacts": {"model": ARTIFACT}}},
}
"""Components that make a model, import one and take one; `importer` is an executor of its own."""
