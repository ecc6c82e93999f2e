"""The file that says where a database is, and by whom it is used.

JSON, readable by its owner alone:

    {"host": "db.example.com", "port": 5432, "database": "pipelines", "username": "u",
     "password": "p", "tls": true, "tls-ca": "-----BEGIN CERTIFICATE-----…"}

`tls` and `tls-ca` may be left out: no TLS; the authorities that everyone knows.
"""

from __future__ import annotations

import json
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class LoginError(ValueError):
    """A login file cannot be used; the message names it and the field, and shows no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A database of a PostgreSQL server, and a user of it.

    Attributes:
        host: a name or an address.
        port: the TCP port.
        database: its name.
        username: the user's name.
        password: the user's.
        tls: whether the connection is encrypted and the server's certificate checked, by name.
        certificates: the authorities to trust, as PEM; "" for those that everyone knows.
    """

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    tls: bool = False
    certificates: str = ""

    def __str__(self) -> str:
        return f"database {self.database} on {self.host}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        """Give what checks the server, None without TLS.

        Raises:
            LoginError: the authorities cannot be read.
        """
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cadata=self.certificates or None)
        except ssl.SSLError as error:
            raise LoginError(f"tls-ca holds no certificates: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Login:
        """Read a login file.

        Raises:
            LoginError: it cannot be read, others can read it, or a field is wrong.
        """
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LoginError(f"{path}: {error}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise LoginError(f"{path}: others can read it; make its mode 0600")
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            # Not chained: the error holds the text.
            raise LoginError(f"{path} is not JSON, line {error.lineno}") from None
        if not isinstance(data, dict):
            raise LoginError(f"{path} must hold an object")
        try:
            return cls._of(data)
        except LoginError as error:
            raise LoginError(f"{path}: {error}") from error

    @classmethod
    def _of(cls, data: dict[str, Any]) -> Login:
        names = ("host", "database", "username", "password")
        for name in (*names, "tls-ca"):
            value = data.get(name, None if name in names else "")
            if not isinstance(value, str) or (not value and name in names):
                raise LoginError(f"{name} is missing, or is no text")
        port, tls = data.get("port"), data.get("tls", False)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            raise LoginError("port must be a number from 1 to 65535")
        if not isinstance(tls, bool):
            raise LoginError("tls must be true or false")
        login = cls(
            **{name: data[name] for name in names},
            port=port,
            tls=tls,
            certificates=data.get("tls-ca", ""),
        )
        login.context()
        return login
