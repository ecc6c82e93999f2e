"""From plain data to `model.Pipeline`: every reference checked, every type compared.

Field names are those of the messages of kfp-pipeline-spec 2.x in JSON. A field that is none of
them is an error: it may change what the pipeline means. What this service does not run yet is
refused with the construct's name, as the SDK's users know it.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import accelerators, placeholders, platform, values
from .errors import NotSupportedError, SpecError
from .fields import list_of, mapping, string
from .kubernetes import KubernetesSettings
from .model import (
    MISSING,
    Accelerator,
    ArtifactInput,
    ArtifactOutput,
    ArtifactSource,
    ArtifactType,
    Component,
    Constant,
    Container,
    Dag,
    DagInput,
    Inputs,
    Json,
    Outputs,
    ParameterInput,
    ParameterSource,
    ParameterType,
    Pipeline,
    Resources,
    Task,
    TaskOutput,
)

MAX_TASKS: Final = 10_000
"""Most tasks of one run, those of nested DAGs counted each time they are used."""

# Names become file and folder names; a pod's log shows them.
_NAME: Final = re.compile(r"[^\W_][\w.\- ]*|_[\w.\- ]*")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_LEGACY_TYPES: Final = {
    "INT": ParameterType.INTEGER,
    "DOUBLE": ParameterType.DOUBLE,
    "STRING": ParameterType.STRING,
}
_UNBUILT_TYPES: Final = {
    "TASK_FINAL_STATUS": "the final status of a task as input (dsl.PipelineTaskFinalStatus)",
    "TASK_CONFIG": "the configuration of a task as input (dsl.TaskConfig)",
}


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


def _name(value: str, where: str) -> str:
    if len(value.encode("utf-8", "surrogatepass")) > 200 or not _NAME.fullmatch(value):
        shown = value if len(value) <= 60 else value[:57] + "..."
        raise SpecError(
            where,
            f"{shown!r} is not a name: at most 200 bytes of letters, digits, '_', '-', '.' and "
            "spaces, starting with a letter, a digit or '_'",
        )
    return value


class _Reader:
    def __init__(self, document: Mapping[str, Json]) -> None:
        self._document = document
        self._components: dict[str, Component] = {}
        self._sizes: dict[str, int] = {}
        self._executors: Mapping[str, Json] = {}
        self._kubernetes: Mapping[str, KubernetesSettings] = {}
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
            name=_name(
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
        )

    def _order(self) -> list[str]:
        """Give the components' names, those that others run before them."""
        uses: dict[str, set[str]] = {}
        for name, definition in self._definitions.items():
            _name(name, "components")
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
        if definition.get("taskConfigPassthroughs"):
            raise NotSupportedError(where, "task configuration passthrough (dsl.TaskConfig)")
        inputs = _inputs(definition.get("inputDefinitions"), f"{where}.inputDefinitions")
        outputs = _outputs(definition.get("outputDefinitions"), f"{where}.outputDefinitions")
        label, dag = definition.get("executorLabel"), definition.get("dag")
        if (label is None) == (dag is None):
            raise SpecError(where, "exactly one of dag and executorLabel is needed")
        if dag is not None:
            body = self._dag(dag, inputs, outputs, f"{where}.dag")
            self._sizes[name] = sum(1 + self._sizes[t.component] for t in body.tasks.values())
            if self._sizes[name] > MAX_TASKS:
                raise SpecError(
                    where,
                    f"a run would have {self._sizes[name]} tasks; at most {MAX_TASKS} may be",
                )
            return Component(name, inputs, outputs, body)
        self._sizes[name] = 0
        label = string(label, f"{where}.executorLabel", required=True)
        if label not in self._executors:
            raise SpecError(f"{where}.executorLabel", f"there is no executor {label[:80]!r}")
        container = _executor(
            self._executors[label],
            self._kubernetes.get(label, KubernetesSettings()),
            f"deploymentSpec.executors.{label[:80]}",
        )
        return Component(name, inputs, outputs, container)

    def _dag(self, value: Json, inputs: Inputs, outputs: Outputs, where: str) -> Dag:
        data = mapping(value, where, ("tasks", "outputs"))
        found = mapping(data.get("tasks"), f"{where}.tasks")
        if not found:
            raise SpecError(f"{where}.tasks", "a DAG needs at least one task")
        tasks = {
            name: self._task(name, each, inputs, found, f"{where}.tasks.{name[:80]}")
            for name, each in found.items()
        }
        try:
            order = list(
                graphlib.TopologicalSorter(
                    {name: task.upstream for name, task in tasks.items()}
                ).static_order()
            )
        except graphlib.CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise SpecError(
                f"{where}.tasks", f"tasks depend on each other in a cycle: {cycle}"
            ) from error
        parameters, artifacts = self._dag_outputs(
            data.get("outputs"), tasks, outputs, f"{where}.outputs"
        )
        return Dag({name: tasks[name] for name in order}, parameters, artifacts)

    def _task(
        self, name: str, value: Json, inputs: Inputs, siblings: Mapping[str, Json], where: str
    ) -> Task:
        _name(name, where.rpartition(".")[0])
        data = mapping(
            value,
            where,
            (
                "taskInfo",
                "inputs",
                "dependentTasks",
                "cachingOptions",
                "componentRef",
                "triggerPolicy",
                "artifactIterator",
                "parameterIterator",
                "retryPolicy",
                "iteratorPolicy",
            ),
        )
        _refuse_control_flow(data, where)
        # Nothing is cached yet: the options are the SDK's defaults, so they are accepted and
        # every task runs.
        caching = f"{where}.cachingOptions"
        mapping(data.get("cachingOptions"), caching, ("enableCache", "cacheKey"))
        component = self._components[self._reference(data, where)]
        given = mapping(data.get("inputs"), f"{where}.inputs", ("parameters", "artifacts"))
        upstream: dict[str, None] = {}
        for index, each in enumerate(
            list_of(data.get("dependentTasks"), f"{where}.dependentTasks")
        ):
            needed = string(each, f"{where}.dependentTasks[{index}]", required=True)
            if needed not in siblings:
                raise SpecError(f"{where}.dependentTasks", f"there is no task {needed[:80]!r}")
            upstream[needed] = None
        parameters: dict[str, ParameterSource] = {}
        place = f"{where}.inputs.parameters"
        for key, each in mapping(given.get("parameters"), place).items():
            spot = f"{place}.{key[:80]}"
            source = self._parameter_source(each, inputs, siblings, spot)
            parameters[_name(key, place)] = source
            self._match_parameter(
                source, component.inputs.parameters.get(key), inputs, siblings, spot
            )
        artifacts: dict[str, ArtifactSource] = {}
        place = f"{where}.inputs.artifacts"
        for key, each in mapping(given.get("artifacts"), place).items():
            spot = f"{place}.{key[:80]}"
            artifacts[_name(key, place)] = self._artifact_source(
                each, component.inputs.artifacts.get(key), inputs, siblings, spot
            )
        settings: tuple[ParameterSource, ...] = ()
        if isinstance(component.body, Container):
            settings = tuple(component.body.kubernetes.sources())
            for setting in settings:
                self._check_setting(setting, inputs, siblings, where)
        for source in (*parameters.values(), *artifacts.values(), *settings):
            if isinstance(source, TaskOutput):
                upstream[source.task] = None
        _check_required(component, parameters, artifacts, where)
        for text in _strings(component.body, parameters):
            _check_placeholders(text, component, parameters, artifacts, where)
        info = mapping(data.get("taskInfo"), f"{where}.taskInfo", ("name",))
        return Task(
            name=name,
            display_name=string(info.get("name"), f"{where}.taskInfo.name") or name,
            component=component.name,
            parameters=parameters,
            artifacts=artifacts,
            upstream=tuple(upstream),
        )

    def _check_setting(
        self, source: ParameterSource, inputs: Inputs, siblings: Mapping[str, Json], where: str
    ) -> None:
        """See that a setting of the platform spec comes from something that there is."""
        where = f"{where} (its platform spec)"
        if isinstance(source, DagInput) and source.name not in inputs.parameters:
            raise SpecError(where, f"the DAG has no input parameter {source.name[:80]!r}")
        if isinstance(source, TaskOutput) and (
            source.key not in self._outputs_of(source.task, siblings, where).parameters
        ):
            raise SpecError(
                where, f"the task {source.task!r} has no output parameter {source.key[:80]!r}"
            )

    def _outputs_of(self, task: str, siblings: Mapping[str, Json], where: str) -> Outputs:
        if task not in siblings:
            raise SpecError(where, f"there is no task {task[:80]!r}")
        spot = f"{where.partition('.tasks.')[0]}.tasks.{task[:80]}"
        return self._components[self._reference(mapping(siblings[task], spot), spot)].outputs

    def _parameter_source(
        self, value: Json, inputs: Inputs, siblings: Mapping[str, Json], where: str
    ) -> ParameterSource:
        data = mapping(
            value,
            where,
            (
                "taskOutputParameter",
                "runtimeValue",
                "componentInputParameter",
                "taskFinalStatus",
                "parameterExpressionSelector",
            ),
        )
        if "taskFinalStatus" in data:
            raise NotSupportedError(where, _UNBUILT_TYPES["TASK_FINAL_STATUS"])
        if data.get("parameterExpressionSelector"):
            raise NotSupportedError(
                where, "a part of a parameter (parameterExpressionSelector, a loop item's field)"
            )
        if "componentInputParameter" in data:
            name = string(data["componentInputParameter"], where, required=True)
            if name not in inputs.parameters:
                raise SpecError(where, f"the DAG has no input parameter {name[:80]!r}")
            return DagInput(name)
        if "taskOutputParameter" in data:
            output = mapping(
                data["taskOutputParameter"], where, ("producerTask", "outputParameterKey")
            )
            task = string(output.get("producerTask"), f"{where}.producerTask", required=True)
            key = string(
                output.get("outputParameterKey"), f"{where}.outputParameterKey", required=True
            )
            if key not in self._outputs_of(task, siblings, where).parameters:
                raise SpecError(where, f"the task {task!r} has no output parameter {key[:80]!r}")
            return TaskOutput(task, key)
        if "runtimeValue" in data:
            return Constant(_constant(data["runtimeValue"], where))
        raise SpecError(where, "the input has no source")

    def _match_parameter(
        self,
        source: ParameterSource,
        declared: ParameterInput | None,
        inputs: Inputs,
        siblings: Mapping[str, Json],
        where: str,
    ) -> None:
        if declared is None:
            return
        if isinstance(source, Constant):
            # A value with placeholders is checked when they are resolved.
            if not (isinstance(source.value, str) and "{{$" in source.value) and (
                source.value is not None
            ):
                values.check(declared, source.value, where)
            return
        if isinstance(source, DagInput):
            kind = inputs.parameters[source.name].type
            origin = f"the DAG's input {source.name!r}"
        else:
            kind = self._outputs_of(source.task, siblings, where).parameters[source.key]
            origin = f"the output {source.key!r} of the task {source.task!r}"
        if kind is not declared.type and {kind, declared.type} != {
            ParameterType.INTEGER,
            ParameterType.DOUBLE,
        }:
            raise SpecError(where, f"{origin} is {kind}, but the component takes {declared.type}")

    def _artifact_source(
        self,
        value: Json,
        declared: ArtifactInput | None,
        inputs: Inputs,
        siblings: Mapping[str, Json],
        where: str,
    ) -> ArtifactSource:
        data = mapping(value, where, ("taskOutputArtifact", "componentInputArtifact"))
        source: ArtifactSource
        if "componentInputArtifact" in data:
            name = string(data["componentInputArtifact"], where, required=True)
            if name not in inputs.artifacts:
                raise SpecError(where, f"the DAG has no input artifact {name[:80]!r}")
            source, is_list = DagInput(name), inputs.artifacts[name].is_list
        elif "taskOutputArtifact" in data:
            output = mapping(
                data["taskOutputArtifact"], where, ("producerTask", "outputArtifactKey")
            )
            task = string(output.get("producerTask"), f"{where}.producerTask", required=True)
            key = string(
                output.get("outputArtifactKey"), f"{where}.outputArtifactKey", required=True
            )
            produced = self._outputs_of(task, siblings, where).artifacts.get(key)
            if produced is None:
                raise SpecError(where, f"the task {task!r} has no output artifact {key[:80]!r}")
            source, is_list = TaskOutput(task, key), produced.is_list
        else:
            raise SpecError(where, "the input has no source")
        # Schema titles are not compared: the SDK does, unless its user told it not to.
        if declared is not None and declared.is_list is not is_list:
            given, wanted = ("a list", "one") if is_list else ("one", "a list")
            raise SpecError(
                where, f"the source gives {given} of artifacts, the component takes {wanted}"
            )
        return source

    def _dag_outputs(
        self, value: Json, tasks: Mapping[str, Task], outputs: Outputs, where: str
    ) -> tuple[dict[str, TaskOutput], dict[str, TaskOutput]]:
        data = mapping(value, where, ("artifacts", "parameters"))
        parameters: dict[str, TaskOutput] = {}
        for name, each in mapping(data.get("parameters"), f"{where}.parameters").items():
            spot = f"{where}.parameters.{name[:80]}"
            selector = mapping(each, spot, ("valueFromParameter", "valueFromOneof"))
            if "valueFromOneof" in selector:
                raise NotSupportedError(spot, "one of several outputs (dsl.OneOf)")
            source = self._selector(
                selector.get("valueFromParameter"), "outputParameterKey", tasks, spot
            )
            produced = self._components[tasks[source.task].component].outputs.parameters
            if source.key not in produced:
                raise SpecError(
                    spot, f"the task {source.task!r} has no output parameter {source.key!r}"
                )
            declared = outputs.parameters.get(name)
            if declared is None:
                raise SpecError(spot, "the component declares no such output parameter")
            if declared is ParameterType.LIST is not produced[source.key]:
                raise NotSupportedError(spot, "the collected outputs of a loop (dsl.Collected)")
            if declared is not produced[source.key] and {declared, produced[source.key]} != {
                ParameterType.INTEGER,
                ParameterType.DOUBLE,
            }:
                raise SpecError(
                    spot, f"the output is {produced[source.key]}, declared is {declared}"
                )
            parameters[name] = source
        artifacts: dict[str, TaskOutput] = {}
        for name, each in mapping(data.get("artifacts"), f"{where}.artifacts").items():
            spot = f"{where}.artifacts.{name[:80]}"
            selectors = list_of(
                mapping(each, spot, ("artifactSelectors",)).get("artifactSelectors"), spot
            )
            if len(selectors) > 1:
                raise NotSupportedError(spot, "one of several outputs (dsl.OneOf)")
            if not selectors:
                raise SpecError(spot, "the output has no source")
            source = self._selector(selectors[0], "outputArtifactKey", tasks, spot)
            produced_artifact = self._components[
                tasks[source.task].component
            ].outputs.artifacts.get(source.key)
            if produced_artifact is None:
                raise SpecError(
                    spot, f"the task {source.task!r} has no output artifact {source.key!r}"
                )
            declared_artifact = outputs.artifacts.get(name)
            if declared_artifact is None:
                raise SpecError(spot, "the component declares no such output artifact")
            if declared_artifact.is_list and not produced_artifact.is_list:
                raise NotSupportedError(spot, "the collected outputs of a loop (dsl.Collected)")
            artifacts[name] = source
        return parameters, artifacts

    @staticmethod
    def _selector(value: Json, key: str, tasks: Mapping[str, Task], where: str) -> TaskOutput:
        data = mapping(value, where, ("producerSubtask", key))
        task = string(data.get("producerSubtask"), f"{where}.producerSubtask", required=True)
        if task not in tasks:
            raise SpecError(where, f"there is no task {task[:80]!r}")
        return TaskOutput(task, string(data.get(key), f"{where}.{key}", required=True))


