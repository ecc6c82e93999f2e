"""Placeholders: the references that a spec leaves in strings until a task runs.

The grammar is KFP's (`kfp.dsl.placeholders`): `{{$}}`, `{{$.pipeline_job_uuid}}`,
`{{$.inputs.parameters['name']}}`, `{{$.inputs.artifacts['name'].uri}}` and so on; an argument may
also be JSON of one `Concat` or `IfPresent`. The launcher resolves those of commands, next to the
files they name; here are the ones the engine must know: those in values, images and resources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .errors import SpecError

PATTERN: Final = re.compile(r"\{\{\$((?:(?!\}\}).)*)\}\}", re.DOTALL)
_REFERENCE: Final = re.compile(
    r"\.(inputs|outputs)\.(parameters|artifacts)\['([^']*)'\](.*)", re.DOTALL
)

CONSTANTS: Final = frozenset(
    {
        "",
        ".pipeline_job_name",
        ".pipeline_job_resource_name",
        ".pipeline_job_uuid",
        ".pipeline_job_create_time_utc",
        ".pipeline_job_schedule_time_utc",
        ".pipeline_task_name",
        ".pipeline_task_uuid",
        ".pipeline_root",
        ".workspace_path",
        ".outputs.output_file",
        ".outputMetadataUri",
    }
)
"""Placeholders without a name in them, less their `{{$` and `}}`."""

WORKSPACE: Final = ".workspace_path"
"""Where the run's workspace is in a step; only a pipeline that has one may ask."""


def references(text: str) -> Iterator[tuple[str, str, str]]:
    """Give what the placeholders of a string refer to.

    Yields:
        (`inputs` or `outputs`, `parameters` or `artifacts`, the name).

    Raises:
        SpecError: a placeholder is none of KFP's.
    """
    for body in PATTERN.findall(text):
        if body in CONSTANTS:
            continue
        match = _REFERENCE.fullmatch(body)
        if match is None:
            raise SpecError("", f"unknown placeholder {'{{$' + body[:80] + '}}'!r}")
        yield match[1], match[2], match[3]


def structure(argument: str) -> Mapping[str, Any] | None:
    """Give the `Concat` or `IfPresent` that an argument is the JSON of, or None if it is plain."""
    if not argument.lstrip().startswith(('{"Concat"', '{"IfPresent"')):
        return None
    try:
        found = json.loads(argument)
    except ValueError:
        return None
    return found if isinstance(found, dict) and len(found) == 1 else None


def check_structure(item: Any) -> Iterator[str]:
    """Check a `Concat` or `IfPresent` and give the strings in it, and the inputs it asks about.

    The name of an input that `IfPresent` asks about is given as a placeholder of it.

    Raises:
        SpecError: it is not built as KFP builds it.
    """
    if isinstance(item, str):
        yield item
        return
    if not isinstance(item, dict) or len(item) != 1:
        raise SpecError("", f"a placeholder has {type(item).__name__} where a string is expected")
    ((kind, body),) = item.items()
    if kind == "Concat" and isinstance(body, list):
        for each in body:
            yield from check_structure(each)
        return
    if kind == "IfPresent" and isinstance(body, dict) and isinstance(body.get("InputName"), str):
        unknown = set(body) - {"InputName", "Then", "Else"}
        if unknown or "Then" not in body:
            raise SpecError("", "IfPresent takes InputName, Then and perhaps Else")
        for branch in (body["Then"], body.get("Else")):
            parts = branch if isinstance(branch, list) else [branch]
            for each in parts:
                if each is not None:
                    yield from check_structure(each)
        return
    raise SpecError("", f"unknown placeholder structure {str(kind)[:40]!r}")


def fill(value: Any, parameters: Mapping[str, Any], constants: Mapping[str, str]) -> Any:
    """Resolve a value's placeholders of input parameters and of the run.

    A string that is one placeholder and nothing else becomes the parameter's value; inside other
    text the value is written as JSON, strings as they are. Placeholders that only a running task
    can resolve (its outputs, `{{$}}`) stay.

    Args:
        value: a JSON value; strings in lists and maps are resolved too.
        parameters: the values by name; a name without a value gives null.
        constants: `.pipeline_job_uuid` and the like, with their values.
    """
    if isinstance(value, str):
        return _fill_text(value, parameters, constants)
    if isinstance(value, list):
        return [fill(each, parameters, constants) for each in value]
    if isinstance(value, dict):
        return {
            fill_text(key, parameters, constants): fill(each, parameters, constants)
            for key, each in value.items()
        }
    return value


def fill_text(text: str, parameters: Mapping[str, Any], constants: Mapping[str, str]) -> str:
    """Resolve placeholders as `fill` does, but give text whatever the values are."""
    return as_text(_fill_text(text, parameters, constants))


def _fill_text(text: str, parameters: Mapping[str, Any], constants: Mapping[str, str]) -> Any:
    if "{{$" not in text:
        return text

    def find(match: re.Match[str]) -> tuple[bool, Any]:
        body = match[1]
        if body in constants:
            return True, constants[body]
        reference = _REFERENCE.fullmatch(body)
        if reference and reference[1] == "inputs" and reference[2] == "parameters":
            return True, parameters.get(reference[3])
        return False, match[0]

    whole = PATTERN.fullmatch(text)
    if whole:
        return find(whole)[1]
    return PATTERN.sub(lambda match: as_text(find(match)[1]), text)


def as_text(value: Any) -> str:
    """Write a parameter's value as it stands in a command line: strings bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
