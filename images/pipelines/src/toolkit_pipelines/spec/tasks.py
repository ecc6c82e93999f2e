"""Tasks of a DAG: what they run, and where their inputs come from."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Final

from . import conditions, placeholders, policies, values, workspaces
from .errors import NotSupportedError, SpecError
from .fields import list_of, mapping, string
from .interfaces import valid_name
from .model import (
    LOOP_ITEM,
    ArtifactInput,
    ArtifactSource,
    Component,
    Constant,
    Container,
    DagInput,
    FinalStatus,
    Importer,
    Inputs,
    Iterator,
    Json,
    ParameterInput,
    ParameterSource,
    ParameterType,
    Task,
    TaskOutput,
)

_NUMBERS: Final = frozenset({ParameterType.INTEGER, ParameterType.DOUBLE})


def fits(given: ParameterType, declared: ParameterType) -> bool:
    """Tell whether a value of one type may go where the other is declared."""
    return (
        given is declared
        or {given, declared} <= _NUMBERS
        or (given, declared) == (ParameterType.FINAL_STATUS, ParameterType.STRUCT)
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """What a task or an output of a DAG may refer to.

    Attributes:
        inputs: the DAG's own.
        siblings: the components that the DAG's tasks run, by task.
        workspace: whether runs have a workspace.
    """

    inputs: Inputs
    siblings: Mapping[str, Component]
    workspace: bool = False

    def input(self, name: str, where: str) -> ParameterInput:
        """Give an input parameter of the DAG; SpecError if it has no such."""
        found = self.inputs.parameters.get(name)
        if found is None:
            raise SpecError(where, f"the DAG has no input parameter {name[:80]!r}")
        return found

    def component(self, task: str, where: str) -> Component:
        """Give what a task runs; SpecError if there is no such task."""
        found = self.siblings.get(task)
        if found is None:
            raise SpecError(where, f"there is no task {task[:80]!r}")
        return found

    def parameter(self, task: str, key: str, where: str) -> ParameterType:
        """Give the type of a task's output; SpecError if there is no such task or output."""
        found = self.component(task, where).outputs.parameters.get(key)
        if found is None:
            raise SpecError(where, f"the task {task!r} has no output parameter {key[:80]!r}")
        return found

    def artifact(self, task: str, key: str, where: str) -> bool:
        """Tell whether a task's output is a list of artifacts; SpecError if there is none."""
        found = self.component(task, where).outputs.artifacts.get(key)
        if found is None:
            raise SpecError(where, f"the task {task!r} has no output artifact {key[:80]!r}")
        return found.is_list


def read(name: str, value: Json, scope: Scope, where: str) -> Task:
    """Read one task.

    Raises:
        SpecError: it cannot be run; the message names the place, the problem and what to do.
        NotSupportedError: it uses a construct that is not built yet.
    """
    valid_name(name, where.rpartition(".")[0])
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
    component = scope.siblings[name]
    given = mapping(data.get("inputs"), f"{where}.inputs", ("parameters", "artifacts"))
    parts = _parts(data, given, where)
    unset = _leftovers(given, scope, where) - parts.keys()
    parameters, artifacts = _given(given, component, scope, {*parts, *unset}, f"{where}.inputs")
    settings: tuple[ParameterSource, ...] = ()
    if isinstance(component.body, Container):
        settings = tuple(component.body.kubernetes.sources())
        for setting in settings:
            _check_setting(setting, scope, where)
    upstream = dict.fromkeys(_dependent(data.get("dependentTasks"), scope, where))
    for source in (*parameters.values(), *artifacts.values(), *settings):
        if isinstance(source, TaskOutput | FinalStatus):
            upstream[source.task] = None
    iterator = policies.iterator(data, component, parameters, artifacts, parts, where)
    absent = {*parts, *unset, *((iterator.item,) if iterator is not None else ())}
    _check_required(component, parameters, artifacts, absent, where)
    for text in _strings(component.body, parameters, iterator):
        if not scope.workspace and "{{$" + placeholders.WORKSPACE + "}}" in text:
            raise SpecError(where, f"dsl.WORKSPACE_PATH_PLACEHOLDER: {workspaces.NONE}")
        _check_placeholders(text, component, parameters, artifacts, where)
    policy = mapping(
        data.get("triggerPolicy"), f"{where}.triggerPolicy", ("condition", "strategy")
    )
    info = mapping(data.get("taskInfo"), f"{where}.taskInfo", ("name",))
    return Task(
        name=name,
        display_name=string(info.get("name"), f"{where}.taskInfo.name") or name,
        component=component.name,
        parameters=parameters,
        artifacts=artifacts,
        upstream=tuple(upstream),
        closing=policies.strategy(policy, f"{where}.triggerPolicy.strategy"),
        condition=policies.condition(policy, parameters, f"{where}.triggerPolicy.condition"),
        iterator=iterator,
        retry=policies.retry(
            data.get("retryPolicy"), component, f"{where}.retryPolicy", loop=iterator is not None
        ),
        caching=policies.caching(data.get("cachingOptions"), f"{where}.cachingOptions"),
        unset=frozenset(unset),
    )


