"""What can be asked about actions, command lines, and the operations that they are parts of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minijuju import applications, models, operations, schema, tasks, units
from minijuju.errors import BadRequestError, NotFoundError, TimedOutError
from minijuju.facade_base import FacadeBase
from minijuju.house import load_charm
from minijuju.models import Model
from minijuju.rpc import Reply

RUN_TIMEOUT = 60.0
EXEC_TIMEOUT = 300.0


class TaskMethods(FacadeBase):
    """Actions, command lines, operations and tasks."""

    async def actions(self, reply: Reply, model: str, application: str) -> dict[str, Any]:
        """The actions of an application's charm: what each is for, and its schema."""
        found = models.named(self.state, model)
        one = applications.get(self.state, found.uuid, application)
        return {
            name: {"description": action.description, "schema": action.schema}
            for name, action in sorted(load_charm(one.charm.path).actions.items())
        }

    async def run(
        self,
        reply: Reply,
        model: str,
        units: list[str],
        action: str,
        params: dict[str, Any] = {},  # noqa: B006 - never changed
        timeout: float = RUN_TIMEOUT,  # noqa: ASYNC109 - the wire's name
        background: bool = False,
    ) -> dict[str, Any]:
        """Run an action on units (`app/leader` too) and wait for the results, by unit.

        What cannot be scheduled on a unit is told and has no result, as on Juju. A negative
        timeout waits for ever. In the background the operation and its tasks are the result.
        """
        found = models.named(self.state, model)

        asked, refused = self._receivers(
            found, units, lambda unit: self._fitting(found, unit, action, params)
        )
        with self.state.transaction():
            operation, made = operations.add(
                self.state, found.uuid, "action", action, asked, None, refused
            )
        if not background:
            _announce(reply, operation, made)
        _tell(reply, operation, made, refused)
        if background:
            return _scheduled(operation, made)
        return await self._results(reply, made, timeout, said=True)

    async def exec(
        self,
        reply: Reply,
        model: str,
        units: list[str],
        command: list[str],
        applications: list[str] = [],  # noqa: B006 - never changed
        timeout: float = EXEC_TIMEOUT,  # noqa: ASYNC109 - the wire's name
        background: bool = False,
    ) -> dict[str, Any]:
        """Run a command line in the charm container of units and wait for the results, by unit.

        Args:
            reply: the way to tell of it.
            model: the model's name.
            units: where; `app/leader` too.
            command: the arguments.
            applications: all of whose units are meant too.
            timeout: seconds for the command, and for waiting; without end if negative.
            background: whether to return the operation and its tasks at once.
        """
        if not command:
            raise BadRequestError("no command given")
        found = models.named(self.state, model)
        members = self._members(found, applications)
        names = list(dict.fromkeys([*units, *members]))
        asked, refused = self._receivers(found, names, lambda unit: {"argv": command})
        limit = timeout if timeout >= 0 else None
        with self.state.transaction():
            operation, made = operations.add(
                self.state, found.uuid, "exec", "juju-exec", asked, limit, refused
            )
        _tell(reply, operation, made, refused)
        if background:
            return _scheduled(operation, made)
        return await self._results(reply, made, timeout, said=False)

    def _fitting(
        self, model: Model, unit: units.Unit, action: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The parameters of an action, with its defaults."""
        application = applications.get(self.state, model.uuid, unit.application)
        declared = load_charm(application.charm.path).actions.get(action)
        if declared is None:
            raise NotFoundError(f'action "{action}" not defined on unit "{unit.name}"')
        try:
            return schema.complete(declared.schema, params)
        except schema.SchemaError as error:
            raise BadRequestError(f'action "{action}": {error}') from error

    def _members(self, model: Model, names: Sequence[str]) -> list[str]:
        """The units of applications; those of the model for an empty name."""
        found = []
        for name in names:
            if name:
                applications.get(self.state, model.uuid, name)
            found += [unit.name for unit in units.every(self.state, model.uuid, name)]
        return found

    def _receivers(
        self, model: Model, names: Sequence[str], params: Callable[[units.Unit], dict[str, Any]]
    ) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, str]]:
        """Units with the parameters for each, and those that get no task with the reasons."""
        asked, refused = [], {}
        for name in names:
            try:
                unit = self._unit(model, name)
                asked.append((unit.name, params(unit)))
            except (BadRequestError, NotFoundError) as error:
                refused[name] = str(error)
        return asked, refused

    def _unit(self, model: Model, name: str) -> units.Unit:
        application, _, number = name.partition("/")
        if number != "leader":
            return units.get(self.state, model.uuid, name)
        found = applications.find(self.state, model.uuid, application)
        if found is None or not found.leader:
            raise NotFoundError(f'could not determine leader for "{application}"')
        return units.get(self.state, model.uuid, found.leader)

    async def _results(
        self, reply: Reply, made: Sequence[tasks.Task], seconds: float, *, said: bool
    ) -> dict[str, Any]:
        """What tasks yield, by unit, as soon as all of them have ended.

        With `said` it tells which of them it waits for.
        """
        logs = _Logs(reply, made[0]) if len(made) == 1 else None
        turns = _Turns(reply, made) if said else None

        def current() -> list[tasks.Task]:
            return [tasks.get(self.state, task.model, task.id) for task in made]

        def ended() -> bool:
            found = current()
            if logs is not None:
                logs.tell(found[0])
            if turns is not None:
                turns.tell(found)
            return all(task.status not in tasks.OPEN for task in found)

        try:
            await self._until(ended, seconds, "")
        except TimedOutError:
            late = sorted(task.unit for task in current() if task.status in tasks.OPEN)
            raise TimedOutError(
                f"timed out waiting for results from: {', '.join(f'unit {name}' for name in late)}"
            ) from None
        return {task.unit: tasks.document(task) for task in current()}

    async def operations(self, reply: Reply, model: str) -> dict[str, Any]:
        """The operations of a model, oldest first."""
        found = models.named(self.state, model)
        return {
            str(one.id): operations.document(one, operations.members(self.state, one))
            for one in operations.every(self.state, found.uuid)
        }

    async def show_operation(
        self,
        reply: Reply,
        model: str,
        operation: int,
        timeout: float = 0.0,  # noqa: ASYNC109 - the wire's name
    ) -> dict[str, Any]:
        """One operation; with a timeout once it is done, with a negative one whenever it is."""
        found = models.named(self.state, model)
        one = operations.get(self.state, found.uuid, operation)

        def done() -> bool:
            members = operations.members(self.state, one)
            return operations.status(members, one.fail) not in tasks.OPEN

        if timeout:
            await self._patiently(done, timeout, "timeout reached")
        return {str(one.id): operations.document(one, operations.members(self.state, one))}

    async def show_task(
        self,
        reply: Reply,
        model: str,
        task: int,
        timeout: float = 0.0,  # noqa: ASYNC109 - the wire's name
    ) -> dict[str, Any]:
        """One task; with a timeout once it is done, with a negative one whenever it is."""
        found = models.named(self.state, model)
        logs = _Logs(reply, tasks.get(self.state, found.uuid, task))

        def done() -> bool:
            current = tasks.get(self.state, found.uuid, task)
            logs.tell(current)
            return current.status not in tasks.OPEN

        if timeout and logs.task.status in tasks.OPEN:
            await self._patiently(done, timeout, "maximum wait time reached")
        return tasks.document(tasks.get(self.state, found.uuid, task))

    async def _patiently(self, done: Callable[[], bool], seconds: float, words: str) -> None:
        try:
            await self._until(done, seconds, "")
        except TimedOutError:
            raise TimedOutError(words) from None

    async def cancel_task(
        self, reply: Reply, model: str, ids: list[int]
    ) -> dict[str, dict[str, Any]]:
        """Let tasks be: those that wait are not begun, those that run are killed.

        One that has ended stays as it is; of one that is not there only the reason is told.
        """
        found = models.named(self.state, model)
        shown: dict[str, dict[str, Any]] = {}
        running = []
        with self.state.transaction():
            for number in ids:
                try:
                    task = tasks.get(self.state, found.uuid, number)
                except NotFoundError as error:
                    shown[str(number)] = {"error": str(error)}
                    continue
                tasks.cancel(self.state, task)
                after = tasks.get(self.state, found.uuid, number)
                shown[str(number)] = {"action": task.name, **tasks.document(after)}
                if task.status == "running":
                    running.append(task.unit)
        for unit in running:
            agent = self.controller.agents.get((found.uuid, unit))
            if agent is not None:
                agent.kill()
        return shown


class _Logs:
    """Tells the client of what a task adds to its log."""

    def __init__(self, reply: Reply, task: tasks.Task) -> None:
        self.task = task
        self._reply = reply
        self._told = 0

    def tell(self, task: tasks.Task) -> None:
        """Tell of the lines that are new."""
        for line in task.log[self._told :]:
            self._reply.progress(tasks.progress(line))
        self._told = len(task.log)


class _Turns:
    """Tells the client which task it waits for, one after the other."""

    def __init__(self, reply: Reply, made: Sequence[tasks.Task]) -> None:
        self._reply = reply
        self._ended = 0
        if made:
            self._wait_for(made[0])

    def tell(self, found: Sequence[tasks.Task]) -> None:
        """Tell of the next if those before it have ended."""
        while self._ended < len(found) and found[self._ended].status not in tasks.OPEN:
            if len(found) == 1 and found[0].log:
                # Make the log a bit separate from the results.
                self._reply.progress("\n")
            self._ended += 1
            if self._ended < len(found):
                self._wait_for(found[self._ended])

    def _wait_for(self, task: tasks.Task) -> None:
        self._reply.progress(f"Waiting for task {task.id}...\n")


def _announce(reply: Reply, operation: operations.Operation, made: Sequence[tasks.Task]) -> None:
    """Say what is run where, as Juju does."""
    if made:
        noun = "task" if len(made) == 1 else "tasks"
        reply.progress(f"Running operation {operation.id} with {len(made)} {noun}")
    for task in made:
        reply.progress(f"  - task {task.id} on unit-{task.unit.replace('/', '-')}")
    reply.progress("")


def _tell(
    reply: Reply,
    operation: operations.Operation,
    made: Sequence[tasks.Task],
    refused: Mapping[str, str],
) -> None:
    """Say what could not be scheduled."""
    reasons = "\n".join(refused.values())
    if not made:
        reply.progress(f"Operation {operation.id} failed to schedule any tasks:\n{reasons}")
    elif refused:
        reply.progress(f"Some actions could not be scheduled:\n{reasons}\n")


def _scheduled(operation: operations.Operation, made: Sequence[tasks.Task]) -> dict[str, Any]:
    ids = {task.unit: {"id": str(task.id)} for task in made}
    return {"operation": str(operation.id), "tasks": ids}
