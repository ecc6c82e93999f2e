"""Secrets that a user made and named in an option of the type `secret`."""

from __future__ import annotations

from collections.abc import Iterable

import ops

from .status import Blocked


def content(
    charm: ops.CharmBase, option: str, secret_id: str, keys: Iterable[str]
) -> dict[str, str]:
    """Give what a secret holds.

    Args:
        charm: the charm that it was granted to.
        option: the option that names it, as the user writes it.
        secret_id: its id.
        keys: what it must hold.

    Raises:
        Blocked: it was not granted, or lacks one of the keys.
    """
    try:
        found = charm.model.get_secret(id=secret_id).get_content(refresh=True)
    except (ops.SecretNotFoundError, ops.ModelError) as error:
        raise Blocked(
            f"config {option}: {secret_id} cannot be read; run "
            f"`juju grant-secret {secret_id} {charm.app.name}`"
        ) from error
    for key in keys:
        if not found.get(key):
            raise Blocked(f"config {option}: {secret_id} has no key {key}")
    return found