def _refuse_control_flow(task: Mapping[str, Json], where: str) -> None:
    policy = mapping(
        task.get("triggerPolicy"), f"{where}.triggerPolicy", ("condition", "strategy")
    )
    if policy.get("condition"):
        raise NotSupportedError(
            where, "a condition (triggerPolicy.condition: dsl.If, dsl.Condition)"
        )
    strategy = policy.get("strategy")
    if strategy == "ALL_UPSTREAM_TASKS_COMPLETED":
        raise NotSupportedError(
            where,
            "an exit handler (ALL_UPSTREAM_TASKS_COMPLETED: dsl.ExitHandler, "
            "ignore_upstream_failure)",
        )
    if strategy not in (None, "", "TRIGGER_STRATEGY_UNSPECIFIED", "ALL_UPSTREAM_TASKS_SUCCEEDED"):
        raise SpecError(
            f"{where}.triggerPolicy.strategy", f"unknown strategy {str(strategy)[:80]!r}"
        )
    for field in ("parameterIterator", "artifactIterator"):
        if task.get(field):
            raise NotSupportedError(where, f"a loop ({field}: dsl.ParallelFor)")
    if task.get("iteratorPolicy"):
        raise NotSupportedError(where, "a loop's parallelism (iteratorPolicy: dsl.ParallelFor)")
    retry = mapping(
        task.get("retryPolicy"),
        f"{where}.retryPolicy",
        ("maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration"),
    )
    if retry.get("maxRetryCount"):
        raise NotSupportedError(where, "retries (retryPolicy: set_retry)")


