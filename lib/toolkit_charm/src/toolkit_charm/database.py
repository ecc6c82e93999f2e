"""Where a workload's database is: SQLite on the storage, or PostgreSQL by relation.

The workload keeps two files in its folder: `postgresql.json`, once PostgreSQL has the data, and
`problem`, while it cannot use its database.
"""

from __future__ import annotations

from dataclasses import dataclass

import ops

from .interfaces.postgresql import PostgresqlRequirer
from .workload import File

NOTE = "postgresql.json"
PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Place:
    """What the workload is given.

    Attributes:
        login: the file that says where PostgreSQL is; None for SQLite.
        halt: why nothing may run, or None.
    """

    login: File | None = None
    halt: str | None = None


class Database:
    """The database of one workload.

    Args:
        charm: the charm.
        endpoint: the relation's name in charmcraft.yaml; its interface is `postgresql_client`.
        container: the workload's container.
        folder: the folder in it that the workload keeps its state in.
        login: the path in it of the file that says where PostgreSQL is.
    """

    def __init__(
        self,
        charm: ops.CharmBase,
        endpoint: str,
        *,
        container: ops.Container,
        folder: str,
        login: str,
    ) -> None:
        self._charm = charm
        self._endpoint = endpoint
        self._container = container
        self._folder = folder
        self._login = login
        self._requirer = PostgresqlRequirer(charm, endpoint)

    def request(self) -> None:
        """Ask for a database where one is to be had; only the leader may."""
        self._requirer.request()

    @property
    def related(self) -> bool:
        """Whether a database is to be had by relation, now or soon."""
        relation = self._charm.model.get_relation(self._endpoint)
        return relation is not None and relation.active

    def place(self) -> Place:
        """Give where the database is.

        Raises:
            Waiting, Blocked: see `PostgresqlRequirer.load`.
        """
        found = self._requirer.load()
        if found is not None:
            return Place(File(self._login, found.file_content(), restart=True))
        note = f"{self._folder}/{NOTE}"
        if not self._container.exists(note):
            return Place()
        # SQLite would begin anew without them.
        return Place(
            halt=f"the data are in PostgreSQL: run `juju integrate {self._charm.app.name}:"
            f"{self._endpoint} POSTGRESQL`, or remove {note} in the container, to begin without"
        )

    def problem(self) -> str:
        """Give what the workload said of why it cannot use its database, or ""."""
        try:
            with self._container.pull(f"{self._folder}/{PROBLEM}") as file:
                said: str = file.read()
        except ops.pebble.PathError:
            return ""
        return said
