"""Relations: their ends, who is in scope, and the databags with who may see what.

What happens to one half of a relation across models happens to the other: see `crossings`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minijuju import crossings, secret_readers
from minijuju.errors import BadRequestError, JujuError, NotFoundError
from minijuju.state import State
from minijuju.uniter import Life


class BagError(JujuError):
    """A databag that may not be read or written so."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a relation."""

    application: str
    endpoint: str
    role: str


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation; a peer relation has one end.

    While it is suspended its units have left it, as if it were broken; it is there all the same.
    """

    model: str
    id: int
    life: Life
    interface: str
    ends: tuple[End, ...]
    created: float
    suspended: bool = False
    message: str = ""

    @property
    def status(self) -> str:
        """Joined, suspended or dying."""
        if self.life is not Life.ALIVE:
            return "dying"
        return "suspended" if self.suspended else "joined"

    @property
    def peer(self) -> bool:
        """Whether it joins the units of one application with each other."""
        return len(self.ends) == 1

    @property
    def key(self) -> str:
        """Juju's name for it: `requirer:endpoint provider:endpoint`."""
        order = sorted(self.ends, key=lambda end: end.role != "requirer")
        return " ".join(f"{end.application}:{end.endpoint}" for end in order)

    def end(self, application: str) -> End:
        """The end of `application`.

        Raises:
            NotFoundError: it has none here.
        """
        for end in self.ends:
            if end.application == application:
                return end
        raise NotFoundError(f"application {application!r} is not in relation {self.id}")

    def other(self, application: str) -> End:
        """The end across from `application`; its own for a peer relation."""
        if self.peer:
            return self.ends[0]
        return self.ends[1] if self.ends[0].application == application else self.ends[0]


def _relation(row: sqlite3.Row) -> Relation:
    return Relation(
        row["model"],
        row["id"],
        Life(row["life"]),
        row["interface"],
        tuple(End(*end) for end in json.loads(row["endpoints"])),
        row["created"],
        bool(row["suspended"]),
        row["suspend_message"],
    )


def every(state: State, model: str, application: str = "") -> list[Relation]:
    """The relations of a model, or those that `application` is in."""
    found = [
        _relation(row)
        for row in state.rows("SELECT * FROM relation WHERE model = ? ORDER BY id", model)
    ]
    if not application:
        return found
    return [one for one in found if any(end.application == application for end in one.ends)]


def find(state: State, model: str, number: int) -> Relation | None:
    """The relation, or None."""
    row = state.row("SELECT * FROM relation WHERE model = ? AND id = ?", model, number)
    return _relation(row) if row else None


def add(state: State, model: str, interface: str, ends: tuple[End, ...]) -> Relation:
    """Record a relation between these ends."""
    number = state.number(f"{model}/relation")
    state.execute(
        "INSERT INTO relation (model, id, life, interface, endpoints, created)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        model,
        number,
        Life.ALIVE,
        interface,
        json.dumps([[end.application, end.endpoint, end.role] for end in ends]),
        time.time(),
    )
    state.touch(model)
    return Relation(model, number, Life.ALIVE, interface, ends, time.time())


def _halves(state: State, relation: Relation) -> list[tuple[str, int]]:
    """Model and id of the relation, and of its other half if it has one."""
    twin = crossings.twin(state, relation.model, relation.id)
    other = [(twin.model, twin.relation)] if twin else []
    return [(relation.model, relation.id), *other]


def set_dying(state: State, relation: Relation) -> None:
    """Note that the relation shall go."""
    for model, number in _halves(state, relation):
        state.execute(
            "UPDATE relation SET life = ? WHERE model = ? AND id = ?", Life.DYING, model, number
        )
        state.touch(model)


def suspend(state: State, relation: Relation, *, suspended: bool, message: str = "") -> None:
    """Let the units of a relation across models leave it, or join it again.

    Raises:
        BadRequestError: the relation uses no offer of its model.
    """
    twin = crossings.twin(state, relation.model, relation.id)
    if twin is None or not twin.offers:
        raise BadRequestError(
            f'cannot set suspend status for "{relation.key}" which is not associated with an offer'
        )
    for model, number in _halves(state, relation):
        state.execute(
            "UPDATE relation SET suspended = ?, suspend_message = ? WHERE model = ? AND id = ?",
            int(suspended),
            message if suspended else "",
            model,
            number,
        )
        state.touch(model)


def remove(state: State, relation: Relation) -> None:
    """Forget the relation with its databags and grants."""
    for model, number in _halves(state, relation):
        state.execute("DELETE FROM relation WHERE model = ? AND id = ?", model, number)
        secret_readers.prune_model(state, model)
        state.touch(model)


