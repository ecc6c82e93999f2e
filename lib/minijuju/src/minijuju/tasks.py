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

_MOMENT = "%Y-%m-%d %H:%M:%S +0000 UTC"
_MOMENT_LENGTH = len("2026-01-01 00:00:00 +0000 UTC")
# `aborting` is a task that was cancelled while it ran, until its process is gone.
OPEN = ("pending", "running", "aborting")
MAX_LOG = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """One action (`kind` action) or command line (`kind` exec) for one unit.

    Attributes:
        params: the action's parameters, or `{"argv": [...]}`.
        status: pending, running, aborting, completed, failed, cancelled, aborted.
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


def _number(state: State, model: str) -> int:
    # Juju counts operations and their tasks in one sequence.
    return state.number(f"{model}/task") + 1


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
    number = _number(state, model)
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
    """Add a line to the task's log; what comes after too many is left out, as Juju does."""
    kept = get(state, task.model, task.id).log
    if len(kept) > MAX_LOG:
        return
    lines = [*kept, f"{time.strftime(_MOMENT, time.gmtime())} {message}"]
    state.execute(
        "UPDATE task SET log = ? WHERE model = ? AND id = ?",
        json.dumps(lines),
        task.model,
        task.id,
    )


def progress(line: str) -> str:
    """A line of a log as it is told while somebody waits: with the time of day alone."""
    clock = time.strptime(line[:_MOMENT_LENGTH], _MOMENT)
    return f"{time.strftime('%H:%M:%S', clock)}{line[_MOMENT_LENGTH:]}"


def finish(
    state: State, task: Task, status: str, message: str, results: Mapping[str, Any]
) -> None:
    """Record how the task ended; a task that has ended stays as it is."""
    state.execute(
        "UPDATE task SET status = ?, message = ?, results = ?, completed = ?"
        " WHERE model = ? AND id = ? AND completed IS NULL",
        status,
        message,
        json.dumps(dict(results)),
        time.time(),
        task.model,
        task.id,
    )
    state.touch(task.model)


def abandon(state: State, model: str, unit: str) -> None:
    """Cancel what a unit that goes has not done."""
    state.execute(
        "UPDATE task SET status = 'cancelled', message = 'unit removed', completed = ?"
        " WHERE model = ? AND unit = ? AND completed IS NULL",
        time.time(),
        model,
        unit,
    )
    state.touch(model)


def cancel(state: State, task: Task) -> None:
    """Let a task be that waits, and note that one that runs shall end; else it stays as it is."""
    if task.status == "pending":
        finish(state, task, "cancelled", "action cancelled via the API", {})
    elif task.status == "running":
        state.execute(
            "UPDATE task SET status = 'aborting' WHERE model = ? AND id = ?", task.model, task.id
        )
        state.touch(task.model)


def prune(state: State, model: str, age: float) -> None:
    """Forget the tasks that ended more than `age` seconds ago, and operations without any."""
    state.execute("DELETE FROM task WHERE model = ? AND completed < ?", model, time.time() - age)
    state.execute(
        "DELETE FROM operation WHERE model = ? AND NOT EXISTS (SELECT 1 FROM operation_task"
        " WHERE model = operation.model AND operation = operation.id)",
        model,
    )


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


def timing(
    enqueued: float | None, started: float | None, completed: float | None
) -> dict[str, str]:
    """When something was asked for, begun and done, as Juju writes it."""
    moments = {"enqueued": enqueued, "started": started, "completed": completed}
    return {
        name: time.strftime(_MOMENT, time.gmtime(moment))
        for name, moment in moments.items()
        if moment is not None
    }


def document(task: Task) -> dict[str, Any]:
    """The task as `juju run --format json` prints it for one unit."""
    shown: dict[str, Any] = {
        "id": str(task.id),
        "status": task.status,
        "timing": timing(task.enqueued, task.started, task.completed),
        "unit": task.unit,
    }
    if task.results:
        shown["results"] = dict(task.results)
    if task.message:
        shown["message"] = task.message
    if task.log:
        shown["log"] = list(task.log)
    return shown
