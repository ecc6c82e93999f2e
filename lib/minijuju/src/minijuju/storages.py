"""Storage instances: a folder for each, that outlives its unit unless it is destroyed."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from minijuju.state import State
from minijuju.uniter import Life


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage instance, `data/0`.

    Attributes:
        unit: who has it; empty when it is detached.
        folder: where it lies on this machine.
        claim: 8 hex digits that tell its claim from others of the same name.
        size: bytes asked for.
    """

    model: str
    id: str
    name: str
    unit: str
    life: Life
    folder: Path
    claim: str
    size: int
    created: float

    @property
    def attached(self) -> bool:
        """Whether a unit has it, and not only had it."""
        return bool(self.unit) and not self.unit.startswith("~")


def _storage(row: sqlite3.Row) -> Storage:
    return Storage(
        row["model"],
        row["id"],
        row["name"],
        row["unit"],
        Life(row["life"]),
        Path(row["folder"]),
        row["claim"],
        row["size"],
        row["created"],
    )


def every(state: State, model: str, unit: str | None = None) -> list[Storage]:
    """The storages of a model, or those of one unit."""
    rows = state.rows(
        "SELECT * FROM storage WHERE model = ? AND (? IS NULL OR unit = ?) ORDER BY name, id",
        model,
        unit,
        unit,
    )
    return [_storage(row) for row in rows]


def add(state: State, model: str, name: str, unit: str, base: Path, size: int) -> Storage:
    """Record a storage for a unit; its folder is made when the pod is."""
    number = state.number(f"{model}/storage")
    identity = f"{name}/{number}"
    state.execute(
        "INSERT INTO storage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        model,
        identity,
        name,
        unit,
        Life.ALIVE,
        str(base / f"{name}-{number}"),
        secrets.token_hex(4),
        size,
        time.time(),
    )
    state.touch(model)
    return next(one for one in every(state, model, unit) if one.id == identity)


def reattach(state: State, model: str, name: str, application: str, unit: str) -> bool:
    """Give a unit the detached storage of an earlier unit with the same name, if there is one.

    That is what a stateful set does: the claim belongs to the ordinal.
    """
    row = state.row(
        "SELECT id FROM storage WHERE model = ? AND name = ? AND unit = ? AND life = ?"
        " ORDER BY id LIMIT 1",
        model,
        name,
        f"~{unit}",
        Life.ALIVE,
    )
    if row is None or not unit.startswith(f"{application}/"):
        return False
    state.execute("UPDATE storage SET unit = ? WHERE model = ? AND id = ?", unit, model, row["id"])
    state.touch(model)
    return True


def detach(state: State, storage: Storage) -> None:
    """Keep the storage for a later unit of the same name."""
    state.execute(
        "UPDATE storage SET unit = ? WHERE model = ? AND id = ?",
        f"~{storage.unit}",
        storage.model,
        storage.id,
    )


def remove(state: State, storage: Storage) -> None:
    """Forget the storage; the caller removes the folder."""
    state.execute("DELETE FROM storage WHERE model = ? AND id = ?", storage.model, storage.id)
