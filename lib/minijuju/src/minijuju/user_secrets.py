"""User secrets: those that a person adds to a model and grants to applications."""

from __future__ import annotations

from collections.abc import Mapping

from minijuju import secret_readers, secrets
from minijuju.errors import NotFoundError
from minijuju.secrets import Secret, SecretError
from minijuju.state import State, xid
from minijuju.vault import Vault


def add(
    state: State,
    vault: Vault,
    model: str,
    *,
    owner: str,
    name: str,
    content: Mapping[str, str],
    description: str = "",
) -> Secret:
    """Make a secret; `owner` is the model's name.

    Raises:
        SecretError: the content or the name cannot be.
    """
    if not name:
        raise SecretError("a secret of a model needs a name")
    secrets.check_content(content)
    return secrets.create(
        state,
        vault,
        model,
        xid(),
        owner_kind="model",
        owner=owner,
        content=content,
        label=name,
        description=description,
    )


def find(state: State, model: str, text: str) -> Secret:
    """Give the user secret with an id, a URI or a name.

    Raises:
        NotFoundError: there is none; charms' own secrets are not meant.
    """
    for secret in secrets.every(state, model):
        if secret.owner_kind == "model" and text in (secret.id, secret.uri, secret.label):
            return secret
    raise NotFoundError(f"secret {text!r} not found")


def prune(state: State, secret: Secret, *, on: bool) -> None:
    """Remove revisions that nobody follows any more from now on, or keep them."""
    if on:
        state.execute(
            "INSERT INTO secret_pruned VALUES (?, ?) ON CONFLICT DO NOTHING",
            secret.model,
            secret.id,
        )
        secret_readers.discard(state, secret)
        return
    state.execute(
        "DELETE FROM secret_pruned WHERE model = ? AND secret = ?", secret.model, secret.id
    )


def grant(state: State, secret: Secret, application: str) -> None:
    """Let an application's units read it."""
    state.execute(
        "INSERT INTO secret_access VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        secret.model,
        secret.id,
        application,
    )
    state.touch(secret.model)


def revoke(state: State, secret: Secret, application: str) -> None:
    """Take that back."""
    state.execute(
        "DELETE FROM secret_access WHERE model = ? AND secret = ? AND application = ?",
        secret.model,
        secret.id,
        application,
    )
    secret_readers.prune(state, secret)