def _inputs(value: Json, where: str) -> Inputs:
    data = mapping(value, where, ("artifacts", "parameters"))
    parameters: dict[str, ParameterInput] = {}
    for name, each in mapping(data.get("parameters"), f"{where}.parameters").items():
        spot = f"{where}.parameters.{_name(name, f'{where}.parameters')}"
        spec = mapping(
            each,
            spot,
            ("type", "parameterType", "defaultValue", "isOptional", "description", "literals"),
        )
        declared = ParameterInput(
            type=_parameter_type(spec, spot),
            optional=_flag(spec.get("isOptional"), spot) or spec.get("defaultValue") is not None,
            literals=tuple(list_of(spec.get("literals"), f"{spot}.literals")),
            description=string(spec.get("description"), f"{spot}.description"),
        )
        default: Any = MISSING
        if spec.get("defaultValue") is not None:
            default = values.check(declared, spec["defaultValue"], f"{spot}.defaultValue")
        parameters[name] = ParameterInput(
            declared.type, declared.optional, default, declared.literals, declared.description
        )
    artifacts: dict[str, ArtifactInput] = {}
    for name, each in mapping(data.get("artifacts"), f"{where}.artifacts").items():
        spot = f"{where}.artifacts.{_name(name, f'{where}.artifacts')}"
        if name in parameters:
            raise SpecError(spot, "an input parameter has the same name")
        spec = mapping(each, spot, ("artifactType", "isArtifactList", "isOptional", "description"))
        artifacts[name] = ArtifactInput(
            type=_artifact_type(spec.get("artifactType"), spot),
            is_list=_flag(spec.get("isArtifactList"), spot),
            optional=_flag(spec.get("isOptional"), spot),
        )
    return Inputs(parameters, artifacts)


