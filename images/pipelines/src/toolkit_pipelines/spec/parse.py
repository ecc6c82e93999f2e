"""From plain data to `model.Pipeline`: every reference checked, every type compared.

Field names are those of the messages of kfp-pipeline-spec 2.x in JSON. A field that is none of
them is an error: it may change what the pipeline means. What this service does not run yet is
refused with the construct's name, as the SDK's users know it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from typing import Final

from . import executors, interfaces, lifetimes, platform, selectors, tasks, workspaces
from .errors import NotSupportedError, SpecError
from .fields import mapping, string
from .interfaces import valid_name
from .kubernetes import KubernetesSettings
from .model import (
    ClaimTask,
    Component,
    Container,
    Dag,
    DagInput,
    Importer,
    Inputs,
    Json,
    Outputs,
    ParameterType,
    Pipeline,
    Task,
    TaskConfigField,
    Workspace,
)

MAX_TASKS: Final = 10_000
"""Most tasks of one run, those of nested DAGs counted each time they are used, loops once."""

MAX_NESTING: Final = 100
"""Most DAGs in each other."""


def pipeline(document: Json, platform_spec: Json = None) -> Pipeline:
    """Check a pipeline spec and give it as typed data.

    Args:
        document: the PipelineSpec, plain data.
        platform_spec: the PlatformSpec, plain data, or None.

    Raises:
        SpecError: it cannot be run; the message names the place, the problem and what to do.
        NotSupportedError: it uses a construct that is not built yet.
    """
    return _Reader(mapping(document, "")).read(platform_spec)


class _Reader:
    def __init__(self, document: Mapping[str, Json]) -> None:
        self._document = document
        self._components: dict[str, Component] = {}
        self._sizes: dict[str, int] = {}
        self._depths: dict[str, int] = {}
        self._executors: Mapping[str, Json] = {}
        self._kubernetes: Mapping[str, KubernetesSettings] = {}
        self._workspace: Workspace | None = None
        self._definitions: Mapping[str, Json] = {}

    def read(self, platform_spec: Json) -> Pipeline:
        document = mapping(
            self._document,
            "",
            (
                "pipelineInfo",
                "deploymentSpec",
                "sdkVersion",
                "schemaVersion",
                "components",
                "root",
                "defaultPipelineRoot",
            ),
        )
        if "root" not in document:
            raise SpecError("root", "missing: this is not a compiled pipeline (IR YAML of KFP v2)")
        version = string(document.get("schemaVersion"), "schemaVersion")
        if version and not version.startswith("2."):
            raise SpecError("schemaVersion", f"{version!r} is not supported; versions 2.x are")
        info = mapping(
            document.get("pipelineInfo"), "pipelineInfo", ("name", "displayName", "description")
        )
        self._kubernetes = platform.read(platform_spec)
        self._workspace = workspaces.read(platform_spec)
        deployment = mapping(document.get("deploymentSpec"), "deploymentSpec", ("executors",))
        self._executors = mapping(deployment.get("executors"), "deploymentSpec.executors")
        self._definitions = mapping(document.get("components"), "components")
        # Interfaces first, then bodies from the root down: what no task runs is checked as well.
        for name in self._order():
            self._components[name] = self._component(name, self._definitions[name])
        root = self._component("root", document["root"])
        if not isinstance(root.body, Dag):
            raise SpecError("root", "the root must have a dag")
        return Pipeline(
            name=valid_name(
                string(info.get("name"), "pipelineInfo.name", required=True), "pipelineInfo.name"
            ),
            display_name=string(info.get("displayName"), "pipelineInfo.displayName"),
            description=string(info.get("description"), "pipelineInfo.description"),
            components=self._components,
            root=root,
            default_root=string(document.get("defaultPipelineRoot"), "defaultPipelineRoot"),
            sdk_version=string(document.get("sdkVersion"), "sdkVersion"),
            schema_version=version,
            size=self._sizes["root"],
            workspace=self._workspace,
            deadline=lifetimes.read(platform_spec),
        )

    def _order(self) -> list[str]:
        """Give the components' names, those that others run before them."""
        uses: dict[str, set[str]] = {}
        for name, definition in self._definitions.items():
            valid_name(name, "components")
            body = mapping(definition, f"components.{name}")
            dag = mapping(body.get("dag"), f"components.{name}.dag")
            tasks = mapping(dag.get("tasks"), f"components.{name}.dag.tasks")
            uses[name] = set()
            for key, task in tasks.items():
                where = f"components.{name}.dag.tasks.{key[:80]}"
                found = self._reference(mapping(task, where), where)
                uses[name].add(found)
        try:
            return list(graphlib.TopologicalSorter(uses).static_order())
        except graphlib.CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise SpecError(
                "components", f"components run each other in a cycle: {cycle}"
            ) from error

    def _reference(self, task: Mapping[str, Json], where: str) -> str:
        reference = mapping(task.get("componentRef"), f"{where}.componentRef", ("name",))
        name = string(reference.get("name"), f"{where}.componentRef.name", required=True)
        if name not in self._definitions:
            raise SpecError(f"{where}.componentRef", f"there is no component {name[:80]!r}")
        return name

    def _component(self, name: str, value: Json) -> Component:
        where = name if name == "root" else f"components.{name}"
        definition = mapping(
            value,
            where,
            (
                "inputDefinitions",
                "outputDefinitions",
                "dag",
                "executorLabel",
                "singlePlatformSpecs",
                "taskConfigPassthroughs",
            ),
        )
        if definition.get("singlePlatformSpecs"):
            raise NotSupportedError(where, "a component's own platform spec (singlePlatformSpecs)")
        inputs = interfaces.inputs(definition.get("inputDefinitions"), f"{where}.inputDefinitions")
        outputs = interfaces.outputs(
            definition.get("outputDefinitions"), f"{where}.outputDefinitions"
        )
        passed = interfaces.passthroughs(
            definition.get("taskConfigPassthroughs"), f"{where}.taskConfigPassthroughs"
        )
        label, dag = definition.get("executorLabel"), definition.get("dag")
        if (label is None) == (dag is None):
            raise SpecError(where, "exactly one of dag and executorLabel is needed")
        if dag is not None:
            _no_configuration(inputs, passed, where)
            found = self._dag(dag, inputs, outputs, f"{where}.dag")
            self._depths[name] = 1 + max(self._depths[t.component] for t in found.tasks.values())
            if self._depths[name] > MAX_NESTING:
                raise SpecError(where, f"DAGs are nested in each other deeper than {MAX_NESTING}")
            self._sizes[name] = sum(1 + self._sizes[t.component] for t in found.tasks.values())
            if self._sizes[name] > MAX_TASKS:
                raise SpecError(
                    where,
                    f"a run would have {self._sizes[name]} tasks; at most {MAX_TASKS} may be",
                )
            return Component(name, inputs, outputs, found)
        self._sizes[name] = self._depths[name] = 0
        label = string(label, f"{where}.executorLabel", required=True)
        if label not in self._executors:
            raise SpecError(f"{where}.executorLabel", f"there is no executor {label[:80]!r}")
        body = executors.executor(
            self._executors[label],
            self._kubernetes.get(label, KubernetesSettings()),
            f"deploymentSpec.executors.{label[:80]}",
        )
        if isinstance(body, Importer) and body.to_workspace and self._workspace is None:
            raise SpecError(
                f"deploymentSpec.executors.{label[:80]}", f"downloadToWorkspace: {workspaces.NONE}"
            )
        if isinstance(body, ClaimTask):
            workspaces.check_claim_task(body, inputs, outputs, where)
        if isinstance(body, Importer) and len(outputs.artifacts) != 1:
            raise SpecError(
                f"{where}.outputDefinitions",
                f"an importer gives one artifact, not {len(outputs.artifacts)}",
            )
        if not isinstance(body, Container):
            _no_configuration(inputs, passed, where)
        return Component(name, inputs, outputs, body, passed)

    def _dag(self, value: Json, inputs: Inputs, outputs: Outputs, where: str) -> Dag:
        data = mapping(value, where, ("tasks", "outputs"))
        found = mapping(data.get("tasks"), f"{where}.tasks")
        if not found:
            raise SpecError(f"{where}.tasks", "a DAG needs at least one task")
        siblings: dict[str, Component] = {}
        for key, each in found.items():
            spot = f"{where}.tasks.{key[:80]}"
            siblings[key] = self._components[self._reference(mapping(each, spot), spot)]
        scope = tasks.Scope(inputs, siblings, self._workspace is not None)
        read: dict[str, Task] = {}
        for key, each in found.items():
            spot = f"{where}.tasks.{key[:80]}"
            read[key] = tasks.read(key, each, scope, spot)
        order = _order(read, where)
        selected = selectors.read(data.get("outputs"), scope, outputs, f"{where}.outputs")
        closing: set[str] = set()
        for key in order:
            if read[key].closing or not closing.isdisjoint(read[key].upstream):
                closing.add(key)
        return Dag(
            {key: read[key] for key in order},
            selected.parameters,
            selected.artifacts,
            frozenset(closing),
            frozenset(_reads(read, siblings)),
        )


def _no_configuration(inputs: Inputs, passed: Mapping[TaskConfigField, bool], where: str) -> None:
    """See that what runs no container asks for no configuration of one."""
    configured = (p.type is ParameterType.TASK_CONFIG for p in inputs.parameters.values())
    if passed or any(configured):
        raise SpecError(where, "only what runs a container has a configuration (dsl.TaskConfig)")


def _order(found: Mapping[str, Task], where: str) -> list[str]:
    sorter = graphlib.TopologicalSorter({name: task.upstream for name, task in found.items()})
    try:
        return list(sorter.static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise SpecError(
            f"{where}.tasks", f"tasks depend on each other in a cycle: {cycle}"
        ) from error


def _reads(found: Mapping[str, Task], siblings: Mapping[str, Component]) -> Iterable[str]:
    """Give the inputs of a DAG that its tasks take."""
    for name, task in found.items():
        body = siblings[name].body
        settings = body.kubernetes.sources() if isinstance(body, Container) else ()
        for source in (*task.parameters.values(), *task.artifacts.values(), *settings):
            if isinstance(source, DagInput):
                yield source.name