def _dependent(value: Json, scope: Scope, where: str) -> Generator[str]:
    for index, each in enumerate(list_of(value, f"{where}.dependentTasks")):
        needed = string(each, f"{where}.dependentTasks[{index}]", required=True)
        scope.component(needed, f"{where}.dependentTasks")
        yield needed


# -- inputs


def _parts(data: Mapping[str, Json], given: Mapping[str, Json], where: str) -> dict[str, str]:
    """Give the inputs that are parts of a loop's item, each with the part's key.

    The compiler may name a source for them in the DAG around the loop, where there is no item yet.
    """
    loop = mapping(data.get("parameterIterator"), f"{where}.parameterIterator")
    item = string(loop.get("itemInput"), f"{where}.parameterIterator.itemInput")
    listed = mapping(given.get("parameters"), f"{where}.inputs.parameters")
    prefix = f"{item}-subvar-"
    return {key: key[len(prefix) :] for key in listed if item and key.startswith(prefix)}


def _leftovers(given: Mapping[str, Json], scope: Scope, where: str) -> set[str]:
    """Give the inputs that the compiler hands on to a loop further in, from where nothing is."""
    place = f"{where}.inputs.parameters"
    found: set[str] = set()
    for key, each in mapping(given.get("parameters"), place).items():
        spot = f"{place}.{key[:80]}"
        source = mapping(each, spot)
        output = mapping(source.get("taskOutputParameter"), spot)
        task = scope.siblings.get(str(output.get("producerTask")))
        if "componentInputParameter" in source:
            name, known = str(source["componentInputParameter"]), scope.inputs.parameters.keys()
        elif task is not None:
            name, known = str(output.get("outputParameterKey")), task.outputs.parameters.keys()
        else:
            continue
        if LOOP_ITEM in key and LOOP_ITEM in name and name not in known:
            found.add(key)
    return found


def _given(
    given: Mapping[str, Json],
    component: Component,
    scope: Scope,
    passed_over: set[str],
    where: str,
) -> tuple[dict[str, ParameterSource], dict[str, ArtifactSource]]:
    parameters: dict[str, ParameterSource] = {}
    place = f"{where}.parameters"
    for key, each in mapping(given.get("parameters"), place).items():
        if key in passed_over:
            continue
        spot = f"{place}.{key[:80]}"
        source = _parameter_source(each, scope, spot)
        taken = component.inputs.parameters.get(key)
        if taken is not None and taken.type is ParameterType.TASK_CONFIG:
            raise SpecError(spot, "the service fills in a task's configuration (dsl.TaskConfig)")
        parameters[valid_name(key, place)] = source
        declared = component.inputs.parameters.get(key)
        if declared is not None:
            _match_parameter(source, declared, scope, spot)
    artifacts: dict[str, ArtifactSource] = {}
    place = f"{where}.artifacts"
    for key, each in mapping(given.get("artifacts"), place).items():
        artifacts[valid_name(key, place)] = _artifact_source(
            each, component.inputs.artifacts.get(key), scope, f"{place}.{key[:80]}"
        )
    return parameters, artifacts


def _parameter_source(value: Json, scope: Scope, where: str) -> ParameterSource:
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
    part = string(data.get("parameterExpressionSelector"), f"{where}.parameterExpressionSelector")
    if part:
        conditions.check_part(part, f"{where}.parameterExpressionSelector")
    if "taskFinalStatus" in data:
        status = mapping(data["taskFinalStatus"], f"{where}.taskFinalStatus", ("producerTask",))
        spot = f"{where}.taskFinalStatus.producerTask"
        task = string(status.get("producerTask"), spot, required=True)
        scope.component(task, spot)
        return FinalStatus(task)
    if "componentInputParameter" in data:
        name = string(data["componentInputParameter"], where, required=True)
        scope.input(name, where)
        return DagInput(name, part)
    if "taskOutputParameter" in data:
        task, key = _output(data["taskOutputParameter"], "outputParameterKey", where)
        scope.parameter(task, key, where)
        return TaskOutput(task, key, part)
    if "runtimeValue" in data:
        if part:
            raise SpecError(where, "a constant has no parameterExpressionSelector")
        return Constant(_constant(data["runtimeValue"], where))
    raise SpecError(where, "the input has no source")


