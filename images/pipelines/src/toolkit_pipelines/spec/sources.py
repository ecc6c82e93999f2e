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
    """An input of the DAG that the task is in; `part` is CEL that gives a part of it, or ""."""

    name: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """An output of another task of the same DAG; `part` is CEL that gives a part of it, or ""."""

    task: str
    key: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """How another task of the same DAG has ended (`dsl.PipelineTaskFinalStatus`)."""

    task: str


ParameterSource: TypeAlias = Constant | DagInput | TaskOutput | FinalStatus
