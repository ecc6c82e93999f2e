"""A pipeline spec as typed, immutable data: what the scheduler and the engine work on.

The shapes follow the `PipelineSpec` message of kfp-pipeline-spec 2.x (schema 2.1.0), reduced to
what this service runs. Everything here was validated by `toolkit_pipelines.spec.parse`: each
reference leads somewhere, nothing is circular, and types agree.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .kubernetes import KubernetesSettings, Workspace
from .sources import Constant, DagInput, FinalStatus, Json, ParameterSource, TaskOutput

__all__ = [
    "LOOP_ITEM",
    "MISSING",
    "Accelerator",
    "ArtifactInput",
    "ArtifactOutput",
    "ArtifactSource",
    "ArtifactType",
    "Caching",
    "ClaimTask",
    "Component",
    "Constant",
    "Container",
    "Dag",
    "DagInput",
    "FinalStatus",
    "Importer",
    "Inputs",
    "Iterator",
    "Json",
    "Outputs",
    "ParameterInput",
    "ParameterSource",
    "ParameterType",
    "Pipeline",
    "Resources",
    "Retry",
    "Task",
    "TaskConfigField",
    "TaskOutput",
    "Workspace",
]


class ParameterType(enum.StrEnum):
    """The types of parameters (IR `ParameterTypeEnum`)."""

    DOUBLE = "NUMBER_DOUBLE"
    INTEGER = "NUMBER_INTEGER"
    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"
    FINAL_STATUS = "TASK_FINAL_STATUS"
    TASK_CONFIG = "TASK_CONFIG"


class TaskConfigField(enum.StrEnum):
    """A part of a task's configuration (IR `TaskConfigPassthroughTypeEnum`)."""

    RESOURCES = "RESOURCES"
    ENV = "ENV"
    AFFINITY = "KUBERNETES_AFFINITY"
    TOLERATIONS = "KUBERNETES_TOLERATIONS"
    NODE_SELECTOR = "KUBERNETES_NODE_SELECTOR"
    VOLUMES = "KUBERNETES_VOLUMES"


class _Missing(enum.Enum):
    MISSING = "MISSING"


MISSING: Final = _Missing.MISSING
"""Stands for "no default": null is a value."""


LOOP_ITEM: Final = "loop-item"
"""What is in the name of each input by which KFP's compiler hands on a loop's item or a part of it
(`pipelinechannel--x-loop-item-subvar-KEY`); where it does not know the type, it says STRING."""


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


@dataclass(frozen=True, slots=True)
class Importer:
    """Records an artifact that is there already (`dsl.importer`).

    Attributes:
        uri: where the artifact is; it may hold placeholders of the component's input parameters.
        metadata: what is recorded on it; its strings likewise.
        to_workspace: True if a pod copies it into the run's workspace; else there is no pod.
    """

    uri: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    to_workspace: bool = False


@dataclass(frozen=True, slots=True)
class ClaimTask:
    """Makes or deletes a claim (`kfp.kubernetes`: `CreatePVC`, `DeletePVC`); it has no pod."""

    deletes: bool


ArtifactSource: TypeAlias = DagInput | TaskOutput


