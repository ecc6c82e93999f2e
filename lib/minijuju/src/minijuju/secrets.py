"""Secrets: their owners, labels and revisions.

Who may read one and follows which revision is in `secret_readers`, what units are told of them
in `secret_events`, the keys of their contents in `vault`.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from minijuju import text
from minijuju.errors import JujuError
from minijuju.state import State
from minijuju.vault import Vault

ROTATION = ("hourly", "daily", "weekly", "monthly", "quarterly", "yearly")
_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
MAX_BYTES = 1024 * 1024
_KEY = re.compile(r"[a-z](?:-?[a-z0-9]){2,}")
_ID = re.compile(r"(?:secret:(?://[0-9a-f-]{36}/)?)?([0-9a-v]{20})")


class SecretError(JujuError):
    """A secret that is not there, or may not be had or changed so."""


def next_rotation(policy: str, moment: float) -> float | None:
    """When a secret is to be rotated next, by the calendar (UTC); None: never.

    A month ends on the same day of the next one, or as many days later as that has too few.
    """
    last = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    if policy == "hourly":
        return moment + 3600
    if policy in ("daily", "weekly"):
        return (last + datetime.timedelta(days=1 if policy == "daily" else 7)).timestamp()
    if policy not in _MONTHS:
        return None
    years, month = divmod(last.month - 1 + _MONTHS[policy], 12)
    first = last.replace(year=last.year + years, month=month + 1, day=1)
    return (first + datetime.timedelta(days=last.day - 1)).timestamp()


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret; `owner_kind` is application, unit, or model for a user's (`user_secrets`)."""

    model: str
    id: str
    owner_kind: str
    owner: str
    label: str
    description: str
    rotation: str
    next_rotation: float | None
    latest: int
    created: float
    updated: float

    @property
    def uri(self) -> str:
        """`secret:ID`."""
        return f"secret:{self.id}"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision, without its content."""

    number: int
    created: float
    expires: float | None


def parse_id(text: str) -> str:
    """The bare id of a secret that is named in any of Juju's forms.

    Raises:
        SecretError: it is none.
    """
    match = _ID.fullmatch(text)
    if not match:
        raise SecretError(f'secret URI "{text}" not valid')
    return match[1]


def check_content(content: Mapping[str, str]) -> None:
    """See that a secret may hold this.

    Raises:
        SecretError: a key or the size is not allowed. Values are never quoted.
    """
    if not content:
        raise SecretError("missing secret value or filename")
    for key in content:
        if not _KEY.fullmatch(key):
            raise SecretError(f'key "{key}" not valid')
    if sum(len(key) + len(text.to_bytes(value)) for key, value in content.items()) > MAX_BYTES:
        raise SecretError("secret content exceeds 1 MiB")


def decoded(values: Mapping[str, str]) -> dict[str, str]:
    """A content of which keys that end with `#base64` have their values so encoded.

    Raises:
        SecretError: a key has another ending, or a value is no base64. Values are never quoted.
    """
    content: dict[str, str] = {}
    for key, value in values.items():
        name, mark, coding = key.partition("#")
        if mark and coding != "base64":
            raise SecretError(f'key "{key}" not valid')
        try:
            content[name] = (
                text.from_bytes(base64.b64decode(value, validate=True)) if mark else value
            )
        except (binascii.Error, ValueError):
            raise SecretError(f'value of key "{name}" is not in base64') from None
    return content


def checksum(content: Mapping[str, str]) -> str:
    """What `show-secret` shows to tell contents apart."""
    return hashlib.sha256(json.dumps(dict(content), sort_keys=True).encode()).hexdigest()


def _secret(row: sqlite3.Row) -> Secret:
    return Secret(*(row[name] for name in Secret.__dataclass_fields__))


def every(state: State, model: str) -> list[Secret]:
    """All secrets of a model."""
    return [
        _secret(row)
        for row in state.rows("SELECT * FROM secret WHERE model = ? ORDER BY created, id", model)
    ]


def find(state: State, model: str, identity: str) -> Secret | None:
    """The secret, or None."""
    row = state.row("SELECT * FROM secret WHERE model = ? AND id = ?", model, identity)
    return _secret(row) if row else None


def owned(state: State, model: str, unit: str, *, leader: bool) -> list[Secret]:
    """The secrets a unit manages: its own, and as leader its application's."""
    application = unit.partition("/")[0]
    return [
        secret
        for secret in every(state, model)
        if (secret.owner_kind == "unit" and secret.owner == unit)
        or (leader and secret.owner_kind == "application" and secret.owner == application)
    ]


def manages(secret: Secret, unit: str, *, leader: bool) -> bool:
    """Whether a unit may change a secret."""
    if secret.owner_kind == "unit":
        return secret.owner == unit
    return secret.owner_kind == "application" and leader and secret.owner == unit.partition("/")[0]


