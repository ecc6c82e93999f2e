"""What happens next in a run: a pure function of pipeline, state and free slots.

`decide` looks at every DAG that is under way, from the root down, and gives decisions for the
engine to carry out and record. It starts nothing and remembers nothing; given the same arguments
it gives the same decisions, and once they are recorded it does not give them again. The rules:

- A task may start when all its upstream tasks have succeeded and its inputs are there.
- A DAG with a failed task starts nothing more; what runs in it may end. Then the DAG has failed,
  and so on outwards. Other DAGs are not touched until the failure reaches them.
- A nested DAG takes no slot; only a task with a pod does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from . import naming
from .events import Artifact, Json, RunPhase, Values
from .runstate import RunState, TaskPhase
from .spec import placeholders, values
from .spec.errors import SpecError
from .spec.model import (
    MISSING,
    Component,
    Constant,
    Container,
    Dag,
    DagInput,
    ParameterType,
    Pipeline,
    Task,
)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a task; `container` is None for a nested DAG, which has no pod."""

    path: str
    inputs: Values
    container: Container | None


@dataclass(frozen=True, slots=True)
class Succeed:
    """A nested DAG has ended well."""

    path: str
    outputs: Values


@dataclass(frozen=True, slots=True)
class Fail:
    """A nested DAG has failed, or a task cannot start since its inputs are not as declared."""

    path: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A task will not run."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a task that is under way: the run is being terminated."""

    path: str


@dataclass(frozen=True, slots=True)
class End:
    """The run has ended."""

    phase: RunPhase
    message: str = ""
    outputs: Values = field(default_factory=Values)


Decision: TypeAlias = Start | Succeed | Fail | Skip | Cancel | End


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    Attributes:
        decisions: in the order in which they are to be recorded; empty while nothing can be done.
        starved: True if a task could start but for a free slot.
    """

    decisions: tuple[Decision, ...] = ()
    starved: bool = False


class InputError(Exception):
    """A task's inputs cannot be made from what its upstream tasks gave."""


def decide(
    pipeline: Pipeline, state: RunState, slots: int, constants: Mapping[str, str] | None = None
) -> Plan:
    """Give what is to be done now.

    Args:
        pipeline: what the run runs.
        state: its events so far; at least the first.
        slots: how many more pods may be started.
        constants: placeholders of the run with their values (`.pipeline_job_uuid`, ...).
    """
    if state.created is None or state.status.phase.ended:
        return Plan()
    if state.terminating:
        return Plan(_terminate(state))
    return _Pass(pipeline, state, slots, constants or {}).run()


def _terminate(state: RunState) -> tuple[Decision, ...]:
    # Inner tasks were reached after the DAGs that they are in: stop them first.
    open_tasks = [path for path, task in state.tasks.items() if not task.phase.ended]
    return (*(Cancel(path) for path in reversed(open_tasks)), End(RunPhase.CANCELED))


