"""Charm secrets: owners, labels, revisions, grants and who follows what; encrypted at rest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minijuju.errors import JujuError, StateError
from minijuju.state import State

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

ROTATION = {
    "hourly": 3600.0,
    "daily": 86400.0,
    "weekly": 7 * 86400.0,
    "monthly": 30 * 86400.0,
    "quarterly": 91 * 86400.0,
    "yearly": 365 * 86400.0,
}
RETRY = 300.0
"""Seconds until secret-rotate or secret-expired comes again if the charm did not act on it."""
MAX_BYTES = 1024 * 1024
_KEY = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_ID = re.compile(r"(?:secret:(?://[0-9a-f-]{36}/)?)?([0-9a-v]{20})")


class SecretError(JujuError):
    """A secret that is not there, or may not be had or changed so."""


class Vault:
    """Encrypts contents with the key in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fernet: Fernet | None = None

    def _cipher(self) -> Fernet:
        """The cipher, made on first use: the library costs memory that few need while idle."""
        if self._fernet is None:
            from cryptography.fernet import Fernet

            try:
                key = self.path.read_bytes()
            except FileNotFoundError:
                key = self._make(Fernet.generate_key())
            try:
                self._fernet = Fernet(key)
            except ValueError as error:
                raise StateError(f"{self.path} holds no key: {error}") from None
        return self._fernet

    def _make(self, key: bytes) -> bytes:
        """Write the key whole or not at all."""
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(target, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.path)
        return key

    def lock(self, secret: str, revision: int, content: Mapping[str, str]) -> bytes:
        """Encrypt a revision's content; it can only be opened as that revision."""
        plain = json.dumps([secret, revision, dict(content)])
        return self._cipher().encrypt(plain.encode())

    def unlock(self, secret: str, revision: int, content: bytes) -> dict[str, str]:
        """Decrypt a revision's content.

        Raises:
            StateError: it was made with another key, changed, or belongs elsewhere.
        """
        from cryptography.fernet import InvalidToken

        try:
            found, number, plain = json.loads(self._cipher().decrypt(content))
        except InvalidToken:
            raise StateError(f"secret {secret} cannot be decrypted with {self.path}") from None
        if (found, number) != (secret, revision):
            raise StateError(f"secret {secret} holds the content of {found}")
        return dict(plain)


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
        if not _KEY.fullmatch(key) or len(key) < 3:
            raise SecretError(
                f'key "{key}" not valid: at least 3 lower-case letters, digits or hyphens,'
                " a letter first"
            )
    if sum(len(key) + len(value.encode()) for key, value in content.items()) > MAX_BYTES:
        raise SecretError("secret content exceeds 1 MiB")


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


def labelled(state: State, model: str, unit: str, label: str) -> Secret | None:
    """The secret that a unit knows by a label: its own or its application's, or one it reads."""
    application = unit.partition("/")[0]
    row = state.row(
        "SELECT * FROM secret WHERE model = ? AND label = ? AND"
        " ((owner_kind = 'unit' AND owner = ?) OR (owner_kind = 'application' AND owner = ?))"
        " ORDER BY owner_kind DESC",
        model,
        label,
        unit,
        application,
    )
    if row is None:
        row = state.row(
            "SELECT secret.* FROM secret JOIN secret_consumer AS consumer"
            " ON consumer.model = secret.model AND consumer.secret = secret.id"
            " WHERE secret.model = ? AND consumer.label = ? AND consumer.unit = ?",
            model,
            label,
            unit,
        )
    return _secret(row) if row else None


def manages(secret: Secret, unit: str, *, leader: bool) -> bool:
    """Whether a unit may change a secret."""
    if secret.owner_kind == "unit":
        return secret.owner == unit
    return secret.owner_kind == "application" and leader and secret.owner == unit.partition("/")[0]


def readable(state: State, secret: Secret, unit: str) -> bool:
    """Whether a unit may read a secret: it or its application owns it, or it was granted."""
    application = unit.partition("/")[0]
    if secret.owner_kind == "model":
        return application in access(state, secret)
    if secret.owner == (unit if secret.owner_kind == "unit" else application):
        return True
    return (
        state.row(
            "SELECT 1 FROM secret_grant WHERE model = ? AND secret = ? AND subject IN (?, ?)",
            secret.model,
            secret.id,
            unit,
            application,
        )
        is not None
    )


