"""What counts for the cache, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from toolkit_jobs import InitContainer
from toolkit_pipelines import cachekey
from toolkit_pipelines.events import Artifact, Values
from toolkit_pipelines.spec.kubernetes import KubernetesSettings
from toolkit_pipelines.spec.model import (
    ArtifactOutput,
    ArtifactType,
    Component,
    Container,
    Inputs,
    Outputs,
    ParameterType,
    Resources,
)

CONTAINER = Container("python:3.11", ("python", "-c"), ("print(1)",), {"MODE": "fast"})
OUTPUTS = Outputs({"n": ParameterType.INTEGER}, {"model": ArtifactOutput(ArtifactType())})
COMPONENT = Component("comp-train", Inputs(), OUTPUTS, CONTAINER)
DATA = Artifact("data", "system.Dataset", "s3://b/p/one/data", {"rows": 3})
INPUTS = Values({"depth": 5, "rate": 0.5}, {"data": (DATA,)})
CONSTANTS = {".pipeline_job_uuid": "run-1", ".pipeline_task_name": "train"}


def key(**changed: Any) -> str:
    found: dict[str, Any] = {
        "pipeline": "p",
        "component": COMPONENT,
        "inputs": INPUTS,
        "constants": CONSTANTS,
        "claims": (),
        "digests": {},
        **changed,
    }
    return cachekey.computed(found.pop("pipeline"), found.pop("component"), **found)


def container(**changed: Any) -> Component:
    return dataclasses.replace(COMPONENT, body=dataclasses.replace(CONTAINER, **changed))


def outputs(**changed: Any) -> Component:
    return dataclasses.replace(COMPONENT, outputs=dataclasses.replace(OUTPUTS, **changed))


def data(**changed: Any) -> Values:
    return Values(INPUTS.parameters, {"data": (dataclasses.replace(DATA, **changed),)})


BEFORE = InitContainer("fetch", "alpine", ("date",))


@pytest.mark.parametrize(
    "changed",
    [
        {"pipeline": "q"},
        {"component": container(image="python:3.12")},
        {"component": container(command=("python", "-m"))},
        {"component": container(args=("print(2)",))},
        {"component": container(env={"MODE": "slow"})},
        {"component": outputs(parameters={"n": ParameterType.DOUBLE})},
        {"component": outputs(parameters={"m": ParameterType.INTEGER})},
        {"component": outputs(artifacts={"model": ArtifactOutput(ArtifactType("system.Model"))})},
        {"component": outputs(artifacts={"model": ArtifactOutput(ArtifactType(), True)})},
        {"component": outputs(artifacts={})},
        {"inputs": Values({"depth": 6, "rate": 0.5}, INPUTS.artifacts)},
        {"inputs": Values({"depth": "5", "rate": 0.5}, INPUTS.artifacts)},
        {"inputs": Values({"depth": 5}, INPUTS.artifacts)},
        {"inputs": Values(INPUTS.parameters, {})},
        {"inputs": Values(INPUTS.parameters, {"data": (DATA, DATA)})},
        {"inputs": data(uri="s3://b/p/two/data")},
        {"inputs": data(name="other")},
        {"inputs": data(type="system.Artifact")},
        {"inputs": data(metadata={"rows": 4})},
        {"claims": ("cache",)},
        {"digests": {DATA.uri: "d1"}},
        {"component": container(kubernetes=KubernetesSettings(before=(BEFORE,)))},
    ],
)
def test_what_counts(changed: dict[str, Any]) -> None:
    assert key(**changed) != key()


@pytest.mark.parametrize(
    "changed",
    [
        {"component": dataclasses.replace(COMPONENT, name="comp-train-2")},
        {"component": container(resources=Resources(cpu_limit="4"))},
        {"component": container(kubernetes=KubernetesSettings(deadline=5))},
        {"constants": {".pipeline_job_uuid": "run-2", ".pipeline_task_name": "other"}},
        {"inputs": Values({"rate": 0.5, "depth": 5}, INPUTS.artifacts)},
    ],
)
def test_what_does_not(changed: dict[str, Any]) -> None:
    assert key(**changed) == key()


def test_artifacts_of_the_same_content_are_the_same() -> None:
    elsewhere = data(uri="s3://b/p/two/data")
    digests = {DATA.uri: "d1", "s3://b/p/two/data": "d1"}
    assert key(digests=digests) == key(inputs=elsewhere, digests=digests)
    assert key(digests=digests) != key(digests={DATA.uri: "d2"})
    # One that nobody has computed is none.
    assert key(digests={DATA.uri: ""}) == key()


def test_claims_count_by_name() -> None:
    assert key(claims=("b", "a", "b")) == key(claims=("a", "b"))
    assert key(claims=("a",)) != key(claims=("b",))


@pytest.mark.parametrize(
    "text",
    [
        "{{$.pipeline_job_uuid}}",
        "a-{{$.pipeline_job_uuid}}-b",
        '{"Concat": ["{{$.pipeline_job_uuid}}"]}',
    ],
)
@pytest.mark.parametrize("place", ["args", "command", "image", "env"])
def test_a_command_that_names_its_run_is_this_runs(text: str, place: str) -> None:
    value: Any = {"image": text, "env": {"RUN": text}}.get(place, ("run", text))
    naming_it = container(**{place: value})
    other = {**CONSTANTS, ".pipeline_job_uuid": "run-2"}
    assert key(component=naming_it) != key(component=naming_it, constants=other)
    renamed = {**CONSTANTS, ".pipeline_task_name": "other"}
    assert key(component=naming_it) == key(component=naming_it, constants=renamed)


def test_its_own_outputs_and_inputs_are_not_named_by_place() -> None:
    own = container(args=("{{$}}", "{{$.outputs.artifacts['model'].path}}"))
    assert key(component=own) == key(component=own, constants={})


def test_a_given_key_stands_for_all_but_component_and_outputs() -> None:
    first = cachekey.given("p", COMPONENT, "k")
    assert first == cachekey.given("p", container(args=("else",)), "k")
    assert first != cachekey.given("p", COMPONENT, "l")
    assert first != cachekey.given("q", COMPONENT, "k")
    assert first != cachekey.given("p", dataclasses.replace(COMPONENT, name="comp-test"), "k")
    assert first != cachekey.given("p", outputs(artifacts={}), "k")
    assert first != key()
