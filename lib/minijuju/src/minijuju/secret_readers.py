"""Who may read a secret, and which revision each reader follows, also across models.

A unit of another model reads what was granted over a relation across models; in the secret's
model it bears the name that this relation gives it there (`crossings`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from minijuju import crossings, secrets
from minijuju.secrets import Secret, SecretError
from minijuju.state import State


@dataclass(frozen=True, slots=True)
class Reader:
    """A unit and its model's uuid."""

    model: str
    unit: str

    @property
    def application(self) -> str:
        """The unit's application."""
        return self.unit.partition("/")[0]


def subjects(state: State, reader: Reader, model: str) -> list[str]:
    """What grants of a model call a unit and its application; nothing if they do not meet."""
    if model == reader.model:
        return [reader.unit, reader.application]
    number = reader.unit.partition("/")[2]
    aliases = crossings.aliases(state, reader.model, reader.application, model)
    return [name for alias in aliases for name in (f"{alias}/{number}", alias)]


def reach(state: State, reader: Reader, identity: str) -> Secret | None:
    """The secret as a unit sees it: of its model, or of one that it is related with."""
    found = secrets.find(state, reader.model, identity)
    if found is not None:
        return found
    rows = state.rows("SELECT model FROM secret WHERE id = ?", identity)
    met = [row["model"] for row in rows if subjects(state, reader, row["model"])]
    return secrets.find(state, met[0], identity) if met else None


def labelled(state: State, reader: Reader, label: str) -> Secret | None:
    """The secret that a unit knows by a label: its own or its application's, or one it reads."""
    row = state.row(
        "SELECT model, id FROM secret WHERE model = ? AND label = ? AND"
        " ((owner_kind = 'unit' AND owner = ?) OR (owner_kind = 'application' AND owner = ?))"
        " ORDER BY owner_kind DESC",
        reader.model,
        label,
        reader.unit,
        reader.application,
    )
    if row is None:
        row = state.row(
            "SELECT model, secret AS id FROM secret_follower"
            " WHERE label = ? AND unit_model = ? AND unit = ?",
            label,
            reader.model,
            reader.unit,
        )
    return secrets.find(state, row["model"], row["id"]) if row else None


def readable(state: State, secret: Secret, reader: Reader) -> bool:
    """Whether a unit may read a secret: it or its application owns it, or it was granted."""
    if secret.model == reader.model:
        if secret.owner_kind == "model":
            return reader.application in access(state, secret)
        owner = reader.unit if secret.owner_kind == "unit" else reader.application
        if secret.owner == owner:
            return True
    granted = {subject for subject, _ in grants(state, secret)}
    return not granted.isdisjoint(subjects(state, reader, secret.model))


def access(state: State, secret: Secret) -> list[str]:
    """The applications that may read a user's secret."""
    rows = state.rows(
        "SELECT application FROM secret_access WHERE model = ? AND secret = ?"
        " ORDER BY application",
        secret.model,
        secret.id,
    )
    return [row["application"] for row in rows]


def grants(state: State, secret: Secret) -> list[tuple[str, int]]:
    """Who was granted the secret, and over which relation."""
    rows = state.rows(
        "SELECT subject, relation FROM secret_grant WHERE model = ? AND secret = ?"
        " ORDER BY subject, relation",
        secret.model,
        secret.id,
    )
    return [(row["subject"], row["relation"]) for row in rows]


def grant(state: State, secret: Secret, relation: int, subject: str) -> None:
    """Let an application or unit read, for as long as the relation lasts.

    Raises:
        SecretError: it was granted over another relation. Juju keeps one scope a reader.
    """
    scopes = {over for name, over in grants(state, secret) if name == subject}
    if scopes - {relation}:
        raise SecretError(
            f'cannot change secret permission scope: "{secret.id}" is granted to {subject} over'
            f" relation {scopes.pop()}, not {relation}; revoke that first"
        )
    state.execute(
        "INSERT INTO secret_grant VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        secret.model,
        secret.id,
        relation,
        subject,
    )
    state.touch(secret.model)


