"""What of its configuration a task is handed on (`dsl.TaskConfig`), as the compiler writes it."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit_pipelines import spec
from toolkit_pipelines.spec import NotSupportedError, SpecError
from toolkit_pipelines.spec.model import ParameterType, TaskConfigField

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's notes on its own default image
    from kfp import compiler, dsl

    @dsl.component(
        base_image="python:3.11",
        task_config_passthroughs=[
            *(field for field in dsl.TaskConfigField if field is not dsl.TaskConfigField.ENV),
            dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
        ],
    )
    def launch(config: dsl.TaskConfig, workers: int):
        pass

    @dsl.pipeline(name="p")
    def pipeline():
        launch(workers=2)


@pytest.fixture
def document(tmp_path: Path) -> Any:
    path = tmp_path / "p.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return yaml.safe_load(path.read_text())


def test_every_part_that_the_sdk_knows_is_read(document: Any) -> None:
    component = spec.parse(document).component("launch")
    assert component.inputs.parameters["config"].type is ParameterType.TASK_CONFIG
    fields = set(TaskConfigField)
    assert component.passthroughs == {each: each is TaskConfigField.ENV for each in fields}


def test_a_part_that_is_not_known_is_refused_by_name(document: Any) -> None:
    component = document["components"]["comp-launch"]
    component["taskConfigPassthroughs"] = [{"field": "KUBERNETES_RESOURCE_CLAIMS"}]
    with pytest.raises(NotSupportedError, match="KUBERNETES_RESOURCE_CLAIMS"):
        spec.parse(document)


def test_nobody_else_gives_it(document: Any) -> None:
    task = document["root"]["dag"]["tasks"]["launch"]
    task["inputs"]["parameters"]["config"] = {"runtimeValue": {"constant": {}}}
    with pytest.raises(SpecError, match="the service fills in"):
        spec.parse(document)


def test_what_runs_no_container_has_none(document: Any) -> None:
    config = {"parameterType": "TASK_CONFIG", "isOptional": True}
    document["root"]["inputDefinitions"] = {"parameters": {"config": config}}
    with pytest.raises(SpecError, match="only what runs a container"):
        spec.parse(document)


def test_it_is_no_output(document: Any) -> None:
    outputs = {"parameters": {"config": {"parameterType": "TASK_CONFIG"}}}
    document["components"]["comp-launch"]["outputDefinitions"] = outputs
    with pytest.raises(SpecError, match="not an output"):
        spec.parse(document)