def access(state: State, secret: Secret) -> list[str]:
    """The applications that may read a user's secret."""
    rows = state.rows(
        "SELECT application FROM secret_access WHERE model = ? AND secret = ?"
        " ORDER BY application",
        secret.model,
        secret.id,
    )
    return [row["application"] for row in rows]


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
    taken = label and state.row(
        "SELECT 1 FROM secret WHERE model = ? AND owner_kind = ? AND owner = ? AND label = ?",
        model,
        owner_kind,
        owner,
        label,
    )
    if taken:
        raise SecretError(f'secret with label "{label}" already exists')
    state.execute(
        "INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        model,
        identity,
        owner_kind,
        owner,
        label,
        description,
        rotation,
        now + ROTATION[rotation] if rotation in ROTATION else None,
        now,
        now,
    )
    _revise(state, vault, model, identity, content, expires)
    return _known(state, model, identity)


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
    """Change a secret; content that differs makes a new revision, the same content none."""
    key = (secret.model, secret.id)
    if label is not None and label != secret.label:
        taken = label and state.row(
            "SELECT 1 FROM secret WHERE model = ? AND owner_kind = ? AND owner = ? AND label = ?"
            " AND id <> ?",
            secret.model,
            secret.owner_kind,
            secret.owner,
            label,
            secret.id,
        )
        if taken:
            raise SecretError(f'secret with label "{label}" already exists')
        state.execute("UPDATE secret SET label = ? WHERE model = ? AND id = ?", label, *key)
    if description is not None:
        state.execute(
            "UPDATE secret SET description = ? WHERE model = ? AND id = ?", description, *key
        )
    if rotation is not None and rotation != secret.rotation:
        due = time.time() + ROTATION[rotation] if rotation in ROTATION else None
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


def grant(state: State, secret: Secret, relation: int, subject: str) -> None:
    """Let an application or unit read, for as long as the relation lasts.

    Raises:
        SecretError: single units of the application have grants, which must go first.
    """
    if "/" not in subject and state.row(
        "SELECT 1 FROM secret_grant WHERE model = ? AND secret = ? AND subject LIKE ?",
        secret.model,
        secret.id,
        f"{subject}/%",
    ):
        raise SecretError(
            f'cannot grant "{secret.id}" to application "{subject}": revoke the grants of its'
            " units first"
        )
    state.execute(
        "INSERT INTO secret_grant VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        secret.model,
        secret.id,
        relation,
        subject,
    )
    state.touch(secret.model)


def revoke(state: State, secret: Secret, relation: int | None, subject: str) -> None:
    """Take a grant back: of one relation, or all of a subject's."""
    state.execute(
        "DELETE FROM secret_grant WHERE model = ? AND secret = ? AND subject = ?"
        " AND (? IS NULL OR relation = ?)",
        secret.model,
        secret.id,
        subject,
        relation,
        relation,
    )
    # Who may read no longer follows no longer, so that old revisions can become obsolete.
    for row in state.rows(
        "SELECT unit FROM secret_consumer WHERE model = ? AND secret = ?", secret.model, secret.id
    ):
        if not readable(state, secret, row["unit"]):
            state.execute(
                "DELETE FROM secret_consumer WHERE model = ? AND secret = ? AND unit = ?",
                secret.model,
                secret.id,
                row["unit"],
            )
    state.touch(secret.model)


def grants(state: State, secret: Secret) -> list[tuple[str, int]]:
    """Who was granted the secret, and over which relation."""
    rows = state.rows(
        "SELECT subject, relation FROM secret_grant WHERE model = ? AND secret = ?"
        " ORDER BY subject, relation",
        secret.model,
        secret.id,
    )
    return [(row["subject"], row["relation"]) for row in rows]


def tracked(state: State, secret: Secret, unit: str) -> int:
    """The revision a unit follows; 0 if it never read the secret."""
    row = state.row(
        "SELECT revision FROM secret_consumer WHERE model = ? AND secret = ? AND unit = ?",
        secret.model,
        secret.id,
        unit,
    )
    return int(row[0]) if row else 0


def consumer_label(state: State, secret: Secret, unit: str) -> str:
    """How a unit that follows a secret calls it; empty if it gave no label."""
    row = state.row(
        "SELECT label FROM secret_consumer WHERE model = ? AND secret = ? AND unit = ?",
        secret.model,
        secret.id,
        unit,
    )
    return str(row[0]) if row else ""


def track(state: State, secret: Secret, unit: str, revision: int, label: str = "") -> None:
    """Note which revision a unit follows, and how it calls the secret."""
    state.execute(
        "INSERT INTO secret_consumer VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " revision = excluded.revision,"
        " label = CASE WHEN excluded.label = '' THEN label ELSE excluded.label END",
        secret.model,
        secret.id,
        unit,
        label,
        revision,
    )
    state.touch(secret.model)


def obsolete(state: State, secret: Secret) -> list[int]:
    """The revisions that nobody follows and that are not the latest."""
    rows = state.rows(
        "SELECT revision FROM secret_revision AS r WHERE model = ? AND secret = ?"
        " AND revision <> ? AND NOT EXISTS (SELECT 1 FROM secret_consumer AS c WHERE"
        " c.model = r.model AND c.secret = r.secret AND c.revision = r.revision)"
        " ORDER BY revision",
        secret.model,
        secret.id,
        secret.latest,
    )
    return [row["revision"] for row in rows]


