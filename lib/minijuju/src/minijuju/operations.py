"""Operations: what was asked of several units at once, a task for each."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minijuju import tasks
from minijuju.errors import NotFoundError
from minijuju.state import State
from minijuju.tasks import OPEN, Task


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        summary: what it is, for people.
        fail: why some of what was asked got no task; empty if all has one.
    """

    model: str
    id: int
    summary: str
    fail: str
    enqueued: float


def _operation(row: sqlite3.Row) -> Operation:
    return Operation(row["model"], row["id"], row["summary"], row["fail"], row["enqueued"])


def add(
    state: State,
    model: str,
    kind: str,
    name: str,
    asked: Sequence[tuple[str, Mapping[str, Any]]],
    limit: float | None,
    refused: Mapping[str, str] | None = None,
) -> tuple[Operation, list[Task]]:
    """Ask something of units; call inside a transaction.

    Args:
        state: the database.
        model: the model's uuid.
        kind: `action` or `exec`.
        name: the action's.
        asked: units with the parameters for each.
        limit: seconds that a command line may take.
        refused: units that get no task, each with the reason.
    """
    refused = refused or {}
    number = state.number(f"{model}/task") + 1
    receivers = ",".join(map(_receiver, [*(unit for unit, _ in asked), *refused]))
    fail = ", ".join(dict.fromkeys(refused.values()))
    operation = Operation(
        model,
        number,
        f"{name} run on {receivers}",
        f"error(s) enqueueing action(s): {fail}" if fail else "",
        time.time(),
    )
    state.execute(
        "INSERT INTO operation (model, id, summary, fail, enqueued) VALUES (?, ?, ?, ?, ?)",
        model,
        number,
        operation.summary,
        operation.fail,
        operation.enqueued,
    )
    made = [tasks.add(state, model, unit, kind, name, params, limit) for unit, params in asked]
    for task in made:
        state.execute("INSERT INTO operation_task VALUES (?, ?, ?)", model, number, task.id)
    return operation, made


def _receiver(unit: str) -> str:
    """How Juju calls a unit in a summary; who is named by leading is not resolved there."""
    return unit if unit.endswith("/leader") else f"unit-{unit.replace('/', '-')}"


def every(state: State, model: str) -> list[Operation]:
    """The operations of a model, oldest first."""
    rows = state.rows("SELECT * FROM operation WHERE model = ? ORDER BY id", model)
    return [_operation(row) for row in rows]


def get(state: State, model: str, number: int) -> Operation:
    """The operation.

    Raises:
        NotFoundError: there is none.
    """
    row = state.row("SELECT * FROM operation WHERE model = ? AND id = ?", model, number)
    if row is None:
        raise NotFoundError(f'operation "{number}" not found')
    return _operation(row)


def members(state: State, operation: Operation) -> list[Task]:
    """The operation's tasks."""
    rows = state.rows(
        "SELECT task FROM operation_task WHERE model = ? AND operation = ? ORDER BY task",
        operation.model,
        operation.id,
    )
    return [tasks.get(state, operation.model, row["task"]) for row in rows]


def status(found: Sequence[Task], fail: str = "") -> str:
    """The state of an operation with these tasks, as Juju derives it."""
    states = {task.status for task in found}
    if not states:
        return "error"  # nothing of it could be scheduled
    if not states.isdisjoint(OPEN):
        return "pending" if states == {"pending"} else "running"
    for state in ("failed", "cancelled", "completed"):
        if state in states:
            return "error" if state == "completed" and fail else state
    return "aborted"


def document(operation: Operation, found: Sequence[Task]) -> dict[str, Any]:
    """The operation as `juju show-operation` prints it."""
    ended = [task.completed for task in found if task.completed is not None]
    started = [task.started for task in found if task.started is not None]
    shown: dict[str, Any] = {
        "summary": operation.summary,
        "status": status(found, operation.fail),
        "timing": tasks.timing(
            operation.enqueued,
            min(started, default=None),
            max(ended) if ended and len(ended) == len(found) else None,
        ),
        "tasks": {str(task.id): _member(task) for task in found},
    }
    if operation.fail:
        shown["error"] = operation.fail
    if found:
        # What one operation asks of units is one thing with the same parameters for each.
        shown["action"] = {"name": found[0].name, "parameters": _parameters(found[0])}
    return shown


def _member(task: Task) -> dict[str, Any]:
    document = tasks.document(task)
    return {"host": document.pop("unit"), **{k: v for k, v in document.items() if k != "id"}}


def _parameters(task: Task) -> dict[str, Any]:
    if task.kind == "action":
        return dict(task.params)
    shown: dict[str, Any] = {"command": task.params["argv"][-1]}
    if task.timeout is not None:
        shown["timeout"] = round(task.timeout * 1e9)
    return shown
