"""What tasks get and give: inputs looked up, conditions worked out, outputs collected.

Pure: everything comes from the spec and from how other tasks have ended.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from . import naming
from .events import IN_WORKSPACE, Artifact, Json, Values
from .runstate import TaskPhase
from .spec import conditions, placeholders, values
from .spec.conditions import ConditionError
from .spec.errors import SpecError
from .spec.model import (
    LOOP_ITEM,
    MISSING,
    Component,
    Constant,
    Dag,
    DagInput,
    FinalStatus,
    Importer,
    ParameterInput,
    ParameterSource,
    ParameterType,
    Task,
    TaskOutput,
)

MAX_ITERATIONS: Final = 10_000
"""Most items of one loop."""
# KFP's backend gives the states of its metadata store here, and its users compare with them.
_STATES: Final = {
    TaskPhase.SUCCEEDED: "COMPLETE",
    TaskPhase.CACHED: "CACHED",
    TaskPhase.FAILED: "FAILED",
}
_MAX_URI: Final = 4096
_INTERNAL: Final = 13
"""`google.rpc.Code` of an error that nothing more is known of."""


class InputError(Exception):
    """A task's inputs cannot be made from what its upstream tasks gave."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task has ended, or that it is under way.

    Attributes:
        message: why it failed.
        cause: why the first thing in it failed that did; of a step the reason and the message.
    """

    phase: TaskPhase
    outputs: Values = field(default_factory=Values)
    message: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Looks values up for one run.

    Attributes:
        run_id: the run.
        constants: placeholders of the run with their values (`.pipeline_job_uuid`, ...).
        outcome: gives how a task that was reached has ended, by its path.
    """

    run_id: str
    constants: Mapping[str, str]
    outcome: Callable[[str], Outcome]

    def inputs(
        self, path: str, task: Task, component: Component, around: Values, prefix: str
    ) -> Values:
        """Give what a task gets; for a loop, all but the item.

        Args:
            path: the task's.
            task: the task.
            component: what it runs.
            around: the inputs of the DAG that it is in.
            prefix: what the paths of that DAG's tasks begin with.

        Raises:
            InputError: a required input has no value, or one that it cannot have.
        """
        given, texts = self._given(path, task, around, prefix)
        absent = set(task.unset)
        if task.iterator is not None:
            absent |= {task.iterator.item, *task.iterator.parts}
        parameters = dict(given)
        for name, declared in component.inputs.parameters.items():
            if name in given:
                if not (isinstance(component.body, Dag) and _untyped(name, declared)):
                    parameters[name] = _checked(name, declared, given[name], text=name in texts)
            elif declared.default is not MISSING:
                parameters[name] = declared.default
            elif not declared.optional and name not in absent:
                raise InputError(
                    f"the required input {name!r} has no value: null was given, or the task "
                    "that should produce it did not"
                )
        artifacts = self._artifacts(task, around, prefix)
        for name, wanted in component.inputs.artifacts.items():
            if name not in artifacts and not wanted.optional and name not in absent:
                raise InputError(f"the required input artifact {name!r} was not produced upstream")
        return Values(parameters, artifacts)

    def _given(
        self, path: str, task: Task, around: Values, prefix: str
    ) -> tuple[dict[str, Json], set[str]]:
        """Give the parameters that have a value, and which of them are text whatever it is."""
        given: dict[str, Json] = {}
        texts: set[str] = set()
        for name, source in task.parameters.items():
            if isinstance(source, Constant):
                texts.add(name)
                continue
            value = self._value(source, around, prefix)
            if value is not None:
                given[name] = value
            if getattr(source, "part", "") or LOOP_ITEM in getattr(source, "name", ""):
                texts.add(name)
        constants = self._constants(path, task)
        for name, source in task.parameters.items():
            if isinstance(source, Constant):
                filled = placeholders.fill(source.value, given, constants)
                if filled is not None:
                    given[name] = filled
        return given, texts

    def _constants(self, path: str, task: Task) -> Mapping[str, str]:
        return {
            **self.constants,
            ".pipeline_task_name": task.name,
            ".pipeline_task_uuid": naming.task_id(self.run_id, path),
        }

    def _value(self, source: ParameterSource, around: Values, prefix: str) -> Json:
        match source:
            case FinalStatus(task):
                return self._status(task, self.outcome(prefix + task))
            case DagInput(name, part):
                value = around.parameters.get(name)
            case TaskOutput(task, key, part):
                value = self.outcome(prefix + task).outputs.parameters.get(key)
            case Constant():
                raise AssertionError("constants are filled in later")
        if not part or value is None:
            return value
        try:
            return conditions.part(part, value)
        except ConditionError as error:
            raise InputError(str(error)) from error

    def _status(self, task: str, outcome: Outcome) -> Json:
        status: dict[str, Json] = {
            "state": _STATES.get(outcome.phase, "CANCELED"),
            "pipelineJobResourceName": self.constants.get(".pipeline_job_resource_name", ""),
            "pipelineTaskName": task,
        }
        if outcome.phase is TaskPhase.FAILED:
            status["error"] = {"code": _INTERNAL, "message": outcome.cause}
        return status

    def _artifacts(
        self, task: Task, around: Values, prefix: str
    ) -> dict[str, tuple[Artifact, ...]]:
        artifacts: dict[str, tuple[Artifact, ...]] = {}
        for name, source in task.artifacts.items():
            if isinstance(source, DagInput):
                found = around.artifacts.get(source.name)
            else:
                found = self.outcome(prefix + source.task).outputs.artifacts.get(source.key)
            if found is not None:
                artifacts[name] = found
        return artifacts

    def holds(self, task: Task, inputs: Values) -> bool:
        """Tell whether a task's condition is met; ConditionError if that cannot be told."""
        names = {name: inputs.parameters.get(name) for name in task.parameters}
        return conditions.holds(task.condition, {**inputs.parameters, **names})

    def imported(
        self, path: str, task: Task, component: Component, importer: Importer, inputs: Values
    ) -> Values:
        """Give what an importer gives; InputError if its URI is none."""
        constants = self._constants(path, task)
        uri = placeholders.fill_text(importer.uri, inputs.parameters, constants)
        if not uri.strip() or len(uri) > _MAX_URI or not uri.isprintable():
            raise InputError(f"what is to be imported is no URI: {uri[:80]!r}")
        metadata = placeholders.fill(dict(importer.metadata), inputs.parameters, constants)
        if importer.to_workspace:
            metadata = {**metadata, IN_WORKSPACE: True}
        ((name, declared),) = component.outputs.artifacts.items()
        return Values({}, {name: (Artifact(name, declared.type.title, uri, metadata),)})

    def iteration(
        self, path: str, task: Task, component: Component, inputs: Values, number: int
    ) -> Values:
        """Give what one iteration gets, of what the loop got; InputError if that cannot be.

        The list itself goes along only where a task in the loop takes it: else every iteration
        would be recorded with the whole of it.
        """
        loop, body = task.iterator, component.body
        assert loop is not None  # noqa: S101 - the callers looked
        assert isinstance(body, Dag)  # noqa: S101 - parse() saw to it
        dropped = {loop.source} - body.reads
        parameters = {n: v for n, v in inputs.parameters.items() if n not in dropped}
        artifacts = {n: v for n, v in inputs.artifacts.items() if n not in dropped}
        if loop.artifacts:
            artifacts[loop.item] = (inputs.artifacts[loop.source][number],)
            return Values(parameters, artifacts)
        item = items(task, inputs)[number]
        if loop.items is not None:
            item = placeholders.fill(item, inputs.parameters, self._constants(path, task))
        found = {loop.item: item}
        for name, key in loop.parts.items():
            if not isinstance(item, dict) or key not in item:
                raise InputError(f"item {number} of the loop has no {key!r}: {item!r:.80}")
            found[name] = item[key]
        for name, value in found.items():
            declared = component.inputs.parameters[name]
            if value is not None and _untyped(name, declared):
                parameters[name] = value
            elif value is not None:
                parameters[name] = _checked(name, declared, value, text=True)
            elif not declared.optional:
                raise InputError(f"item {number} of the loop is null ({name!r})")
        return Values(parameters, artifacts)

    def dag_outputs(self, dag: Dag, prefix: str) -> Values:
        """Give what a DAG that has succeeded gives: of each output the first source that is."""
        parameters: dict[str, Json] = {}
        artifacts: dict[str, tuple[Artifact, ...]] = {}
        for name, sources in dag.output_parameters.items():
            for source in sources:
                produced = self.outcome(prefix + source.task).outputs.parameters
                if source.key in produced:
                    parameters[name] = produced[source.key]
                    break
        for name, sources in dag.output_artifacts.items():
            for source in sources:
                found = self.outcome(prefix + source.task).outputs.artifacts
                if source.key in found:
                    artifacts[name] = found[source.key]
                    break
        return Values(parameters, artifacts)

    def collected(self, component: Component, path: str, count: int) -> Values:
        """Give what a loop gives: a list of each output, in the order of the items.

        Parameters of loops inside are lists in the list; artifacts are one flat list, since there
        are no lists of lists of them. An iteration that gave nothing (its task was skipped) has
        no entry.
        """
        outputs = [self.outcome(f"{path}/{number}").outputs for number in range(count)]
        return Values(
            {
                name: [each.parameters[name] for each in outputs if name in each.parameters]
                for name in component.outputs.parameters
            },
            {
                name: tuple(a for each in outputs for a in each.artifacts.get(name, ()))
                for name in component.outputs.artifacts
            },
        )