def _output(value: Json, key: str, where: str) -> tuple[str, str]:
    output = mapping(value, where, ("producerTask", key))
    return (
        string(output.get("producerTask"), f"{where}.producerTask", required=True),
        string(output.get(key), f"{where}.{key}", required=True),
    )


def _match_parameter(
    source: ParameterSource, declared: ParameterInput, scope: Scope, where: str
) -> None:
    match source:
        case Constant(value):
            # A value with placeholders is checked when they are resolved.
            if not (isinstance(value, str) and "{{$" in value) and value is not None:
                values.check(declared, value, where)
            return
        case FinalStatus(task):
            kind, origin = ParameterType.FINAL_STATUS, f"the final status of the task {task!r}"
        case DagInput(name, part):
            kind = scope.inputs.parameters[name].type
            if part or (LOOP_ITEM in name and kind is ParameterType.STRING):
                return
            origin = f"the DAG's input {name!r}"
        case TaskOutput(task, key, part):
            if part:
                return
            kind = scope.parameter(task, key, where)
            origin = f"the output {key!r} of the task {task!r}"
    if not fits(kind, declared.type):
        raise SpecError(where, f"{origin} is {kind}, but the component takes {declared.type}")


def _artifact_source(
    value: Json, declared: ArtifactInput | None, scope: Scope, where: str
) -> ArtifactSource:
    data = mapping(value, where, ("taskOutputArtifact", "componentInputArtifact"))
    source: ArtifactSource
    if "componentInputArtifact" in data:
        name = string(data["componentInputArtifact"], where, required=True)
        if name not in scope.inputs.artifacts:
            raise SpecError(where, f"the DAG has no input artifact {name[:80]!r}")
        source, is_list = DagInput(name), scope.inputs.artifacts[name].is_list
    elif "taskOutputArtifact" in data:
        task, key = _output(data["taskOutputArtifact"], "outputArtifactKey", where)
        source, is_list = TaskOutput(task, key), scope.artifact(task, key, where)
    else:
        raise SpecError(where, "the input has no source")
    # Schema titles are not compared: the SDK does, unless its user told it not to.
    if declared is not None and declared.is_list is not is_list:
        given, wanted = ("a list", "one") if is_list else ("one", "a list")
        raise SpecError(
            where, f"the source gives {given} of artifacts, the component takes {wanted}"
        )
    return source


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


def _check_setting(source: ParameterSource, scope: Scope, where: str) -> None:
    """See that a setting of the platform spec comes from something that there is."""
    where = f"{where} (its platform spec)"
    if isinstance(source, DagInput):
        scope.input(source.name, where)
    if isinstance(source, TaskOutput):
        scope.parameter(source.task, source.key, where)


def _check_required(
    component: Component,
    parameters: Mapping[str, ParameterSource],
    artifacts: Mapping[str, ArtifactSource],
    absent: set[str],
    where: str,
) -> None:
    for name, parameter in component.inputs.parameters.items():
        if name not in parameters and not parameter.optional and name not in absent:
            raise SpecError(
                f"{where}.inputs.parameters", f"the required input {name!r} is missing"
            )
    for name, artifact in component.inputs.artifacts.items():
        if name not in artifacts and not artifact.optional and name not in absent:
            raise SpecError(f"{where}.inputs.artifacts", f"the required input {name!r} is missing")


# -- placeholders


def _strings(
    body: object, parameters: Mapping[str, ParameterSource], iterator: Iterator | None
) -> Generator[str]:
    for source in parameters.values():
        if isinstance(source, Constant):
            yield from _nested_strings(source.value)
    if iterator is not None:
        yield from _nested_strings(list(iterator.items or ()))
    if isinstance(body, Importer):
        yield body.uri
        yield from _nested_strings(dict(body.metadata))
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


def _nested_strings(value: Json) -> Generator[str]:
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
