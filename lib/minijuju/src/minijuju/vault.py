"""The vault: contents of secrets are encrypted at rest, by a key that only its owner reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from minijuju.errors import StateError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


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