def revoke(state: State, secret: Secret, subject: str) -> None:
    """Take back all that an application or unit was granted."""
    state.execute(
        "DELETE FROM secret_grant WHERE model = ? AND secret = ? AND subject = ?",
        secret.model,
        secret.id,
        subject,
    )
    prune(state, secret)


def prune(state: State, secret: Secret) -> None:
    """Who may read no longer follows no longer, so that old revisions can become obsolete."""
    for row in _followers(state, secret):
        reader = Reader(row["unit_model"], row["unit"])
        if not readable(state, secret, reader):
            table, key = _place(secret, reader)
            state.execute(f"DELETE FROM {table} WHERE {_where(key)}", *key.values())  # noqa: S608 - ours
    discard(state, secret)
    state.touch(secret.model)


def prune_model(state: State, model: str) -> None:
    """The same for all secrets of a model, after a relation took its grants along."""
    for secret in secrets.every(state, model):
        if _followers(state, secret):
            prune(state, secret)


def _followers(state: State, secret: Secret) -> list[sqlite3.Row]:
    return state.rows(
        "SELECT unit_model, unit, revision, label FROM secret_follower"
        " WHERE model = ? AND secret = ?",
        secret.model,
        secret.id,
    )


def _place(secret: Secret, reader: Reader) -> tuple[str, dict[str, str]]:
    """The table that holds what a reader follows, and its key there."""
    key = {"model": secret.model, "secret": secret.id}
    if reader.model == secret.model:
        return "secret_consumer", {**key, "unit": reader.unit}
    return "secret_remote_consumer", {**key, "unit_model": reader.model, "unit": reader.unit}


def _where(key: dict[str, str]) -> str:
    return " AND ".join(f"{name} = ?" for name in key)


def tracked(state: State, secret: Secret, reader: Reader) -> int:
    """The revision a unit follows; 0 if it never read the secret."""
    return int(_follows(state, secret, reader, "revision") or 0)


def consumer_label(state: State, secret: Secret, reader: Reader) -> str:
    """How a unit that follows a secret calls it; empty if it gave no label."""
    return str(_follows(state, secret, reader, "label") or "")


def _follows(state: State, secret: Secret, reader: Reader, what: str) -> str | int | None:
    for row in _followers(state, secret):
        if (row["unit_model"], row["unit"]) == (reader.model, reader.unit):
            found: str | int = row[what]
            return found
    return None


def track(state: State, secret: Secret, reader: Reader, revision: int, label: str = "") -> None:
    """Note which revision a unit follows, and how it calls the secret."""
    table, key = _place(secret, reader)
    values = {**key, "label": label, "revision": revision}
    state.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608 - ours
        " ON CONFLICT DO UPDATE SET revision = excluded.revision,"
        " label = CASE WHEN excluded.label = '' THEN label ELSE excluded.label END",
        *values.values(),
    )
    discard(state, secret)
    state.touch(secret.model)


def discard(state: State, secret: Secret) -> None:
    """Remove what is obsolete of a secret whose user said so."""
    if secret.owner_kind == "model" and state.row(
        "SELECT 1 FROM secret_pruned WHERE model = ? AND secret = ?", secret.model, secret.id
    ):
        for revision in obsolete(state, secret):
            secrets.remove(state, secret, revision)


def discard_model(state: State, model: str) -> None:
    """The same for all secrets of a model, after a unit went with what it followed."""
    for row in state.rows("SELECT secret FROM secret_pruned WHERE model = ?", model):
        found = secrets.find(state, model, row["secret"])
        if found is not None:
            discard(state, found)


def obsolete(state: State, secret: Secret) -> list[int]:
    """The revisions that nobody follows and that are not the latest."""
    rows = state.rows(
        "SELECT revision FROM secret_revision AS r WHERE model = ? AND secret = ?"
        " AND revision <> ? AND NOT EXISTS (SELECT 1 FROM secret_follower AS f WHERE"
        " f.model = r.model AND f.secret = r.secret AND f.revision = r.revision)"
        " ORDER BY revision",
        secret.model,
        secret.id,
        secret.latest,
    )
    return [row["revision"] for row in rows]
