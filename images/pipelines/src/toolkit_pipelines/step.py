"""One attempt of one task, as the engine has it in hand: what it runs, in which run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from . import naming, spec
from .events import RunCreated, Values
from .root import Attempt
from .runstate import RunState, TaskState
from .spec.model import (
    Component,
    Constant,
    DagInput,
    FinalStatus,
    Json,
    ParameterSource,
    Pipeline,
    TaskOutput,
)

LABEL_RUN: Final = "toolkit.canonical.com/run"
"""On everything of a run in Kubernetes: its id."""


@dataclass(frozen=True, slots=True)
class Step:
    """An attempt that is to have a pod, or that the service carries out.

    Attributes:
        pipeline: what its run runs.
        state: its run.
        constants: placeholders of the run with their values.
        task: the task, its attempt under way.
        files: the attempt's.
        runs: what its pod runs in place of the task's component, or None.
        gives: what it gives in place of what its pod records, or None.
    """

    pipeline: Pipeline
    state: RunState
    constants: Mapping[str, str]
    task: TaskState
    files: Attempt
    runs: Component | None = None
    gives: Values | None = None

    @property
    def created(self) -> RunCreated:
        """The run's first event."""
        assert self.state.created is not None  # noqa: S101 - a run under way has it
        return self.state.created

    @property
    def placeholders(self) -> Mapping[str, str]:
        """The placeholders of the run and of the task with their values."""
        path = self.task.path
        return {
            **self.constants,
            ".pipeline_task_name": self.pipeline.task(path).name,
            ".pipeline_task_uuid": naming.task_id(self.created.run_id, path),
        }

    @property
    def component(self) -> Component:
        """What the task runs."""
        return self.runs or self.pipeline.component(self.task.path)

    def look_up(self, source: ParameterSource) -> Json:
        """Give what a platform spec names: in the DAG around the task, or a task beside it."""
        outer, _, _ = self.task.path.rpartition("/")
        match source:
            case Constant(value):
                return value
            case TaskOutput(task, key):
                beside = self.state.tasks[f"{outer}/{task}" if outer else task]
                return beside.outputs.parameters.get(key)
            case DagInput(name) if outer:
                return self.state.tasks[outer].inputs.parameters.get(name)
            case DagInput(name):
                inputs = self.pipeline.root.inputs
                return spec.arguments(inputs, self.created.parameters).get(name)
            case FinalStatus():
                raise AssertionError("a platform spec names none")
