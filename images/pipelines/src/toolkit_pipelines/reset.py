"""What is done again when a run that has failed or was stopped is retried: what failed, no more.

Pure. Steps that failed, were stopped or never came to run because of it are taken out of the run,
so that the scheduler comes to them anew; what comes after them as well, such as an exit handler
that has run already. The DAGs and loops around them go on where they were. All else stays, but for
steps that used the run's workspace: that went as the run ended, with what they had left there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .runstate import TASK_FAILED, TERMINATED, RunState, TaskPhase, TaskState
from .spec.model import Dag, Pipeline, Task
from .workspaceuse import uses

_LOST = (TaskPhase.FAILED, TaskPhase.CANCELED)


@dataclass(frozen=True, slots=True)
class Reset:
    """What changes in a run.

    Attributes:
        dropped: the paths of the tasks that are as if they had not been reached, with all in them.
        reopened: the paths of the DAGs, loops and iterations that go on, outer ones first.
    """

    dropped: tuple[str, ...]
    reopened: tuple[str, ...]


def reset(pipeline: Pipeline, state: RunState) -> Reset:
    """Give what has to be done again of a run that has ended, and not well."""
    search = _Search(pipeline, state)
    search.dag("", pipeline.dag)
    return Reset(tuple(search.dropped), tuple(search.reopened))


@dataclass(slots=True)
class _Search:
    pipeline: Pipeline
    state: RunState
    dropped: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)

    def dag(self, prefix: str, dag: Dag) -> None:
        changed: set[str] = set()
        # Each task comes after its upstream ones.
        for name, task in dag.tasks.items():
            found = self.state.tasks.get(prefix + name)
            if found is None:
                continue
            untouched = changed.isdisjoint(task.upstream)
            lost = self._lost(task, found)
            if untouched and not lost and self._stays(task, found, prefix):
                continue
            changed.add(name)
            body = self.pipeline.components[task.component].body
            if untouched and isinstance(body, Dag) and (lost or _began(found)):
                self._reopen(found.path, task, body)
            else:
                self.dropped.append(found.path)

    def _stays(self, task: Task, found: TaskState, prefix: str) -> bool:
        if found.phase is not TaskPhase.SKIPPED:
            return found.phase.succeeded
        if found.condition or task.closing:
            return found.condition
        # After a task that is skipped for good, it is again; else it was a failure's fault.
        upstream = (self.state.tasks.get(prefix + name) for name in task.upstream)
        return any(each is not None and not each.phase.succeeded for each in upstream)

    def _lost(self, task: Task, found: TaskState) -> bool:
        """Tell whether a task that has succeeded, or one in it, had used the workspace."""
        if self.pipeline.workspace is None or not found.phase.succeeded:
            return False
        component = self.pipeline.components[task.component]
        body = component.body
        if not isinstance(body, Dag):
            return uses(component, found.inputs)
        if task.iterator is None:
            return self._lost_in(found.path, body)
        return any(self._lost_in(inner, body) for inner in self._iterations(found.path))

    def _lost_in(self, path: str, dag: Dag) -> bool:
        """Tell the same of the tasks in a DAG that has succeeded."""
        tasks = self.state.tasks
        return any(
            (found := tasks.get(f"{path}/{name}")) is not None and self._lost(task, found)
            for name, task in dag.tasks.items()
        )

    def _iterations(self, path: str) -> list[str]:
        """Give the paths of the iterations of a loop that were reached."""
        group = self.state.children.get(path)
        return [f"{path}/{number}" for number in range(group.reached if group is not None else 0)]

    def _reopen(self, path: str, task: Task, body: Dag) -> None:
        self.reopened.append(path)
        if task.iterator is None:
            self.dag(f"{path}/", body)
            return
        for inner in self._iterations(path):
            found = self.state.tasks[inner]
            # An iteration that has no input of its own would have none again.
            if _began(found) or (found.phase.succeeded and self._lost_in(inner, body)):
                self.reopened.append(inner)
                self.dag(f"{inner}/", body)


def _began(found: TaskState) -> bool:
    """Tell whether a DAG, a loop or an iteration had begun before it failed or was stopped."""
    return found.phase in _LOST and found.reason in (TASK_FAILED, TERMINATED)
