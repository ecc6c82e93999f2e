"""What components take and give: their inputs and outputs, by name and type."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Final

from . import values
from .errors import NotSupportedError, SpecError
from .fields import entries, flag, list_of, mapping, string
from .model import (
    ArtifactInput,
    ArtifactOutput,
    ArtifactType,
    Inputs,
    Json,
    Outputs,
    ParameterInput,
    ParameterType,
    TaskConfigField,
)

# Names become file and folder names; a pod's log shows them.
_NAME: Final = re.compile(r"[^\W_][\w.\- ]*|_[\w.\- ]*")
_LEGACY_TYPES: Final = {
    "INT": ParameterType.INTEGER,
    "DOUBLE": ParameterType.DOUBLE,
    "STRING": ParameterType.STRING,
}


def valid_name(value: str, where: str) -> str:
    """Give a name of an input, an output, a task or a component; SpecError if it is none."""
    if len(value.encode("utf-8", "surrogatepass")) > 200 or not _NAME.fullmatch(value):
        shown = value if len(value) <= 60 else value[:57] + "..."
        raise SpecError(
            where,
            f"{shown!r} is not a name: at most 200 bytes of letters, digits, '_', '-', '.' and "
            "spaces, starting with a letter, a digit or '_'",
        )
    return value


def inputs(value: Json, where: str) -> Inputs:
    """Read `inputDefinitions`."""
    data = mapping(value, where, ("artifacts", "parameters"))
    parameters: dict[str, ParameterInput] = {}
    for name, each in mapping(data.get("parameters"), f"{where}.parameters").items():
        spot = f"{where}.parameters.{valid_name(name, f'{where}.parameters')}"
        spec = mapping(
            each,
            spot,
            ("type", "parameterType", "defaultValue", "isOptional", "description", "literals"),
        )
        declared = ParameterInput(
            type=_parameter_type(spec, spot),
            optional=flag(spec.get("isOptional"), spot) or spec.get("defaultValue") is not None,
            literals=tuple(list_of(spec.get("literals"), f"{spot}.literals")),
            description=string(spec.get("description"), f"{spot}.description"),
        )
        if spec.get("defaultValue") is not None:
            default = values.check(declared, spec["defaultValue"], f"{spot}.defaultValue")
            declared = dataclasses.replace(declared, default=default)
        parameters[name] = declared
    artifacts: dict[str, ArtifactInput] = {}
    for name, each in mapping(data.get("artifacts"), f"{where}.artifacts").items():
        spot = f"{where}.artifacts.{valid_name(name, f'{where}.artifacts')}"
        if name in parameters:
            raise SpecError(spot, "an input parameter has the same name")
        spec = mapping(each, spot, ("artifactType", "isArtifactList", "isOptional", "description"))
        artifacts[name] = ArtifactInput(
            type=_artifact_type(spec.get("artifactType"), spot),
            is_list=flag(spec.get("isArtifactList"), spot),
            optional=flag(spec.get("isOptional"), spot),
        )
    return Inputs(parameters, artifacts)


def outputs(value: Json, where: str) -> Outputs:
    """Read `outputDefinitions`."""
    data = mapping(value, where, ("artifacts", "parameters"))
    parameters: dict[str, ParameterType] = {}
    for name, each in mapping(data.get("parameters"), f"{where}.parameters").items():
        spot = f"{where}.parameters.{valid_name(name, f'{where}.parameters')}"
        spec = mapping(each, spot, ("type", "parameterType", "description"))
        parameters[name] = _parameter_type(spec, spot)
        if parameters[name] is ParameterType.TASK_CONFIG:
            raise SpecError(spot, "the configuration of a task is an input, not an output")
    artifacts: dict[str, ArtifactOutput] = {}
    for name, each in mapping(data.get("artifacts"), f"{where}.artifacts").items():
        spot = f"{where}.artifacts.{valid_name(name, f'{where}.artifacts')}"
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
            is_list=flag(spec.get("isArtifactList"), spot),
            metadata=dict(mapping(spec.get("metadata"), f"{spot}.metadata")),
        )
    return Outputs(parameters, artifacts)


def passthroughs(value: Json, where: str) -> dict[TaskConfigField, bool]:
    """Read `taskConfigPassthroughs`: each part of the configuration with `applyToTask`."""
    found: dict[TaskConfigField, bool] = {}
    for spot, entry in entries(value, where, ("field", "applyToTask")):
        name = string(entry.get("field"), f"{spot}.field", required=True)
        try:
            part = TaskConfigField(name)
        except ValueError:
            raise NotSupportedError(
                spot, f"{name[:80]!r} as part of a task's configuration (dsl.TaskConfig)"
            ) from None
        found[part] = flag(entry.get("applyToTask"), f"{spot}.applyToTask")
    return found


def _parameter_type(spec: Mapping[str, Json], where: str) -> ParameterType:
    name = string(spec.get("parameterType"), f"{where}.parameterType")
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