@dataclass(slots=True)
class _Pass:
    """One look at a run. What is decided counts as done for the rest of the pass."""

    pipeline: Pipeline
    state: RunState
    slots: int
    constants: Mapping[str, str]
    decisions: list[Decision] = field(default_factory=list)
    starved: bool = False
    decided: dict[str, tuple[TaskPhase, Values]] = field(default_factory=dict)

    def run(self) -> Plan:
        created = self.state.created
        assert created is not None  # noqa: S101 - decide() looked
        try:
            given = values.arguments(self.pipeline.root.inputs, created.parameters)
        except SpecError as error:
            return Plan((End(RunPhase.FAILED, str(error)),))
        ended = self._dag("", self.pipeline.root, self.pipeline.dag, Values(given))
        if ended is not None:
            phase, message, outputs = ended
            failed = phase is TaskPhase.FAILED
            self.decisions.append(
                End(RunPhase.FAILED if failed else RunPhase.SUCCEEDED, message, outputs)
            )
        return Plan(tuple(self.decisions), self.starved)

    def _phase(self, path: str) -> TaskPhase | None:
        if path in self.decided:
            return self.decided[path][0]
        task = self.state.tasks.get(path)
        return task.phase if task else None

    def _outputs(self, path: str) -> Values:
        if path in self.decided:
            return self.decided[path][1]
        return self.state.tasks[path].outputs

    def _dag(
        self, path: str, component: Component, dag: Dag, inputs: Values
    ) -> tuple[TaskPhase, str, Values] | None:
        """Look at one DAG under way; give how it ended, or None while it has not."""
        prefix = f"{path}/" if path else ""
        failed: list[str] = []
        waiting: list[str] = []
        running = False
        for name, task in dag.tasks.items():
            inner = prefix + name
            phase = self._phase(inner)
            if phase is None:
                ready = not failed and all(
                    self._phase(prefix + each) is TaskPhase.SUCCEEDED for each in task.upstream
                )
                phase = self._start(inner, task, inputs, prefix) if ready else None
            elif phase is TaskPhase.RUNNING and inner not in self.state.running:
                body = self.pipeline.components[task.component].body
                if isinstance(body, Dag):
                    phase = self._nested(inner, task, self.state.tasks[inner].inputs)
            if phase is None:
                waiting.append(inner)
            elif phase is TaskPhase.RUNNING:
                running = True
            elif phase is not TaskPhase.SUCCEEDED:
                failed.append(inner)
        if failed and not running:
            message = self._blame(failed)
            self.decisions += [Skip(each, message) for each in waiting]
            return TaskPhase.FAILED, message, Values()
        if running or waiting:
            return None
        return TaskPhase.SUCCEEDED, "", self._dag_outputs(component, dag, prefix)

    def _blame(self, failed: list[str]) -> str:
        names = ", ".join(repr(each) for each in failed[:3])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        return f"task{'s' if len(failed) > 1 else ''} {names}{more} failed"

    def _start(self, path: str, task: Task, inputs: Values, prefix: str) -> TaskPhase | None:
        component = self.pipeline.components[task.component]
        container = component.body if isinstance(component.body, Container) else None
        if container is not None and self.slots < 1:
            self.starved = True
            return None
        try:
            resolved = self._resolve(path, task, component, inputs, prefix)
        except InputError as error:
            self._fail(path, "InputError", str(error))
            return TaskPhase.FAILED
        self.decisions.append(Start(path, resolved, container))
        self.decided[path] = (TaskPhase.RUNNING, Values())
        if container is not None:
            self.slots -= 1
            return TaskPhase.RUNNING
        return self._nested(path, task, resolved)

    def _nested(self, path: str, task: Task, inputs: Values) -> TaskPhase:
        component = self.pipeline.components[task.component]
        assert isinstance(component.body, Dag)  # noqa: S101 - the callers looked
        ended = self._dag(path, component, component.body, inputs)
        if ended is None:
            return TaskPhase.RUNNING
        phase, message, outputs = ended
        if phase is TaskPhase.FAILED:
            self._fail(path, "TaskFailed", message)
        else:
            self.decisions.append(Succeed(path, outputs))
            self.decided[path] = (phase, outputs)
        return phase

    def _fail(self, path: str, reason: str, message: str) -> None:
        self.decisions.append(Fail(path, reason, message))
        self.decided[path] = (TaskPhase.FAILED, Values())

    def _dag_outputs(self, component: Component, dag: Dag, prefix: str) -> Values:
        parameters: dict[str, Json] = {}
        artifacts: dict[str, tuple[Artifact, ...]] = {}
        for name, source in dag.output_parameters.items():
            produced = self._outputs(prefix + source.task).parameters
            if source.key in produced:
                parameters[name] = produced[source.key]
        for name, source in dag.output_artifacts.items():
            found = self._outputs(prefix + source.task).artifacts
            if source.key in found:
                artifacts[name] = found[source.key]
        return Values(parameters, artifacts)

    def _resolve(
        self, path: str, task: Task, component: Component, inputs: Values, prefix: str
    ) -> Values:
        given: dict[str, Json] = {}
        for name, source in task.parameters.items():
            if isinstance(source, Constant):
                continue
            if isinstance(source, DagInput):
                value = inputs.parameters.get(source.name)
            else:
                value = self._outputs(prefix + source.task).parameters.get(source.key)
            if value is not None:
                given[name] = value
        constants = {
            **self.constants,
            ".pipeline_task_name": task.name,
            ".pipeline_task_uuid": naming.task_id(self._run_id(), path),
        }
        filled = {
            name: placeholders.fill(source.value, given, constants)
            for name, source in task.parameters.items()
            if isinstance(source, Constant)
        }
        given.update({name: value for name, value in filled.items() if value is not None})
        parameters = self._checked(task, component, given)
        artifacts: dict[str, tuple[Artifact, ...]] = {}
        for name, origin in task.artifacts.items():
            if isinstance(origin, DagInput):
                found = inputs.artifacts.get(origin.name)
            else:
                found = self._outputs(prefix + origin.task).artifacts.get(origin.key)
            if found:
                artifacts[name] = found
        for name, declared in component.inputs.artifacts.items():
            if name not in artifacts and not declared.optional:
                raise InputError(f"the required input artifact {name!r} was not produced upstream")
        return Values(parameters, artifacts)

    def _run_id(self) -> str:
        assert self.state.created is not None  # noqa: S101 - decide() looked
        return self.state.created.run_id

    @staticmethod
    def _checked(task: Task, component: Component, given: Mapping[str, Json]) -> dict[str, Json]:
        result = dict(given)
        for name, declared in component.inputs.parameters.items():
            if name not in given:
                if declared.default is not MISSING:
                    result[name] = declared.default
                elif not declared.optional:
                    raise InputError(
                        f"the required input {name!r} has no value: null was given, or the task "
                        "that should produce it did not"
                    )
                continue
            value = given[name]
            if declared.type is ParameterType.STRING and isinstance(
                task.parameters[name], Constant
            ):
                # A placeholder may have brought in a number: the text was written around it.
                value = placeholders.as_text(value)
            try:
                result[name] = values.check(declared, value, f"inputs.parameters.{name}")
            except SpecError as error:
                raise InputError(str(error)) from error
        return result
