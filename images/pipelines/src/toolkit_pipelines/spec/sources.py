"""Where a value comes from: the spec itself, the DAG around a task, or another task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the spec; it may hold placeholders of the task's other inputs."""

    value: Json


@dataclass(frozen=True, slots=True)
class DagInput:
    """An input of the DAG that the task is in."""

    name: str


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """An output of another task of the same DAG."""

    task: str
    key: str


ParameterSource: TypeAlias = Constant | DagInput | TaskOutput
