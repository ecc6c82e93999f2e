"""Where the outputs of a DAG come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .errors import SpecError
from .fields import list_of, mapping, string
from .model import Json, Outputs, ParameterType, TaskOutput
from .tasks import Scope, fits


@dataclass(frozen=True, slots=True)
class Selected:
    """The sources of a DAG's outputs."""

    parameters: dict[str, tuple[TaskOutput, ...]] = field(default_factory=dict)
    artifacts: dict[str, tuple[TaskOutput, ...]] = field(default_factory=dict)


def read(value: Json, scope: Scope, outputs: Outputs, where: str) -> Selected:
    """Read a DAG's `outputs`.

    Args:
        value: as it is in the document.
        scope: what the DAG has.
        outputs: what the DAG's component declares.
        where: the place in the document.

    Raises:
        SpecError: a source is none, or gives something else than what is declared.
    """
    data = mapping(value, where, ("artifacts", "parameters"))
    found = Selected()
    for name, each in mapping(data.get("parameters"), f"{where}.parameters").items():
        spot = f"{where}.parameters.{name[:80]}"
        found.parameters[name] = _parameter(name, each, scope, outputs, spot)
    for name, each in mapping(data.get("artifacts"), f"{where}.artifacts").items():
        spot = f"{where}.artifacts.{name[:80]}"
        found.artifacts[name] = _artifact(name, each, scope, outputs, spot)
    return found


def _parameter(
    name: str, value: Json, scope: Scope, outputs: Outputs, where: str
) -> tuple[TaskOutput, ...]:
    declared = outputs.parameters.get(name)
    if declared is None:
        raise SpecError(where, "the component declares no such output parameter")
    selector = mapping(value, where, ("valueFromParameter", "valueFromOneof"))
    if "valueFromOneof" in selector:
        where = f"{where}.valueFromOneof"
        oneof = mapping(selector["valueFromOneof"], where, ("parameterSelectors",))
        listed = list_of(oneof.get("parameterSelectors"), f"{where}.parameterSelectors")
    else:
        listed = [selector.get("valueFromParameter")]
    sources = _sources(listed, "outputParameterKey", where)
    for source in sources:
        kind = scope.parameter(source.task, source.key, where)
        # What a loop collects is declared as a list in every DAG that it passes (dsl.Collected).
        if declared is not ParameterType.LIST and not fits(kind, declared):
            raise SpecError(where, f"the output is {kind}, declared is {declared}")
    return sources


def _artifact(
    name: str, value: Json, scope: Scope, outputs: Outputs, where: str
) -> tuple[TaskOutput, ...]:
    declared = outputs.artifacts.get(name)
    if declared is None:
        raise SpecError(where, "the component declares no such output artifact")
    selectors = mapping(value, where, ("artifactSelectors",)).get("artifactSelectors")
    sources = _sources(list_of(selectors, where), "outputArtifactKey", where)
    for source in sources:
        is_list = scope.artifact(source.task, source.key, where)
        if is_list and not declared.is_list:
            raise SpecError(where, "the output is a list of artifacts, declared is one")
    return sources


def _sources(listed: Sequence[Json], key: str, where: str) -> tuple[TaskOutput, ...]:
    found = []
    for each in listed:
        data = mapping(each, where, ("producerSubtask", key))
        task = string(data.get("producerSubtask"), f"{where}.producerSubtask", required=True)
        found.append(TaskOutput(task, string(data.get(key), f"{where}.{key}", required=True)))
    if not found:
        raise SpecError(where, "the output has no source")
    return tuple(found)
