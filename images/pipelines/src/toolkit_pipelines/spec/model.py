"""A pipeline spec as typed, immutable data: what the scheduler and the engine work on.

The shapes follow the `PipelineSpec` message of kfp-pipeline-spec 2.x (schema 2.1.0), reduced to
what this service runs. Everything here was validated by `toolkit_pipelines.spec.parse`: each
reference leads somewhere, nothing is circular, and types agree.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .kubernetes import KubernetesSettings
from .sources import Constant, DagInput, Json, ParameterSource, TaskOutput

__all__ = [
    "MISSING",
    "Accelerator",
    "ArtifactInput",
    "ArtifactOutput",
    "ArtifactSource",
    "ArtifactType",
    "Component",
    "Constant",
    "Container",
    "Dag",
    "DagInput",
    "Inputs",
    "Json",
    "Outputs",
    "ParameterInput",
    "ParameterSource",
    "ParameterType",
    "Pipeline",
    "Resources",
    "Task",
    "TaskOutput",
]


class ParameterType(enum.StrEnum):
    """The types of parameters (IR `ParameterTypeEnum`)."""

    DOUBLE = "NUMBER_DOUBLE"
    INTEGER = "NUMBER_INTEGER"
    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"


class _Missing(enum.Enum):
    MISSING = "MISSING"


MISSING: Final = _Missing.MISSING
"""Stands for "no default": null is a value."""


@dataclass(frozen=True, slots=True)
class ParameterInput:
    """An input parameter; `literals` are the only values allowed, if there are any."""

    type: ParameterType
    optional: bool = False
    default: Json | _Missing = MISSING
    literals: tuple[Json, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class ArtifactType:
    """What an artifact is: `system.Model`, version `0.0.1`."""

    title: str = "system.Artifact"
    version: str = "0.0.1"


@dataclass(frozen=True, slots=True)
class ArtifactInput:
    """An input artifact, or a list of them."""

    type: ArtifactType
    is_list: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ArtifactOutput:
    """An output artifact; `metadata` is what the component declares beforehand."""

    type: ArtifactType
    is_list: bool = False
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inputs:
    """A component's inputs by name."""

    parameters: Mapping[str, ParameterInput] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactInput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outputs:
    """A component's outputs by name."""

    parameters: Mapping[str, ParameterType] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactOutput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a container asks for of GPUs and the like, "" for what it does not say.

    A value may hold placeholders of the component's input parameters.

    Attributes:
        type: a resource of Kubernetes (`nvidia.com/gpu`).
        count: a whole number.
    """

    type: str = ""
    count: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for: Kubernetes quantities, "" for nothing.

    A value may hold placeholders of the component's input parameters.
    """

    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""
    accelerator: Accelerator = Accelerator()


@dataclass(frozen=True, slots=True)
class Container:
    """What runs: an image, a command and its arguments, with placeholders still in them.

    `kubernetes` is what the platform spec says of it.
    """

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)


ArtifactSource: TypeAlias = DagInput | TaskOutput


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a DAG.

    Attributes:
        name: its key in the DAG.
        display_name: what the user calls it.
        component: the name of the component that it runs.
        parameters: where each input parameter comes from. Besides the component's own inputs
            there may be others (`pipelinechannel--...`) that only placeholders read.
        artifacts: where each input artifact comes from.
        upstream: the tasks of the DAG that must have succeeded before it may start: those it
            names and those whose outputs it takes.
    """

    name: str
    display_name: str
    component: str
    parameters: Mapping[str, ParameterSource] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactSource] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dag:
    """Tasks, each by its name, in an order in which each comes after its upstream ones."""

    tasks: Mapping[str, Task]
    output_parameters: Mapping[str, TaskOutput] = field(default_factory=dict)
    output_artifacts: Mapping[str, TaskOutput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Component:
    """Something that a task can run."""

    name: str
    inputs: Inputs
    outputs: Outputs
    body: Container | Dag


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A whole pipeline.

    Attributes:
        name: `pipelineInfo.name`.
        components: every component that some task runs, by name.
        root: the component that is the pipeline itself; its body is a DAG.
        default_root: the pipeline root that the spec asks for, or "".
        size: how many tasks a run of it has, those of nested DAGs included.
    """

    name: str
    display_name: str
    description: str
    components: Mapping[str, Component]
    root: Component
    default_root: str
    sdk_version: str
    schema_version: str
    size: int

    @property
    def dag(self) -> Dag:
        """The root's DAG."""
        assert isinstance(self.root.body, Dag)  # noqa: S101 - parse() lets nothing else through
        return self.root.body

    def dag_of(self, path: str) -> tuple[Component, Dag]:
        """Give the DAG that the task at `path` is; "" is the root.

        Raises:
            KeyError: no such task, or it is not a DAG.
        """
        component = self.root if path == "" else self.component(path)
        if not isinstance(component.body, Dag):
            raise KeyError(path)
        return component, component.body

    def task(self, path: str) -> Task:
        """Give the task at a path such as `outer/inner`; KeyError if there is none."""
        dag = self.dag
        *outer, name = path.split("/")
        for each in outer:
            body = self.components[dag.tasks[each].component].body
            if not isinstance(body, Dag):
                raise KeyError(path)
            dag = body
        return dag.tasks[name]

    def component(self, path: str) -> Component:
        """Give the component that the task at `path` runs; KeyError if there is no such task."""
        return self.components[self.task(path).component]

    def walk(self) -> Iterator[tuple[str, Task, Component]]:
        """Give every task of a run with its path, outer ones before those inside them."""
        pending: list[tuple[str, Dag]] = [("", self.dag)]
        while pending:
            prefix, dag = pending.pop()
            for task in dag.tasks.values():
                component = self.components[task.component]
                path = f"{prefix}/{task.name}" if prefix else task.name
                yield path, task, component
                if isinstance(component.body, Dag):
                    pending.append((path, component.body))
