"""Relations across models: two halves, one in each model, that hold the same.

In the consuming model the other side bears the name of the SAAS, in the offering model that of a
proxy, `remote-` and 32 hex digits, as Juju has it. Whatever is written to one half is written to
the other in the same transaction, with the writer's name translated; so each model's agents see a
relation like any other.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from minijuju.state import State


@dataclass(frozen=True, slots=True)
class Twin:
    """The other half of a relation.

    Attributes:
        model: its model's uuid.
        relation: its id there.
        own: the application of the first half that is really in its model.
        alias: what that application is called in the other half.
    """

    model: str
    relation: int
    own: str
    alias: str

    @property
    def offers(self) -> bool:
        """Whether the first half is the one in the offering model."""
        return not self.alias.startswith("remote-")

    def there(self, entity: str) -> str | None:
        """What an application or unit of the first half is called in the other one.

        None: it is the other half's own, or has no business there.
        """
        application, separator, number = entity.partition("/")
        return f"{self.alias}{separator}{number}" if application == self.own else None


def twin(state: State, model: str, relation: int) -> Twin | None:
    """The other half; None for a relation inside a model."""
    row = state.row("SELECT * FROM crossing WHERE model = ? AND relation = ?", model, relation)
    return _twin(row) if row else None


def _twin(row: sqlite3.Row) -> Twin:
    return Twin(row["other_model"], row["other_relation"], row["own"], row["alias"])


def join(
    state: State, consuming: tuple[str, int, str], offering: tuple[str, int, str], aliases: Aliases
) -> None:
    """Make two relations halves of one; call inside a transaction.

    Args:
        state: the database.
        consuming: the model's uuid, the relation's id and the application that is really there.
        offering: the same of the other model.
        aliases: what each is called at the other.
    """
    for one, other, alias in (
        (consuming, offering, aliases.consumer),
        (offering, consuming, aliases.offered),
    ):
        state.execute(
            "INSERT INTO crossing VALUES (?, ?, ?, ?, ?, ?)",
            one[0],
            one[1],
            other[0],
            other[1],
            one[2],
            alias,
        )


@dataclass(frozen=True, slots=True)
class Aliases:
    """What the two applications are called at each other's.

    Attributes:
        consumer: the consuming application's proxy in the offering model.
        offered: the SAAS in the consuming model.
    """

    consumer: str
    offered: str


def proxy(state: State, model: str, application: str, offering: str) -> str | None:
    """What a consuming application is already called in an offering model; None: not yet."""
    row = state.row(
        "SELECT alias FROM crossing WHERE model = ? AND own = ? AND other_model = ?"
        " AND alias LIKE 'remote-%' LIMIT 1",
        model,
        application,
        offering,
    )
    return str(row["alias"]) if row else None


def aliases(state: State, model: str, application: str, other: str) -> list[str]:
    """What an application is called in another model that it is related with."""
    rows = state.rows(
        "SELECT DISTINCT alias FROM crossing WHERE model = ? AND own = ? AND other_model = ?",
        model,
        application,
        other,
    )
    return [row["alias"] for row in rows]


def remote_model(state: State, model: str, relation: int) -> str:
    """The uuid of the model at the other side of a relation."""
    other = twin(state, model, relation)
    return other.model if other else model
