"""Values of parameters: what may be given for a declared type, and what is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .errors import SpecError
from .model import MISSING, Inputs, Json, ParameterInput, ParameterType

_JSON_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a map",
    type(None): "null",
}
_WANTED = {
    ParameterType.DOUBLE: "a number",
    ParameterType.INTEGER: "an integer",
    ParameterType.STRING: "a string",
    ParameterType.BOOLEAN: "a boolean",
    ParameterType.LIST: "a list",
    ParameterType.STRUCT: "a map",
    ParameterType.FINAL_STATUS: "a final status",
    ParameterType.TASK_CONFIG: "nothing, since the service fills it in",
}

_EXACT = 2**53
"""Up to here a float stands for one integer."""


def convert(kind: ParameterType, value: Json, where: str) -> Json:
    """Give the value as its type has it.

    Integers stay integers, and a float without a fraction becomes one where an integer is
    declared, and inside lists and maps: KFP's compiler and its clients write 3.0 for 3 there.

    Raises:
        SpecError: the value is of another type, or is not a finite number.
    """
    match kind:
        case ParameterType.STRING if isinstance(value, str):
            return value
        case ParameterType.BOOLEAN if isinstance(value, bool):
            return value
        case ParameterType.INTEGER if isinstance(value, int) and not isinstance(value, bool):
            return value
        case ParameterType.INTEGER if isinstance(value, float) and value.is_integer():
            return int(value)
        case ParameterType.DOUBLE if isinstance(value, int | float) and not isinstance(
            value, bool
        ):
            if isinstance(value, float) and not math.isfinite(value):
                raise SpecError(where, f"{value} is not a finite number")
            return value
        case ParameterType.LIST if isinstance(value, list):
            return _whole(value)
        case ParameterType.STRUCT | ParameterType.FINAL_STATUS if isinstance(value, dict):
            return _whole(value)
        case _:
            found = _JSON_NAMES.get(type(value), type(value).__name__)
            raise SpecError(
                where, f"expected {_WANTED[kind]} ({kind}), got {found}: {_short(value)}"
            )


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return value


def check(declared: ParameterInput, value: Json, where: str) -> Json:
    """Give the value as the input declares it; SpecError if it is not allowed."""
    converted = convert(declared.type, value, where)
    if declared.literals and converted not in declared.literals:
        allowed = ", ".join(repr(each) for each in declared.literals)
        raise SpecError(where, f"{_short(converted)} is not one of the allowed values: {allowed}")
    return converted


def arguments(inputs: Inputs, given: Mapping[str, Json]) -> dict[str, Json]:
    """Check what a caller gives for a pipeline's inputs, and fill in defaults.

    An explicit null stands for "nothing": the default does not apply.

    Raises:
        SpecError: an unknown name, a value of the wrong type, a required input without a value.
    """
    unknown = sorted(set(given) - set(inputs.parameters))
    if unknown:
        known = ", ".join(sorted(inputs.parameters)) or "none"
        raise SpecError(
            f"parameters.{unknown[0][:80]}",
            f"the pipeline has no such input; its inputs are: {known}",
        )
    result: dict[str, Json] = {}
    for name, declared in inputs.parameters.items():
        where = f"parameters.{name}"
        if name in given and given[name] is not None:
            result[name] = check(declared, given[name], where)
        elif name in given and declared.optional:
            continue
        elif name not in given and declared.default is not MISSING:
            result[name] = declared.default
        elif not declared.optional:
            raise SpecError(where, "the pipeline requires a value for this input; none was given")
    for name, artifact in inputs.artifacts.items():
        if not artifact.optional:
            raise SpecError(
                f"artifacts.{name}",
                "the pipeline requires an artifact as input, which a run cannot be given; "
                "import it in the pipeline instead",
            )
    return result


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