def items(task: Task, inputs: Values) -> Sequence[Json]:
    """Give the items of a loop.

    Raises:
        InputError: there is no list, or it is too long.
    """
    loop = task.iterator
    assert loop is not None  # noqa: S101 - the callers looked
    found: Sequence[Json] | None
    if loop.items is not None:
        found = loop.items
    elif loop.artifacts:
        if loop.source not in inputs.artifacts:
            raise InputError(f"the artifacts {loop.source!r} of the loop were not produced")
        found = inputs.artifacts[loop.source]
    else:
        value = inputs.parameters.get(loop.source)
        if isinstance(value, str):
            value = _listed(value)
        found = value if isinstance(value, list | tuple) else None
        if found is None:
            raise InputError(f"the items {loop.source!r} of the loop are no list: {value!r:.80}")
    if len(found) > MAX_ITERATIONS:
        raise InputError(f"the loop has {len(found)} items; at most {MAX_ITERATIONS} may be")
    return found


@functools.lru_cache(maxsize=64)
def _listed(text: str) -> tuple[Json, ...] | None:
    """Read a list that came as text, as KFP's backend does; None if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(found) if isinstance(found, list) else None


def _untyped(name: str, declared: ParameterInput) -> bool:
    """Tell whether an input holds a loop's item, or a part of it, whose type nobody knew."""
    return declared.type is ParameterType.STRING and LOOP_ITEM in name


def _checked(name: str, declared: ParameterInput, value: Json, *, text: bool) -> Json:
    if text and declared.type is ParameterType.STRING:
        # A placeholder, a loop or a part of a value may have brought in a number.
        value = placeholders.as_text(value)
    try:
        return values.check(declared, value, f"inputs.parameters.{name}")
    except SpecError as error:
        raise InputError(str(error)) from error
