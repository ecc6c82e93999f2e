"""Tokens kept in a file that only its owner may read.

One token a line, `NAME:SECRET`; empty lines and lines that start with `#` are skipped. Several
tokens may be valid at once, so that one is replaced without an interruption: add the new one,
move the clients over, remove the old one. The file is read again when it changes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# RFC 6750's token68 alphabet: what fits an Authorization header as it stands.
_SECRET = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SHORTEST = 16
_LONGEST = 512
_LARGEST_FILE = 1 << 20


class TokenFileError(Exception):
    """The token file cannot be used; the message says which file, why and what to do."""


class _Version(NamedTuple):
    """What changes when a file is replaced or written to."""

    inode: int
    size: int
    modified: int
    changed: int


def generate_token() -> str:
    """Make a fresh token: 256 random bits as 43 characters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _parse(text: str, path: Path) -> dict[str, bytes]:
    tokens: dict[str, bytes] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, secret = line.partition(":")
        # The messages never quote the line: it holds a secret.
        if not colon or not _NAME.fullmatch(name):
            raise TokenFileError(f"{path}:{number}: not a token line; write NAME:SECRET")
        if not (_SHORTEST <= len(secret) <= _LONGEST) or not _SECRET.fullmatch(secret):
            raise TokenFileError(
                f"{path}:{number}: the secret of {name!r} must be {_SHORTEST} to {_LONGEST} "
                "letters, digits or any of ._~+/-="
            )
        if name in tokens:
            raise TokenFileError(f"{path}:{number}: a second token is named {name!r}")
        tokens[name] = _digest(secret)
    if not tokens:
        raise TokenFileError(f"{path}: holds no token; write at least one line NAME:SECRET")
    return tokens


class TokenFile:
    """The tokens in one file, as they are now.

    Only digests are kept in memory, and every comparison takes the same time whatever matches.

    Args:
        path: the file; its mode must not let the group or others read it (0600).

    Raises:
        TokenFileError: the file is missing, readable by others, empty or malformed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._version: _Version | None = None
        self._tokens: dict[str, bytes] = {}
        self._refresh()

    def _refresh(self) -> None:
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise TokenFileError(f"{self.path}: {error.strerror}") from error
        version = _Version(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if version == self._version:
            return
        self._version = None
        self._tokens = {}
        if not stat.S_ISREG(found.st_mode):
            raise TokenFileError(f"{self.path}: not a regular file")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise TokenFileError(
                f"{self.path}: mode {stat.S_IMODE(found.st_mode):04o} lets other users read it; "
                "make it 0600"
            )
        if found.st_size > _LARGEST_FILE:
            raise TokenFileError(f"{self.path}: larger than {_LARGEST_FILE} bytes")
        try:
            text = self.path.read_text(encoding="ascii")
        except UnicodeDecodeError as error:
            raise TokenFileError(f"{self.path}: holds more than ASCII text") from error
        except OSError as error:
            raise TokenFileError(f"{self.path}: {error.strerror}") from error
        self._tokens = _parse(text, self.path)
        self._version = version

    def names(self) -> tuple[str, ...]:
        """Name the tokens that are valid now.

        Raises:
            TokenFileError: the file changed and is no longer usable.
        """
        self._refresh()
        return tuple(self._tokens)

    def verify(self, secret: str) -> str | None:
        """Return the name of the token whose secret this is, or None.

        Raises:
            TokenFileError: the file changed and is no longer usable; nothing is valid then.
        """
        self._refresh()
        presented = _digest(secret)
        found: str | None = None
        for name, digest in self._tokens.items():
            # No early exit: the time taken tells nothing about which token came near.
            if hmac.compare_digest(digest, presented):
                found = name
        return found
