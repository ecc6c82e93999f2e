"""Units: the table of them, their progress, and who leads."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from minijuju import applications
from minijuju.errors import NotFoundError
from minijuju.state import State
from minijuju.uniter import Life, Local, Resolved


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod was made of, so that it can be adopted as it is while a newer charm waits.

    Attributes:
        charm: the unpacked charm's folder.
        version: the application's charm version.
        resources: the reference of each image, by resource.
        storages: the ids of the storages that are mounted.
    """

    charm: str
    version: int
    resources: Mapping[str, str]
    storages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit.

    Attributes:
        local: what it has done so far.
        charm_state: what the charm keeps by state-set.
        ports: what it opened, each `{"endpoint": "", "protocol": "tcp", "from": 80, "to": 80}`.
        boot: the incarnation of its pod; empty while it has none.
        pod: what the pod was made of; None before the first one.
    """

    model: str
    name: str
    application: str
    number: int
    life: Life
    local: Local
    charm_state: Mapping[str, str]
    ports: tuple[Mapping[str, Any], ...]
    address: str
    boot: str
    pod: Pod | None
    resolved: Resolved
    destroy_storage: bool
    created: float


def _unit(row: sqlite3.Row) -> Unit:
    return Unit(
        model=row["model"],
        name=row["name"],
        application=row["application"],
        number=row["number"],
        life=Life(row["life"]),
        local=Local.from_json(json.loads(row["local"])),
        charm_state=json.loads(row["charm_state"]),
        ports=tuple(json.loads(row["ports"])),
        address=row["address"],
        boot=row["boot"],
        pod=_pod(json.loads(row["pod"])),
        resolved=Resolved(row["resolved"]),
        destroy_storage=bool(row["destroy_storage"]),
        created=row["created"],
    )


def _pod(data: dict[str, Any] | None) -> Pod | None:
    if data is None:
        return None
    return Pod(data["charm"], data["version"], data["resources"], tuple(data["storages"]))


def every(state: State, model: str, application: str = "") -> list[Unit]:
    """The units of a model, or of one application, in the order of their numbers."""
    rows = state.rows(
        "SELECT * FROM unit WHERE model = ? AND (? = '' OR application = ?)"
        " ORDER BY application, number",
        model,
        application,
        application,
    )
    return [_unit(row) for row in rows]


def find(state: State, model: str, name: str) -> Unit | None:
    """The unit, or None."""
    row = state.row("SELECT * FROM unit WHERE model = ? AND name = ?", model, name)
    return _unit(row) if row else None


def get(state: State, model: str, name: str) -> Unit:
    """The unit.

    Raises:
        NotFoundError: there is none.
    """
    found = find(state, model, name)
    if found is None:
        raise NotFoundError(f"unit {name!r} not found")
    return found


def add(state: State, application: applications.Application, number: int, address: str) -> Unit:
    """Record a new unit and see that the application has a leader."""
    name = f"{application.name}/{number}"
    state.execute(
        "INSERT INTO unit (model, name, application, number, life, local, address, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        application.model,
        name,
        application.name,
        number,
        Life.ALIVE,
        json.dumps(Local().to_json()),
        address,
        time.time(),
    )
    elect(state, application.model, application.name)
    state.touch(application.model)
    return get(state, application.model, name)


def save_local(state: State, model: str, name: str, local: Local) -> None:
    """Record the unit's progress."""
    state.execute(
        "UPDATE unit SET local = ? WHERE model = ? AND name = ?",
        json.dumps(local.to_json()),
        model,
        name,
    )


_COLUMNS = ("life", "charm_state", "ports", "boot", "pod", "resolved", "destroy_storage")


def update(state: State, model: str, name: str, **values: Any) -> None:
    """Change columns of a unit."""
    for key, value in values.items():
        if key not in _COLUMNS:
            raise KeyError(key)
        if key in ("charm_state", "ports", "pod"):
            value = asdict(value) if key == "pod" else value
            value = json.dumps(value)
        elif isinstance(value, bool):
            value = int(value)
        state.execute(
            f"UPDATE unit SET {key} = ? WHERE model = ? AND name = ?",  # noqa: S608 - key is one of ours
            value,
            model,
            name,
        )
    if set(values) - {"charm_state", "ports"}:
        state.touch(model)


def remove(state: State, unit: Unit) -> None:
    """Forget the unit, its part in relations, its statuses and what it followed."""
    key = (unit.model, unit.name)
    state.execute("DELETE FROM scope WHERE model = ? AND unit = ?", *key)
    state.execute("DELETE FROM status WHERE model = ? AND entity = ?", *key)
    state.execute("DELETE FROM unit WHERE model = ? AND name = ?", *key)
    elect(state, unit.model, unit.application)
    state.touch(unit.model)


def elect(state: State, model: str, application: str) -> None:
    """Keep the leader while it exists; else the living unit with the lowest number leads.

    There is no lease to lose: one controller sees all units, and a unit that is gone is gone.
    """
    found = applications.find(state, model, application)
    if found is None:
        return
    members = every(state, model, application)
    if any(unit.name == found.leader for unit in members):
        return
    alive = [unit for unit in members if unit.life is Life.ALIVE] or members
    applications.update(state, found, leader=alive[0].name if alive else "")
