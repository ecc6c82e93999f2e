"""The application's own token: made once by the leader, kept as a Juju secret."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import ops

from .status import Waiting

LABEL = "token"
KEY = "token"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the app-owned secret that holds it under the key `token`."""

    value: str
    secret: ops.Secret

    @property
    def secret_id(self) -> str:
        """The secret's URI, `secret:…`, which may travel in a databag."""
        return self.secret.id or self.secret.get_info().id

    def file_content(self) -> str:
        """The token file of the workload: one line, `main:SECRET`."""
        return f"main:{self.value}\n"


def load(charm: ops.CharmBase) -> Token:
    """Read the application's token; the leader makes it if there is none.

    Raises:
        Waiting: there is none yet and this unit may not make it.
    """
    try:
        secret = charm.model.get_secret(label=LABEL)
        return Token(secret.get_content()[KEY], secret)
    except ops.SecretNotFoundError:
        if not charm.unit.is_leader():
            raise Waiting("the leader has not made the token yet") from None
    value = secrets.token_urlsafe(32)
    secret = charm.app.add_secret(
        {KEY: value}, label=LABEL, description="Lets its holder use the API."
    )
    return Token(value, secret)
