"""The interface `postgresql_client`, the requirer's side: a database, and a user of its own.

In version 0, which every PostgreSQL charm speaks (`data_interfaces` of the data platform); the
library on PyPI, `dpcharmlibs-interfaces`, asks in version 1 alone, and serves both. Application
databags, each field as text:

| who writes | field | value |
|---|---|---|
| requirer | `database` | the name of the database that it wants |
| requirer | `requested-secrets` | JSON: which fields are to come by secret |
| provider | `endpoints` | `HOST:PORT` of the primary, with more behind commas |
| provider | `database` | the name that it got, if that is another |
| provider | `secret-user` | URI of a secret with `username` and `password` |
| provider | `secret-tls` | URI of a secret with `tls` (`true`) and `tls-ca` (PEM), if it has TLS |
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

import ops

from ..status import Blocked, Waiting

_SECRETS = ("username", "password", "tls", "tls-ca", "uris", "read-only-uris")
_ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5})")
_LONGEST = 49
"""Characters of a name that PostgreSQL charms take: they make others of it."""


@dataclass(frozen=True, slots=True)
class PostgresqlInfo:
    """A database of a PostgreSQL server, and a user of it.

    Attributes:
        host: the primary's name or address.
        port: its port.
        database: the database's name.
        username: the user's name.
        password: the user's.
        tls: whether the server wants to be checked by its certificate.
        certificates: the authorities to trust, as PEM; "" for those that everyone knows.
    """

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    tls: bool = False
    certificates: str = ""

    def file_content(self) -> str:
        """Give it as the workloads read it (see `toolkit_database.login`)."""
        fields = {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "username": self.username,
            "password": self.password,
            "tls": self.tls,
            "tls-ca": self.certificates,
        }
        return f"{json.dumps(fields, sort_keys=True)}\n"


class PostgresqlRequirer:
    """The side that uses a database; at most one relation.

    Args:
        charm: the charm.
        endpoint: the relation's name in charmcraft.yaml.
    """

    def __init__(self, charm: ops.CharmBase, endpoint: str) -> None:
        self._charm = charm
        self._endpoint = endpoint

    @property
    def relation(self) -> ops.Relation | None:
        """The relation, unless there is none or it is just ending."""
        found = self._charm.model.get_relation(self._endpoint)
        return found if found is not None and found.active and found.app is not None else None

    @property
    def database(self) -> str:
        """The name of the database that is asked for: of the model and the application.

        Providers give the same database to all that ask for the same name, from other models too.
        """
        name = f"{self._charm.model.name}_{self._charm.app.name}".replace("-", "_")
        if len(name) <= _LONGEST:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{name[: _LONGEST - 9]}_{digest}"

    def request(self) -> None:
        """Ask for the database; only the leader may. Nothing new is written twice."""
        relation = self.relation
        if relation is None:
            return
        data = relation.data[self._charm.app]
        # A name that was asked for stays: providers take no other afterwards.
        data.setdefault("database", self.database)
        data["requested-secrets"] = json.dumps(_SECRETS)

    def load(self) -> PostgresqlInfo | None:
        """Read what the other side gave; None if there is no relation.

        Raises:
            Waiting: the database or a secret is not there yet.
            Blocked: the other side published what this version cannot read.
        """
        relation = self.relation
        if relation is None:
            return None
        data = relation.data[relation.app]
        endpoints, user = data.get("endpoints", ""), data.get("secret-user", "")
        if not endpoints or not user:
            raise Waiting(f"{relation.app.name} has not given a database yet")
        match = _ENDPOINT.fullmatch(endpoints.split(",")[0].strip())
        if match is None or not 0 < int(match["port"]) < 65536:
            raise Blocked(
                f"relation {self._endpoint}: {relation.app.name} names no HOST:PORT, "
                f"but {endpoints[:60]!r}"
            )
        login = self._content(relation, user)
        if not login.get("username") or not login.get("password"):
            raise Blocked(
                f"relation {self._endpoint}: the secret of {relation.app.name} has no user "
                "with a password"
            )
        tls = self._content(relation, secret) if (secret := data.get("secret-tls")) else {}
        return PostgresqlInfo(
            host=match["host"].strip("[]"),
            port=int(match["port"]),
            database=data.get("database") or self._asked(relation),
            username=login["username"],
            password=login["password"],
            tls=tls.get("tls", "").lower() == "true",
            certificates=tls.get("tls-ca", ""),
        )

    def _asked(self, relation: ops.Relation) -> str:
        # What was asked is in the application's databag, which the leader alone can read.
        return (
            self.database
            if not self._charm.unit.is_leader()
            else (relation.data[self._charm.app].get("database") or self.database)
        )

    def _content(self, relation: ops.Relation, secret: str) -> dict[str, str]:
        try:
            return self._charm.model.get_secret(id=secret).get_content(refresh=True)
        except (ops.SecretNotFoundError, ops.ModelError) as error:
            raise Waiting(f"{relation.app.name} has not granted its secrets yet") from error
