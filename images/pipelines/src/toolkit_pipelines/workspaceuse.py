"""Who uses the workspace of a run: pure, of components and what their tasks get.

A step has it if the path of it, or its placeholder, is in what the step gets or runs, or if it
takes an artifact that is in there (KFP's rule). An importer has it that copies into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from .events import Json, Values
from .spec import placeholders
from .spec.kubernetes import WORKSPACE_PATH
from .spec.model import Component, Container, Importer

_PLACEHOLDER: Final = "{{$" + placeholders.WORKSPACE + "}}"


def uses(component: Component, inputs: Values) -> bool:
    """Tell whether a task of a pipeline that has a workspace uses it.

    Args:
        component: what the task runs.
        inputs: what it gets.
    """
    body = component.body
    if isinstance(body, Importer):
        return body.to_workspace
    if not isinstance(body, Container):
        return False
    if any(each.in_workspace for listed in inputs.artifacts.values() for each in listed):
        return True
    texts = (*body.command, *body.args, *body.env.values())
    return any(_PLACEHOLDER in text for text in texts) or any(
        WORKSPACE_PATH in text for text in _texts(dict(inputs.parameters))
    )


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
