"""Statuses of applications, workloads and agents, with their history."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minijuju.state import State

SETTABLE = ("maintenance", "blocked", "waiting", "active")
SEVERITY = {
    "error": 100,
    "blocked": 90,
    "maintenance": 80,
    "waiting": 70,
    "active": 60,
    "terminated": 50,
    "unknown": 40,
}
HISTORY = 200
"""How many statuses of each kind of each entity are kept."""


@dataclass(frozen=True, slots=True)
class Status:
    """One status; `since` is seconds since the epoch."""

    status: str
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    since: float = 0.0


def _status(row: sqlite3.Row) -> Status:
    return Status(row["status"], row["message"], json.loads(row["data"]), row["since"])


def get(state: State, model: str, entity: str, kind: str) -> Status | None:
    """The status of an entity; `kind` is `workload`, `agent` or `application`."""
    row = state.row(
        "SELECT * FROM status WHERE model = ? AND entity = ? AND kind = ?", model, entity, kind
    )
    return _status(row) if row else None


def put(
    state: State,
    model: str,
    entity: str,
    kind: str,
    status: str,
    message: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Set a status; setting the same again changes nothing, `since` included."""
    values = (status, message, json.dumps(dict(data or {})))
    now = time.time()
    before = get(state, model, entity, kind)
    if before and (before.status, before.message, json.dumps(dict(before.data))) == values:
        return
    with state.transaction():
        state.execute(
            "INSERT INTO status VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " status = excluded.status, message = excluded.message, data = excluded.data,"
            " since = excluded.since",
            model,
            entity,
            kind,
            *values,
            now,
        )
        state.execute(
            "INSERT INTO status_history (model, entity, kind, status, message, data, since)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            model,
            entity,
            kind,
            *values,
            now,
        )
        state.execute(
            "DELETE FROM status_history WHERE model = ? AND entity = ? AND kind = ? AND id <="
            " (SELECT id FROM status_history WHERE model = ? AND entity = ? AND kind = ?"
            " ORDER BY id DESC LIMIT 1 OFFSET ?)",
            model,
            entity,
            kind,
            model,
            entity,
            kind,
            HISTORY,
        )


def history(state: State, model: str, entity: str) -> list[tuple[str, Status]]:
    """The statuses of an entity that are kept, oldest first, each with its kind."""
    rows = state.rows(
        "SELECT * FROM status_history WHERE model = ? AND entity = ? ORDER BY id", model, entity
    )
    return [(row["kind"], _status(row)) for row in rows]


def prune(state: State, model: str, age: float) -> None:
    """Forget the history that is older than `age` seconds."""
    state.execute(
        "DELETE FROM status_history WHERE model = ? AND since < ?", model, time.time() - age
    )


def displayed(workload: Status, agent: Status) -> tuple[Status, Status]:
    """What status shows: an agent in error is shown as a workload in error, the agent as idle."""
    if agent.status == "error":
        return agent, Status("idle", "", {}, agent.since)
    return workload, agent


def derived(units: Iterable[Status]) -> Status:
    """The status of an application that set none: the gravest of its units'."""
    gravest = Status("unknown")
    first = True
    for status in units:
        if first or SEVERITY.get(status.status, 0) > SEVERITY.get(gravest.status, 0):
            gravest, first = status, False
    return gravest
