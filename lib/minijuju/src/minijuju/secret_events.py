"""What units hear of secrets: secret-expired, -rotate, -changed and -remove, by the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from minijuju import secret_readers, secrets
from minijuju.state import State

RETRY = 300.0
"""Seconds until secret-rotate or secret-expired comes again if the charm did not act on it."""


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
    for secret in secrets.owned(state, model, unit, leader=leader):
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
        old.extend((secret.id, revision) for revision in secret_readers.obsolete(state, secret))
    changed = {
        row["id"]: row["latest"]
        for row in state.rows(
            "SELECT secret.id AS id, secret.latest AS latest FROM secret JOIN secret_follower AS f"
            " ON f.model = secret.model AND f.secret = secret.id"
            " WHERE f.unit_model = ? AND f.unit = ? AND f.revision < secret.latest",
            model,
            unit,
        )
    }
    return Due(
        tuple(expired), tuple(rotate), changed, tuple(old), min(moments) if moments else None
    )


def rotated(state: State, model: str, identity: str, before: int) -> None:
    """Plan the next rotation after secret-rotate ran; soon again if there is no new revision."""
    secret = secrets.find(state, model, identity)
    if secret is None or secret.next_rotation is None:
        return
    now = time.time()
    following = secrets.next_rotation(secret.rotation, now)
    if secret.latest <= before and following is not None:
        following = min(following, now + RETRY)
    state.execute(
        "UPDATE secret SET next_rotation = ? WHERE model = ? AND id = ?",
        following,
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