def _outputs(value: Json, where: str) -> Outputs:
    data = mapping(value, where, ("artifacts", "parameters"))
    parameters: dict[str, ParameterType] = {}
    for name, each in mapping(data.get("parameters"), f"{where}.parameters").items():
        spot = f"{where}.parameters.{_name(name, f'{where}.parameters')}"
        spec = mapping(each, spot, ("type", "parameterType", "description"))
        parameters[name] = _parameter_type(spec, spot)
    artifacts: dict[str, ArtifactOutput] = {}
    for name, each in mapping(data.get("artifacts"), f"{where}.artifacts").items():
        spot = f"{where}.artifacts.{_name(name, f'{where}.artifacts')}"
        if name in parameters:
            raise SpecError(spot, "an output parameter has the same name")
        spec = mapping(
            each,
            spot,
            (
                "artifactType",
                "properties",
                "customProperties",
                "metadata",
                "isArtifactList",
                "description",
            ),
        )
        artifacts[name] = ArtifactOutput(
            type=_artifact_type(spec.get("artifactType"), spot),
            is_list=_flag(spec.get("isArtifactList"), spot),
            metadata=dict(mapping(spec.get("metadata"), f"{spot}.metadata")),
        )
    return Outputs(parameters, artifacts)


def _flag(value: Json, where: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise SpecError(where, f"expected a boolean, got {type(value).__name__}")
    return value


def _parameter_type(spec: Mapping[str, Json], where: str) -> ParameterType:
    name = string(spec.get("parameterType"), f"{where}.parameterType")
    if name in _UNBUILT_TYPES:
        raise NotSupportedError(where, _UNBUILT_TYPES[name])
    if name:
        try:
            return ParameterType(name)
        except ValueError:
            raise SpecError(where, f"unknown parameterType {name[:80]!r}") from None
    legacy = string(spec.get("type"), f"{where}.type")
    if legacy in _LEGACY_TYPES:
        return _LEGACY_TYPES[legacy]
    raise SpecError(where, "a parameterType is needed")


def _artifact_type(value: Json, where: str) -> ArtifactType:
    spec = mapping(
        value,
        f"{where}.artifactType",
        ("schemaTitle", "schemaUri", "instanceSchema", "schemaVersion"),
    )
    title = string(spec.get("schemaTitle"), f"{where}.artifactType.schemaTitle")
    version = string(spec.get("schemaVersion"), f"{where}.artifactType.schemaVersion")
    return ArtifactType(title or "system.Artifact", version or "0.0.1")


def _constant(value: Json, where: str) -> Json:
    data = mapping(value, where, ("constant", "constantValue", "runtimeParameter"))
    if "runtimeParameter" in data:
        raise NotSupportedError(where, "a runtime parameter (runtimeValue.runtimeParameter)")
    if "constant" in data:
        return data["constant"]
    legacy = mapping(data.get("constantValue"), where, ("intValue", "doubleValue", "stringValue"))
    if len(legacy) != 1:
        raise SpecError(where, "a constant is needed")
    kind, found = next(iter(legacy.items()))
    # Protobuf writes 64-bit integers as strings in JSON.
    if kind == "intValue" and isinstance(found, str):
        if not re.fullmatch(r"-?[0-9]{1,19}", found):
            raise SpecError(where, f"{found[:80]!r} is not an integer")
        return int(found)
    return found


def _executor(value: Json, kubernetes: KubernetesSettings, where: str) -> Container:
    data = mapping(value, where, ("container", "importer", "resolver", "customJob"))
    if "importer" in data:
        raise NotSupportedError(where, "an importer (dsl.importer)")
    if "resolver" in data:
        raise NotSupportedError(where, "a resolver")
    if "customJob" in data:
        raise NotSupportedError(where, "a custom job of Vertex AI (customJob)")
    container = mapping(
        data.get("container"),
        f"{where}.container",
        ("image", "command", "args", "lifecycle", "resources", "env"),
    )
    if container.get("lifecycle"):
        raise NotSupportedError(where, "a container's lifecycle hooks (lifecycle)")
    env: dict[str, str] = {}
    for index, each in enumerate(list_of(container.get("env"), f"{where}.container.env")):
        spot = f"{where}.container.env[{index}]"
        pair = mapping(each, spot, ("name", "value"))
        name = string(pair.get("name"), f"{spot}.name", required=True)
        if not _ENV_NAME.fullmatch(name):
            raise SpecError(spot, f"{name[:80]!r} is not the name of an environment variable")
        if name in env:
            raise SpecError(spot, f"the variable {name!r} is set twice")
        env[name] = string(pair.get("value"), f"{spot}.value")
    command = _strings_of(container.get("command"), f"{where}.container.command")
    args = _strings_of(container.get("args"), f"{where}.container.args")
    image = string(container.get("image"), f"{where}.container.image", required=True)
    if image.startswith("argostub/"):
        raise NotSupportedError(
            where, "making or deleting a claim (kfp-kubernetes: CreatePVC, DeletePVC)"
        )
    if not command:
        raise NotSupportedError(
            where, "a container without a command (the image's own entrypoint)"
        )
    return Container(
        image=image,
        command=command,
        args=args,
        env=env,
        resources=_resources(container.get("resources"), f"{where}.container.resources"),
        kubernetes=kubernetes,
    )


def _strings_of(value: Json, where: str) -> tuple[str, ...]:
    return tuple(
        string(each, f"{where}[{index}]") for index, each in enumerate(list_of(value, where))
    )


def _resources(value: Json, where: str) -> Resources:
    data = mapping(
        value,
        where,
        (
            "cpuLimit",
            "memoryLimit",
            "cpuRequest",
            "memoryRequest",
            "resourceCpuLimit",
            "resourceMemoryLimit",
            "resourceCpuRequest",
            "resourceMemoryRequest",
            "accelerator",
        ),
    )

    def quantity(name: str, legacy: str, unit: str) -> str:
        text = string(data.get(name), f"{where}.{name}")
        if text:
            return text
        number = data.get(legacy)
        if number is None:
            return ""
        if not isinstance(number, int | float) or isinstance(number, bool) or number < 0:
            raise SpecError(f"{where}.{legacy}", f"expected a number, got {str(number)[:80]!r}")
        # The old fields have cores and gigabytes (10^9 bytes) as numbers.
        return f"{number:g}{unit}" if number else ""

    return Resources(
        cpu_request=quantity("resourceCpuRequest", "cpuRequest", ""),
        cpu_limit=quantity("resourceCpuLimit", "cpuLimit", ""),
        memory_request=quantity("resourceMemoryRequest", "memoryRequest", "G"),
        memory_limit=quantity("resourceMemoryLimit", "memoryLimit", "G"),
        accelerator=_accelerator(data.get("accelerator"), f"{where}.accelerator"),
    )


def _accelerator(value: Json, where: str) -> Accelerator:
    data = mapping(value, where, ("type", "count", "resourceType", "resourceCount"))
    kind = string(data.get("resourceType") or data.get("type"), f"{where}.resourceType")
    count = data.get("resourceCount") or data.get("count")
    if isinstance(count, int | float) and not isinstance(count, bool) and count == int(count):
        # The old field is a number; JSON's writers may make it one with a fraction.
        count = str(int(count))
    text = string(count, f"{where}.resourceCount")
    if kind and "{{$" not in kind:
        accelerators.check_type(kind, where)
    if text and "{{$" not in text:
        accelerators.count(text, where)
    return Accelerator(kind, text)


def _check_required(
    component: Component,
    parameters: Mapping[str, ParameterSource],
    artifacts: Mapping[str, ArtifactSource],
    where: str,
) -> None:
    for name, parameter in component.inputs.parameters.items():
        if name not in parameters and not parameter.optional:
            raise SpecError(
                f"{where}.inputs.parameters", f"the required input {name!r} is missing"
            )
    for name, artifact in component.inputs.artifacts.items():
        if name not in artifacts and not artifact.optional:
            raise SpecError(f"{where}.inputs.artifacts", f"the required input {name!r} is missing")


def _strings(body: Container | Dag, parameters: Mapping[str, ParameterSource]) -> Iterator[str]:
    for source in parameters.values():
        if isinstance(source, Constant):
            yield from _nested_strings(source.value)
    if isinstance(body, Container):
        yield body.image
        yield from body.env.values()
        resources = body.resources
        yield resources.cpu_request
        yield resources.cpu_limit
        yield resources.memory_request
        yield resources.memory_limit
        yield resources.accelerator.type
        yield resources.accelerator.count
        for argument in (*body.command, *body.args):
            found = placeholders.structure(argument)
            if found is None:
                yield argument
            else:
                yield from placeholders.check_structure(found)


def _nested_strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _nested_strings(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _nested_strings(each)


def _check_placeholders(
    text: str,
    component: Component,
    parameters: Mapping[str, ParameterSource],
    artifacts: Mapping[str, ArtifactSource],
    where: str,
) -> None:
    if "{{$" not in text:
        return
    if "{{$" + placeholders.WORKSPACE + "}}" in text:
        raise NotSupportedError(where, "a workspace (dsl.WORKSPACE_PATH_PLACEHOLDER)")
    known: Mapping[tuple[str, str], set[str]] = {
        ("inputs", "parameters"): {*component.inputs.parameters, *parameters},
        ("inputs", "artifacts"): {*component.inputs.artifacts, *artifacts},
        ("outputs", "parameters"): set(component.outputs.parameters),
        ("outputs", "artifacts"): set(component.outputs.artifacts),
    }
    try:
        for direction, kind, name in placeholders.references(text):
            if name not in known[direction, kind]:
                raise SpecError(
                    where,
                    f"a placeholder asks for {direction}.{kind} {name[:80]!r}: there is none",
                )
    except SpecError as error:
        raise SpecError(where, error.problem) from error