@dataclass(frozen=True, slots=True)
class Iterator:
    """A loop: the task's DAG runs once for each item.

    Attributes:
        item: the input of the DAG that gets the item.
        items: the list as it is written in the spec, or None if an input has it.
        source: the task's input that has the list; "" if it is written in the spec.
        artifacts: True if the items are artifacts.
        limit: most iterations under way at a time; 0 for no limit.
        parts: other inputs of the DAG, each with the key of the item whose value it gets.
    """

    item: str
    items: tuple[Json, ...] | None = None
    source: str = ""
    artifacts: bool = False
    limit: int = 0
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed attempt is followed by another, and after how many seconds.

    The first pause is `pause`, each later one `factor` times as long, none longer than `longest`.
    """

    count: int
    pause: float = 0.0
    factor: float = 2.0
    longest: float = 3600.0


@dataclass(frozen=True, slots=True)
class Caching:
    """Whether a task may be given what an earlier execution gave (`set_caching_options`).

    Attributes:
        enabled: whether it may.
        key: what such an execution is known by, in place of its inputs and its container; "" for
            these.
    """

    enabled: bool
    key: str = ""


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
        upstream: the tasks of the DAG that must have ended before it may start: those it names
            and those whose outputs it takes.
        closing: False if they must have succeeded; True if it starts however they ended.
        condition: CEL; unless it holds the task is skipped. "" for none.
        iterator: the loop that the task is, or None.
        retry: how it is tried again, or None.
        caching: what it says of the cache; None for nothing, as the compiler's own groups do.
        unset: inputs of the component that get no value though it declares them as required.
    """

    name: str
    display_name: str
    component: str
    parameters: Mapping[str, ParameterSource] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactSource] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    closing: bool = False
    condition: str = ""
    iterator: Iterator | None = None
    retry: Retry | None = None
    caching: Caching | None = None
    unset: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dag:
    """The tasks of a component.

    Attributes:
        tasks: by name, in an order in which each comes after its upstream ones.
        output_parameters, output_artifacts: where each output comes from: the first of these
            that there is, since tasks may be skipped (`dsl.OneOf`).
        closing: the tasks that may start after another one has failed: those that start however
            their upstream tasks ended, and what comes after them.
        reads: the DAG's inputs that its tasks take.
    """

    tasks: Mapping[str, Task]
    output_parameters: Mapping[str, tuple[TaskOutput, ...]] = field(default_factory=dict)
    output_artifacts: Mapping[str, tuple[TaskOutput, ...]] = field(default_factory=dict)
    closing: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Component:
    """Something that a task can run.

    Attributes:
        passthroughs: the parts of its tasks' configuration that are handed on to them as a value
            (`dsl.TaskConfig`), each with whether their pods have it as well.
    """

    name: str
    inputs: Inputs
    outputs: Outputs
    body: Container | Dag | Importer | ClaimTask
    passthroughs: Mapping[TaskConfigField, bool] = field(default_factory=dict)

    @property
    def has_pod(self) -> bool:
        """True if a task that runs it has a pod."""
        body = self.body
        return isinstance(body, Container) or (isinstance(body, Importer) and body.to_workspace)

    @property
    def acts(self) -> bool:
        """True if the service itself carries it out, against the Kubernetes API."""
        return isinstance(self.body, ClaimTask)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A whole pipeline.

    Attributes:
        name: `pipelineInfo.name`.
        components: every component that some task runs, by name.
        root: the component that is the pipeline itself; its body is a DAG.
        default_root: the pipeline root that the spec asks for, or "".
        size: how many tasks a run of it has, those of nested DAGs included and each loop's once.
        workspace: the volume that the steps of a run share, or None.
        deadline: the seconds that a run may take, or None.
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
    workspace: Workspace | None = None
    deadline: int | None = None

    @property
    def dag(self) -> Dag:
        """The root's DAG."""
        assert isinstance(self.root.body, Dag)  # noqa: S101 - parse() lets nothing else through
        return self.root.body

    def along(self, path: str) -> Generator[Task]:
        """Give the tasks on a path such as `outer/inner`, or `loop/7/inner` in an iteration.

        Raises:
            KeyError: there is no such task.
        """
        dag = self.dag
        parts = iter(path.split("/"))
        task = dag.tasks[next(parts)]
        yield task
        iterated = task.iterator is not None
        for part in parts:
            if iterated:
                # The number of an iteration: it runs the same task.
                iterated = False
                continue
            body = self.components[task.component].body
            if not isinstance(body, Dag):
                raise KeyError(path)
            task = body.tasks[part]
            yield task
            iterated = task.iterator is not None

    def task(self, path: str) -> Task:
        """Give the last task on a path; KeyError if there is none."""
        *_, task = self.along(path)
        return task

    def caching(self, path: str) -> Caching | None:
        """Give how the task at `path` may be taken from the cache; None if it may not.

        What a nested pipeline or a loop is told not to take, nothing in it takes: `kfp.Client`
        tells the outermost tasks alone (`enable_caching=False`), and means all.
        """
        *around, task = self.along(path)
        if any(each.caching is not None and not each.caching.enabled for each in around):
            return None
        return task.caching if task.caching is not None and task.caching.enabled else None

    def component(self, path: str) -> Component:
        """Give the component that the task at `path` runs; KeyError if there is no such task."""
        return self.components[self.task(path).component]

    def walk(self) -> Generator[tuple[str, Task, Component]]:
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
