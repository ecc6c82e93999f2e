"""Actions and commands that were asked of units, with their results."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minijuju.errors import NotFoundError
from minijuju.state import State

OPEN = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Task:
    """One action (`kind` action) or command line (`kind` exec) for one unit.

    Attributes:
        params: the action's parameters, or `{"argv": [...]}`.
        status: pending, running, completed, failed, aborted.
        results: with dotted keys already nested.
        log: lines of action-log, each with its time.
    """

    model: str
    id: int
    unit: str
    kind: str
    name: str
    params: Mapping[str, Any]
    timeout: float | None
    status: str
    message: str
    results: Mapping[str, Any]
    log: tuple[str, ...]
    enqueued: float
    started: float | None
    completed: float | None

    @property
    def uuid(self) -> str:
        """The id in the form of JUJU_ACTION_UUID."""
        return str(self.id)


def _task(row: sqlite3.Row) -> Task:
    return Task(
        row["model"],
        row["id"],
        row["unit"],
        row["kind"],
        row["name"],
        json.loads(row["params"]),
        row["timeout"],
        row["status"],
        row["message"],
        json.loads(row["results"]),
        tuple(json.loads(row["log"])),
        row["enqueued"],
        row["started"],
        row["completed"],
    )


def get(state: State, model: str, number: int) -> Task:
    """The task.

    Raises:
        NotFoundError: there is none.
    """
    row = state.row("SELECT * FROM task WHERE model = ? AND id = ?", model, number)
    if row is None:
        raise NotFoundError(f"task {number} not found")
    return _task(row)


def pending(state: State, model: str, unit: str) -> list[Task]:
    """What waits for the unit, oldest first."""
    rows = state.rows(
        "SELECT * FROM task WHERE model = ? AND unit = ? AND status = 'pending' ORDER BY id",
        model,
        unit,
    )
    return [_task(row) for row in rows]


def add(
    state: State,
    model: str,
    unit: str,
    kind: str,
    name: str,
    params: Mapping[str, Any],
    timeout: float | None,
) -> Task:
    """Ask something of a unit."""
    # Juju counts the operation and its tasks in one sequence, from 0 for the first operation.
    number = state.number(f"{model}/task") + 1
    state.execute(
        "INSERT INTO task (model, id, unit, kind, name, params, timeout, status, enqueued)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
        model,
        number,
        unit,
        kind,
        name,
        json.dumps(dict(params)),
        timeout,
        time.time(),
    )
    state.touch(model)
    return get(state, model, number)


def start(state: State, task: Task) -> None:
    """Note that the task runs."""
    state.execute(
        "UPDATE task SET status = 'running', started = ? WHERE model = ? AND id = ?",
        time.time(),
        task.model,
        task.id,
    )


def log(state: State, task: Task, message: str) -> None:
    """Add a line to the task's log."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime())
    lines = [*get(state, task.model, task.id).log, f"{stamp} {message}"]
    state.execute(
        "UPDATE task SET log = ? WHERE model = ? AND id = ?",
        json.dumps(lines),
        task.model,
        task.id,
    )


def finish(
    state: State, task: Task, status: str, message: str, results: Mapping[str, Any]
) -> None:
    """Record how the task ended; a task that has ended stays as it is."""
    state.execute(
        "UPDATE task SET status = ?, message = ?, results = ?, completed = ?"
        " WHERE model = ? AND id = ? AND status IN ('pending', 'running')",
        status,
        message,
        json.dumps(dict(results)),
        time.time(),
        task.model,
        task.id,
    )
    state.touch(task.model)


def abandon(state: State, model: str, unit: str) -> None:
    """Abort what a unit that goes has not done."""
    state.execute(
        "UPDATE task SET status = 'aborted', message = 'unit is gone', completed = ?"
        " WHERE model = ? AND unit = ? AND status IN ('pending', 'running')",
        time.time(),
        model,
        unit,
    )
    state.touch(model)


def prune(state: State, model: str, age: float) -> None:
    """Forget the tasks that ended more than `age` seconds ago."""
    state.execute("DELETE FROM task WHERE model = ? AND completed < ?", model, time.time() - age)


def nested(results: Mapping[str, str]) -> dict[str, Any]:
    """Results as Juju shows them: a dotted key becomes a mapping in a mapping."""
    tree: dict[str, Any] = {}
    for key, value in results.items():
        here = tree
        *parents, last = key.split(".")
        for parent in parents:
            below = here.setdefault(parent, {})
            if not isinstance(below, dict):
                below = here[parent] = {}
            here = below
        here[last] = value
    return tree


def document(task: Task) -> dict[str, Any]:
    """The task as `juju run --format json` prints it for one unit."""
    shown: dict[str, Any] = {
        "id": str(task.id),
        "status": task.status,
        "results": dict(task.results),
        "timing": {
            name: time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(moment))
            for name, moment in (
                ("enqueued", task.enqueued),
                ("started", task.started),
                ("completed", task.completed),
            )
            if moment is not None
        },
        "unit": task.unit,
    }
    if task.message:
        shown["message"] = task.message
    if task.log:
        shown["log"] = list(task.log)
    return shown