def enter_scope(state: State, relation: Relation, unit: str, defaults: Mapping[str, str]) -> None:
    """Let the others see the unit; its databag begins with the network's defaults.

    A unit that is there already stays as it is. An old databag of a unit with the same name is
    replaced.
    """
    if in_scope(state, relation, unit):
        return
    twin = crossings.twin(state, relation.model, relation.id)
    if twin and (name := twin.there(unit)):
        # Before the databag, which is written to both.
        state.execute(
            "INSERT OR IGNORE INTO scope VALUES (?, ?, ?)", twin.model, twin.relation, name
        )
    state.execute("INSERT INTO scope VALUES (?, ?, ?)", relation.model, relation.id, unit)
    _store(state, relation.model, relation.id, unit, defaults)
    state.touch(relation.model)


def leave_scope(state: State, model: str, number: int, unit: str) -> None:
    """Take the unit out of sight; its databag stays for those who still know it."""
    gone = "DELETE FROM scope WHERE model = ? AND relation = ? AND unit = ?"
    state.execute(gone, model, number, unit)
    state.touch(model)
    twin = crossings.twin(state, model, number)
    if twin and (name := twin.there(unit)):
        state.execute(gone, twin.model, twin.relation, name)
        state.touch(twin.model)


def in_scope(state: State, relation: Relation, unit: str) -> bool:
    """Whether the unit takes part."""
    return (
        state.row(
            "SELECT 1 FROM scope WHERE model = ? AND relation = ? AND unit = ?",
            relation.model,
            relation.id,
            unit,
        )
        is not None
    )


def scope(state: State, relation: Relation) -> dict[str, int]:
    """Every unit in scope with the version of its databag."""
    rows = state.rows(
        "SELECT scope.unit AS unit, coalesce(bag.version, 0) AS version FROM scope"
        " LEFT JOIN bag ON bag.model = scope.model AND bag.relation = scope.relation"
        " AND bag.entity = scope.unit WHERE scope.model = ? AND scope.relation = ?",
        relation.model,
        relation.id,
    )
    return {row["unit"]: row["version"] for row in rows}


def version(state: State, relation: Relation, entity: str) -> int:
    """The version of a databag; 0 if it was never written."""
    row = state.row(
        "SELECT version FROM bag WHERE model = ? AND relation = ? AND entity = ?",
        relation.model,
        relation.id,
        entity,
    )
    return int(row[0]) if row else 0


def bag(state: State, model: str, number: int, entity: str) -> dict[str, str] | None:
    """What a unit or application has in its databag; None if it never had one."""
    row = state.row(
        "SELECT settings FROM bag WHERE model = ? AND relation = ? AND entity = ?",
        model,
        number,
        entity,
    )
    settings: dict[str, str] | None = json.loads(row[0]) if row else None
    return settings


def change(state: State, model: str, number: int, entity: str, changes: Mapping[str, str]) -> int:
    """Write a databag; an empty value deletes its key. Writing what is there changes nothing.

    Returns:
        The databag's version afterwards.

    Raises:
        BagError: the relation is gone.
    """
    relation = find(state, model, number)
    if relation is None:
        raise BagError(f"relation {number} not found")
    before = bag(state, model, number, entity) or {}
    after = {key: value for key, value in {**before, **changes}.items() if value != ""}
    if after == before:
        return version(state, relation, entity)
    return _store(state, model, number, entity, after)


def _store(state: State, model: str, number: int, entity: str, settings: Mapping[str, str]) -> int:
    twin = crossings.twin(state, model, number)
    if twin and (name := twin.there(entity)):
        _store(state, twin.model, twin.relation, name, settings)
    # One sequence for all, so that a version is never met twice, whatever comes and goes.
    fresh = state.number("bag-version") + 1
    state.execute(
        "INSERT INTO bag VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " settings = excluded.settings, version = excluded.version",
        model,
        number,
        entity,
        json.dumps(dict(settings), sort_keys=True),
        fresh,
    )
    state.touch(model)
    return fresh


def check_read(relation: Relation, unit: str, *, leader: bool, entity: str) -> None:
    """See that `unit` may read the databag of `entity`, by Juju's rules.

    Raises:
        BagError: it may not, or there is no such databag in the relation.
    """
    application = unit.partition("/")[0]
    owner = entity.partition("/")[0]
    if not any(end.application == owner for end in relation.ends):
        raise BagError(f'"{entity}" is not in relation {relation.id}: not found')
    if entity == application and not relation.peer and not leader:
        raise BagError("permission denied")
    if owner == application and "/" in entity and entity != unit and not relation.peer:
        raise BagError("permission denied")


def check_write(*, leader: bool, application: bool) -> None:
    """See that the own databag may be written.

    Raises:
        BagError: only the leader writes the application's.
    """
    if application and not leader:
        raise BagError("cannot write relation settings")


def endpoint_of(relation: Relation, application: str) -> str:
    """`endpoint:id`, as hooks name a relation."""
    return f"{relation.end(application).endpoint}:{relation.id}"


def document(relation: Relation) -> dict[str, Any]:
    """The relation for people: its id, key, interface and ends."""
    return {
        "id": relation.id,
        "key": relation.key,
        "interface": relation.interface,
        "life": relation.life.value,
        "endpoints": [
            {"application": end.application, "endpoint": end.endpoint, "role": end.role}
            for end in relation.ends
        ],
    }