def create(
    state: State,
    vault: Vault,
    model: str,
    identity: str,
    *,
    owner_kind: str,
    owner: str,
    content: Mapping[str, str],
    label: str = "",
    description: str = "",
    rotation: str = "",
    expires: float | None = None,
) -> Secret:
    """Make a secret with its first revision.

    Raises:
        SecretError: the owner has another one with that label.
    """
    now = time.time()
    _check_label(state, model, identity, owner_kind=owner_kind, owner=owner, label=label)
    state.execute(
        "INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        model,
        identity,
        owner_kind,
        owner,
        label,
        description,
        rotation,
        next_rotation(rotation, now),
        now,
        now,
    )
    _revise(state, vault, model, identity, content, expires)
    return _known(state, model, identity)


def _check_label(
    state: State, model: str, identity: str, *, owner_kind: str, owner: str, label: str
) -> None:
    """Raises SecretError if the owner has another secret with that label."""
    if label and state.row(
        "SELECT 1 FROM secret WHERE model = ? AND owner_kind = ? AND owner = ? AND label = ?"
        " AND id <> ?",
        model,
        owner_kind,
        owner,
        label,
        identity,
    ):
        raise SecretError(f'secret with label "{label}" already exists')


def _known(state: State, model: str, identity: str) -> Secret:
    found = find(state, model, identity)
    if found is None:
        raise SecretError(f'secret "{identity}" not found')
    return found


def _revise(
    state: State,
    vault: Vault,
    model: str,
    identity: str,
    content: Mapping[str, str],
    expires: float | None,
) -> None:
    number = _known(state, model, identity).latest + 1
    state.execute(
        "INSERT INTO secret_revision VALUES (?, ?, ?, ?, ?, ?, ?)",
        model,
        identity,
        number,
        vault.lock(identity, number, content),
        time.time(),
        expires,
        expires,
    )
    state.execute(
        "UPDATE secret SET latest = ?, updated = ? WHERE model = ? AND id = ?",
        number,
        time.time(),
        model,
        identity,
    )
    state.touch(model)
    for row in state.rows(
        "SELECT DISTINCT unit_model FROM secret_follower WHERE model = ? AND secret = ?",
        model,
        identity,
    ):
        state.touch(row["unit_model"])


def change(
    state: State,
    vault: Vault,
    secret: Secret,
    *,
    content: Mapping[str, str] | None = None,
    label: str | None = None,
    description: str | None = None,
    rotation: str | None = None,
    expires: float | None = None,
) -> Secret:
    """Change a secret; content that differs makes a new revision, the same content none.

    Raises:
        SecretError: the owner has another one with that label.
    """
    key = (secret.model, secret.id)
    if label is not None and label != secret.label:
        _check_label(state, *key, owner_kind=secret.owner_kind, owner=secret.owner, label=label)
        state.execute("UPDATE secret SET label = ? WHERE model = ? AND id = ?", label, *key)
    if description is not None:
        state.execute(
            "UPDATE secret SET description = ? WHERE model = ? AND id = ?", description, *key
        )
    if rotation is not None and rotation != secret.rotation:
        due = next_rotation(rotation, time.time())
        state.execute(
            "UPDATE secret SET rotation = ?, next_rotation = ? WHERE model = ? AND id = ?",
            rotation,
            due,
            *key,
        )
    if content is not None and content != read(state, vault, secret, secret.latest):
        _revise(state, vault, secret.model, secret.id, content, expires)
    elif expires is not None:
        state.execute(
            "UPDATE secret_revision SET expires = ?, next_expiry = ?"
            " WHERE model = ? AND secret = ? AND revision = ?",
            expires,
            expires,
            *key,
            secret.latest,
        )
    state.touch(secret.model)
    return _known(state, *key)


def revisions(state: State, secret: Secret) -> list[Revision]:
    """The revisions that exist, oldest first."""
    rows = state.rows(
        "SELECT revision, created, expires FROM secret_revision WHERE model = ? AND secret = ?"
        " ORDER BY revision",
        secret.model,
        secret.id,
    )
    return [Revision(row["revision"], row["created"], row["expires"]) for row in rows]


def read(state: State, vault: Vault, secret: Secret, revision: int) -> dict[str, str]:
    """A revision's content.

    Raises:
        SecretError: there is no such revision.
    """
    row = state.row(
        "SELECT content FROM secret_revision WHERE model = ? AND secret = ? AND revision = ?",
        secret.model,
        secret.id,
        revision,
    )
    if row is None:
        raise SecretError(f'secret revision "{secret.id}/{revision}" not found')
    return vault.unlock(secret.id, revision, row["content"])


def remove(state: State, secret: Secret, revision: int | None = None) -> None:
    """Remove a revision, or the secret; without its last revision a secret is gone."""
    key = (secret.model, secret.id)
    if revision is not None:
        state.execute(
            "DELETE FROM secret_revision WHERE model = ? AND secret = ? AND revision = ?",
            *key,
            revision,
        )
    if revision is None or not revisions(state, secret):
        state.execute("DELETE FROM secret WHERE model = ? AND id = ?", *key)
    state.touch(secret.model)


def remove_owned(state: State, model: str, owner_kind: str, owner: str) -> None:
    """Remove the secrets of an owner that is gone."""
    state.execute(
        "DELETE FROM secret WHERE model = ? AND owner_kind = ? AND owner = ?",
        model,
        owner_kind,
        owner,
    )
    state.touch(model)


def stamp(moment: float) -> str:
    """A time as Juju's JSON has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