@dataclass(frozen=True, slots=True)
class Due:
    """What a unit has to hear of secrets now, and when there will be more (epoch seconds)."""

    expired: tuple[tuple[str, int], ...]
    rotate: tuple[tuple[str, int], ...]
    changed: Mapping[str, int]
    obsolete: tuple[tuple[str, int], ...]
    next: float | None


def due(state: State, model: str, unit: str, *, leader: bool) -> Due:
    """What a unit has to hear of the secrets it manages and of those it follows."""
    now = time.time()
    moments: list[float] = []
    expired: list[tuple[str, int]] = []
    rotate: list[tuple[str, int]] = []
    old: list[tuple[str, int]] = []
    for secret in owned(state, model, unit, leader=leader):
        for row in state.rows(
            "SELECT revision, next_expiry FROM secret_revision WHERE model = ? AND secret = ?"
            " AND next_expiry IS NOT NULL ORDER BY revision",
            model,
            secret.id,
        ):
            if row["next_expiry"] <= now:
                expired.append((secret.id, row["revision"]))
            else:
                moments.append(row["next_expiry"])
        if secret.next_rotation is not None:
            if secret.next_rotation <= now:
                rotate.append((secret.id, secret.latest))
            else:
                moments.append(secret.next_rotation)
        old.extend((secret.id, revision) for revision in obsolete(state, secret))
    changed = {
        row["id"]: row["latest"]
        for row in state.rows(
            "SELECT secret.id AS id, secret.latest AS latest FROM secret JOIN secret_consumer AS c"
            " ON c.model = secret.model AND c.secret = secret.id"
            " WHERE secret.model = ? AND c.unit = ? AND c.revision < secret.latest",
            model,
            unit,
        )
    }
    return Due(
        tuple(expired), tuple(rotate), changed, tuple(old), min(moments) if moments else None
    )


def rotated(state: State, model: str, identity: str, before: int) -> None:
    """Plan the next rotation after secret-rotate ran; soon again if there is no new revision."""
    secret = find(state, model, identity)
    if secret is None or secret.next_rotation is None:
        return
    wait = ROTATION[secret.rotation] if secret.latest > before else RETRY
    state.execute(
        "UPDATE secret SET next_rotation = ? WHERE model = ? AND id = ?",
        time.time() + min(wait, ROTATION[secret.rotation]),
        model,
        identity,
    )
    state.touch(model)


def expired(state: State, model: str, identity: str, revision: int) -> None:
    """Plan the next secret-expired, should the revision still be there."""
    state.execute(
        "UPDATE secret_revision SET next_expiry = ?"
        " WHERE model = ? AND secret = ? AND revision = ?",
        time.time() + RETRY,
        model,
        identity,
        revision,
    )
    state.touch(model)


def stamp(moment: float) -> str:
    """A time as Juju's JSON has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def document(
    state: State, vault: Vault, secret: Secret, *, reveal: bool, revision: int | None, all_: bool
) -> dict[str, Any]:
    """The secret as `juju show-secret --format json` prints it."""
    shown: dict[str, Any] = {
        "revision": revision or secret.latest,
        "owner": secret.owner,
        "created": stamp(secret.created),
        "updated": stamp(secret.updated),
    }
    label = "name" if secret.owner_kind == "model" else "label"
    texts = {label: secret.label, "description": secret.description}
    shown.update({key: value for key, value in texts.items() if value})
    if secret.rotation and secret.rotation != "never":
        shown["rotation"] = secret.rotation
    if secret.next_rotation is not None:
        shown["rotates"] = stamp(secret.next_rotation)
    known = revisions(state, secret)
    latest = next((one for one in known if one.number == shown["revision"]), None)
    if latest and latest.expires is not None:
        shown["expires"] = stamp(latest.expires)
    readers = [
        {"target": subject, "scope": f"relation-{relation}", "role": "view"}
        for subject, relation in grants(state, secret)
    ]
    readers += [
        {"target": f"application-{name}", "scope": f"model-{secret.model}", "role": "view"}
        for name in access(state, secret)
    ]
    if readers:
        shown["access"] = readers
    if all_:
        shown["revisions"] = [
            {
                "revision": one.number,
                "backend": "internal",
                "created": stamp(one.created),
                "updated": stamp(one.created),
            }
            for one in known
        ]
    if reveal:
        content = read(state, vault, secret, shown["revision"])
        shown["content"] = {"Data": content, "Checksum": checksum(content)}
        shown["checksum"] = checksum(content)
    return shown
