"""What happens next in a run: a pure function of pipeline, state, time and free slots.

`decide` looks at every DAG that is under way, from the root down, and gives decisions for the
engine to carry out and record. It starts nothing and remembers nothing; given the same arguments
it gives the same decisions, and once they are recorded it does not give them again. The rules:

- A task may start when all its upstream tasks have succeeded and its inputs are there. If one of
  them failed or was skipped, it is skipped. If it says so (exit handlers,
  `ignore_upstream_failure`), it starts however they have ended. What was taken from the cache has
  succeeded; whether a task is, the engine finds out once it has started.
- A task whose condition is not met is skipped; that is no failure.
- A DAG with a failed task starts nothing more but the tasks that start however others ended, and
  what comes after them; what runs in it may end. Then the DAG has failed, and so on outwards.
  Other DAGs are not touched until the failure reaches them.
- A loop runs its DAG for each item, in order, as many at a time as it may and as slots are free.
  Once an iteration has failed no further one starts.
- A failed attempt is followed by another as the task's policy says; meanwhile the task is open.
  Another attempt of a nested pipeline runs all of it: its tasks have all their attempts anew.
- A run that takes longer than its pipeline allows is stopped as it stands, and has failed.
- A nested DAG takes no slot; only a task with a pod does, and one that the service carries out.
  An importer has ended as it starts, unless a pod copies its artifact into the workspace.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from . import resolution
from .decisions import Cancel, Decision, End, Fail, Plan, Skip, Start, Succeed
from .events import RunPhase, Values
from .resolution import InputError, Outcome, Resolver
from .runstate import TASK_FAILED, Children, RunState, TaskPhase, TaskState
from .spec import values
from .spec.conditions import ConditionError
from .spec.errors import SpecError
from .spec.model import Component, Dag, Importer, Pipeline, Task

MAX_REACHED: Final = 100_000
"""Once a run has had as many tasks and iterations, no iteration starts: its loop fails."""
_NOTHING: Final = Children()
_RUNNING: Final = Outcome(TaskPhase.RUNNING)


def decide(
    pipeline: Pipeline,
    state: RunState,
    slots: int,
    now: float,
    constants: Mapping[str, str] | None = None,
) -> Plan:
    """Give what is to be done now.

    Args:
        pipeline: what the run runs.
        state: its events so far; at least the first.
        slots: how many more pods may be started.
        now: the time, seconds since the epoch.
        constants: placeholders of the run with their values (`.pipeline_job_uuid`, ...).
    """
    if state.created is None or state.status.phase.ended:
        return Plan()
    if state.terminating:
        return _stop(state, End(RunPhase.CANCELED))
    plan = _Pass(pipeline, state, slots, now, constants or {}).run()
    # A run of which all is recorded has ended, even if nobody could say so in time.
    if pipeline.deadline is None or any(isinstance(each, End) for each in plan.decisions):
        return plan
    due = state.begun + pipeline.deadline
    if now >= due:
        message = (
            f"the run took longer than the {pipeline.deadline} s that its pipeline allows "
            "(dsl.PipelineConfig: active_deadline_seconds)"
        )
        return _stop(state, End(RunPhase.FAILED, message))
    return dataclasses.replace(plan, wake=due if plan.wake is None else min(plan.wake, due))


def next_attempt(task: Task, attempt: int, ended: float) -> float | None:
    """Give when a task may be tried again after an attempt failed; None if it may not.

    Args:
        task: the task.
        attempt: the number of the attempt that failed, from 0.
        ended: when it did, seconds since the epoch.
    """
    retry = task.retry
    if retry is None or attempt >= retry.count:
        return None
    pause = retry.pause
    for _ in range(attempt):
        pause *= retry.factor
        if pause >= retry.longest:
            break
    return ended + min(pause, retry.longest)


def _stop(state: RunState, end: End) -> Plan:
    # Inner tasks were reached after the DAGs that they are in: stop them first.
    open_tasks = [path for path, task in state.tasks.items() if not task.phase.ended]
    return Plan((*(Cancel(path) for path in reversed(open_tasks)), end), stops=True)


@dataclass(slots=True)
class _Pass:
    """One look at a run. What is decided counts as done for the rest of the pass."""

    pipeline: Pipeline
    state: RunState
    slots: int
    now: float
    constants: Mapping[str, str]
    decisions: list[Decision] = field(default_factory=list)
    starved: bool = False
    wake: float | None = None
    decided: dict[str, Outcome] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    reached: int = field(init=False)
    resolver: Resolver = field(init=False)

    def __post_init__(self) -> None:
        assert self.state.created is not None  # noqa: S101 - decide() looked
        self.reached = len(self.state.tasks)
        # No method of this look: it would be a circle that keeps the run's state for a while.
        outcome = functools.partial(_outcome, self.state, self.decided)
        self.resolver = Resolver(self.state.created.run_id, self.constants, outcome)

    def run(self) -> Plan:
        created = self.state.created
        assert created is not None  # noqa: S101 - decide() looked
        try:
            given = values.arguments(self.pipeline.root.inputs, created.parameters)
        except SpecError as error:
            return Plan((End(RunPhase.FAILED, str(error)),))
        ended = self._dag("", self.pipeline.dag, Values(given))
        if ended is not None:
            failed = ended.phase is TaskPhase.FAILED
            phase = RunPhase.FAILED if failed else RunPhase.SUCCEEDED
            self.decisions.append(End(phase, ended.message, ended.outputs))
        return Plan(tuple(self.decisions), self.starved, self.wake)

    def _component(self, task: Task) -> Component:
        return self.pipeline.components[task.component]

    # -- DAGs and loops under way

    def _dag(self, path: str, dag: Dag, inputs: Values) -> Outcome | None:
        """Look at one DAG under way; give how it ended, or None while it has not."""
        prefix = f"{path}/" if path else ""
        group = self.state.children.get(path, _NOTHING)
        failed = list(group.failed)
        running = False
        for inner in group.open:
            ended = self._open(inner, dag.tasks[inner[len(prefix) :]])
            if ended is None:
                running = True
            elif ended.phase is TaskPhase.FAILED:
                failed.append(inner)
        waiting: list[Task] = []
        if group.reached < len(dag.tasks):
            known = self.state.tasks
            waiting = [task for name, task in dag.tasks.items() if prefix + name not in known]
        # What others may have to wait for.
        unended = {task.name for task in waiting}
        unended.update(each[len(prefix) :] for each in group.open if each not in self.decided)
        while waiting:
            doomed, rest = bool(failed), []
            for task in waiting:
                if failed and task.name not in dag.closing:
                    phase: TaskPhase | None = self._skip(prefix + task.name, _blame(failed))
                elif unended.isdisjoint(task.upstream):
                    phase = self._try(task, inputs, prefix)
                else:
                    phase = None
                if phase is None:
                    rest.append(task)
                    continue
                self.reached += 1
                if not phase.ended:
                    running = True
                    continue
                unended.discard(task.name)
                if phase is TaskPhase.FAILED:
                    failed.append(prefix + task.name)
            waiting = rest
            if doomed or not failed:
                break
            # The first failure: what was left waiting before it is not going to start.
        if running or waiting:
            return None
        if failed:
            return self._failure(failed)
        return Outcome(TaskPhase.SUCCEEDED, self.resolver.dag_outputs(dag, prefix))

    def _open(self, path: str, task: Task) -> Outcome | None:
        """Look at a task that is under way; give how it ended, or None while it has not."""
        state = self.state.tasks[path]
        body = self._component(task).body
        if state.phase is TaskPhase.PENDING:
            if not self._again(state, self._component(task)) or not isinstance(body, Dag):
                return None
            self.attempts[path] = state.attempt + 1
        if not isinstance(body, Dag):
            return None
        if task.iterator is not None:
            return self._loop(path, task, body, state.inputs, state.iterations or 0)
        return self._conclude(path, self._dag(path, body, state.inputs), task)

    def _again(self, state: TaskState, component: Component) -> bool:
        """Start the next attempt of a task if it is due; tell whether it is started."""
        assert state.retry is not None  # noqa: S101 - so it is pending
        failed = state.history[-1][1]
        # A clock that was set back would make it wait for longer than it should.
        if failed <= self.now < state.retry:
            self._wake_at(state.retry)
            return False
        if not isinstance(component.body, Dag):
            if self.slots < 1:
                self.starved = True
                return False
            self.slots -= 1
        self.decisions.append(
            Start(state.path, state.inputs, pod=component.has_pod, acts=component.acts)
        )
        return True

    def _wake_at(self, moment: float) -> None:
        self.wake = moment if self.wake is None else min(self.wake, moment)

    def _loop(
        self, path: str, task: Task, body: Dag, inputs: Values, count: int
    ) -> Outcome | None:
        group = self.state.children.get(path, _NOTHING)
        failed = list(group.failed)
        running = 0
        for inner in group.open:
            ended = self._conclude(inner, self._dag(inner, body, self.state.tasks[inner].inputs))
            if ended is None:
                running += 1
            elif ended.phase is TaskPhase.FAILED:
                failed.append(inner)
        limit = task.iterator.limit if task.iterator is not None else 0
        number = group.reached
        while number < count and not failed and not 0 < limit <= running:
            if self.slots < 1:
                # It would wait for a slot in there, as ten thousand others might.
                self.starved = True
                break
            inner = f"{path}/{number}"
            ended = self._iterate(inner, path, task, body, inputs, number)
            number += 1
            if ended is None:
                running += 1
            elif ended.phase is TaskPhase.FAILED:
                failed.append(inner)
        if running or (number < count and not failed):
            return None
        if failed:
            return self._conclude(path, self._failure(failed))
        outputs = self.resolver.collected(self._component(task), path, count)
        return self._conclude(path, Outcome(TaskPhase.SUCCEEDED, outputs))

    def _iterate(
        self, path: str, loop: str, task: Task, body: Dag, inputs: Values, number: int
    ) -> Outcome | None:
        self.reached += 1
        if self.reached > MAX_REACHED:
            message = f"the run has had {MAX_REACHED} tasks: no further iteration starts"
            return self._fail(path, "InputError", message, number)
        try:
            given = self.resolver.iteration(loop, task, self._component(task), inputs, number)
        except InputError as error:
            return self._fail(path, "InputError", str(error), number)
        self.decisions.append(Start(path, given, pod=False, iteration=number))
        self.decided[path] = _RUNNING
        return self._conclude(path, self._dag(path, body, given))

    # -- tasks that have not been reached

    def _try(self, task: Task, inputs: Values, prefix: str) -> TaskPhase | None:
        """Start or skip a task whose upstream tasks have ended; None if it waits for a slot."""
        path = prefix + task.name
        if not task.closing:
            for name in task.upstream:
                phase = self.resolver.outcome(prefix + name).phase
                if not phase.succeeded:
                    how = "failed" if phase is TaskPhase.FAILED else "was skipped"
                    return self._skip(path, f"task {prefix + name!r} {how}")
        return self._start(path, task, inputs, prefix)

    def _start(self, path: str, task: Task, inputs: Values, prefix: str) -> TaskPhase | None:
        component = self._component(task)
        body = component.body
        if (component.has_pod or component.acts) and self.slots < 1:
            self.starved = True
            return None
        try:
            resolved = self.resolver.inputs(path, task, component, inputs, prefix)
            if task.condition and not self.resolver.holds(task, resolved):
                reason = f"its condition is not met: {task.condition}"
                return self._skip(path, reason, condition=True)
            count = self._count(task, resolved) if task.iterator is not None else None
            imported = Values()
            if isinstance(body, Importer):
                imported = self.resolver.imported(path, task, component, body, resolved)
        except InputError as error:
            return self._fail(path, "InputError", str(error)).phase
        except ConditionError as error:
            return self._fail(path, "ConditionError", str(error)).phase
        self.decided[path] = _RUNNING
        if component.has_pod or component.acts:
            self.slots -= 1
            self.decisions.append(
                Start(path, resolved, pod=component.has_pod, acts=component.acts)
            )
            return TaskPhase.RUNNING
        assert isinstance(body, Dag | Importer)  # noqa: S101 - the others act or have a pod
        self.decisions.append(Start(path, resolved, pod=False, iterations=count))
        if isinstance(body, Importer):
            self._conclude(path, Outcome(TaskPhase.SUCCEEDED, imported))
            return TaskPhase.SUCCEEDED
        if count is not None:
            ended = self._loop(path, task, body, resolved, count)
        else:
            ended = self._conclude(path, self._dag(path, body, resolved), task)
        return ended.phase if ended is not None else TaskPhase.RUNNING

    def _count(self, task: Task, inputs: Values) -> int:
        count = len(resolution.items(task, inputs))
        if self.reached + count > MAX_REACHED:
            raise InputError(
                f"the loop has {count} items; with the {self.reached} tasks that the run has had "
                f"already that is more than {MAX_REACHED}"
            )
        return count

    # -- decisions

    def _conclude(
        self, path: str, ended: Outcome | None, nested: Task | None = None
    ) -> Outcome | None:
        """Record how a DAG, a loop or an iteration has ended, if it has.

        `nested` is the task of a DAG that may be tried again: then it has not ended.
        """
        if ended is None:
            return None
        if ended.phase is TaskPhase.FAILED:
            retry = None
            if nested is not None:
                retry = next_attempt(nested, self._tried(path), self.now)
            if retry is not None:
                # What failed in it is gone then.
                why = f"{ended.message}: {ended.cause}"
                self.decisions.append(Fail(path, TASK_FAILED, why, retry=retry))
                self._wake_at(retry)
                return None
            self.decisions.append(Fail(path, TASK_FAILED, ended.message))
        else:
            self.decisions.append(Succeed(path, ended.outputs))
        self.decided[path] = ended
        return ended

    def _tried(self, path: str) -> int:
        """Give the number of the attempt of a DAG that is under way, from 0, as policies count."""
        known = self.state.tasks.get(path)
        attempt = self.attempts.get(path, known.attempt if known is not None else 0)
        return max(attempt - self.state.spent.get(path, 0), 0)

    def _fail(self, path: str, reason: str, message: str, iteration: int | None = None) -> Outcome:
        self.decisions.append(Fail(path, reason, message, iteration))
        self.decided[path] = Outcome(
            TaskPhase.FAILED, message=message, cause=f"{reason}: {message}"
        )
        return self.decided[path]

    def _failure(self, failed: list[str]) -> Outcome:
        """Give how a DAG ends in which these failed, the first one first."""
        cause = self.resolver.outcome(failed[0]).cause
        return Outcome(TaskPhase.FAILED, message=_blame(failed), cause=cause)

    def _skip(self, path: str, reason: str, *, condition: bool = False) -> TaskPhase:
        self.decisions.append(Skip(path, reason, condition))
        self.decided[path] = Outcome(TaskPhase.SKIPPED, message=reason)
        return TaskPhase.SKIPPED


def _outcome(state: RunState, decided: Mapping[str, Outcome], path: str) -> Outcome:
    """Give how a task stands."""
    if path in decided:
        return decided[path]
    task = state.tasks[path]
    cause = _cause(state, task) if task.phase is TaskPhase.FAILED else ""
    return Outcome(task.phase, task.outputs, task.message, cause)


def _cause(state: RunState, task: TaskState) -> str:
    """Give why a task failed: for a DAG, why the first task in it did."""
    while failed := state.children.get(task.path, _NOTHING).failed:
        task = state.tasks[failed[0]]
    return f"{task.reason}: {task.message}"


def _blame(failed: list[str]) -> str:
    names = ", ".join(repr(each) for each in failed[:3])
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    return f"task{'s' if len(failed) > 1 else ''} {names}{more} failed"
