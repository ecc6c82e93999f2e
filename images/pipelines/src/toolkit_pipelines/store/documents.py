"""The documents of attempts in the database: see `toolkit_pipelines.documents`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy
from sqlalchemy import select

from ..documents import Kind
from . import tables
from .database import Database, insert_new

_TABLE = tables.documents


class StoredDocuments:
    """Documents in a database; they go with their run.

    Args:
        database: it. All calls may raise DatabaseError: a document of a run that has been
            deleted is not taken either.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def path(self, home: str, kind: Kind) -> None:
        """See `Documents`: they are in no files."""

    def near(self, home: str, kind: Kind) -> bool:
        """See `Documents`: a database may be another machine's, and has other writers."""
        del home, kind
        return False

    def has(self, home: str, kind: Kind) -> bool:
        """See `Documents`."""
        with self._database.read() as connection:
            found = connection.execute(select(_TABLE.c.home).where(_key(home, kind)))
            return found.first() is not None

    def read(self, home: str, kind: Kind) -> str | None:
        """See `Documents`."""
        with self._database.read() as connection:
            return _body(connection, home, kind)

    def write(self, home: str, kind: Kind, text: str) -> None:
        """See `Documents`."""
        with self._database.write() as connection:
            made = insert_new(connection, _TABLE).values(_row(home, kind, text))
            if connection.execute(made).rowcount == 0:
                changed = sqlalchemy.update(_TABLE).where(_key(home, kind))
                connection.execute(changed.values(body=text.encode()))

    def add(self, texts: Mapping[tuple[str, Kind], str]) -> None:
        """Write those documents, by home and kind, that are not there; all or none of them."""
        rows = [_row(home, kind, text) for (home, kind), text in texts.items()]
        with self._database.write() as connection:
            connection.execute(insert_new(connection, _TABLE), rows)

    def claim(self, home: str, text: str) -> str:
        """See `Documents`."""
        with self._database.write() as connection:
            row = _row(home, Kind.CLAIM, text)
            connection.execute(insert_new(connection, _TABLE).values(row))
            found = _body(connection, home, Kind.CLAIM)
        assert found is not None  # noqa: S101 - inserted, or there before
        return found

    def drop(self, home: str) -> None:
        """See `Documents`."""
        with self._database.write() as connection:
            connection.execute(sqlalchemy.delete(_TABLE).where(_key(home, Kind.DECLARED)))

    def folders(self, run_id: str) -> list[str]:
        """See `Documents`."""
        wanted = select(_TABLE.c.home, _TABLE.c.kind).where(_TABLE.c.run_id == run_id)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return sorted({_folder(home, Kind(kind)) for home, kind in rows})


def _body(connection: sqlalchemy.Connection, home: str, kind: Kind) -> str | None:
    found: bytes | None = connection.execute(
        select(_TABLE.c.body).where(_key(home, kind))
    ).scalar_one_or_none()
    return found.decode() if found is not None else None


def _key(home: str, kind: Kind) -> sqlalchemy.ColumnElement[bool]:
    return sqlalchemy.and_(_TABLE.c.home == home, _TABLE.c.kind == kind.value)


def _row(home: str, kind: Kind, text: str) -> dict[str, Any]:
    run_id = _folder(home, kind).rpartition("/")[2]
    return {"home": home, "kind": kind.value, "run_id": run_id, "body": text.encode()}


def _folder(home: str, kind: Kind) -> str:
    """Give the run's folder; an attempt's is two levels below it."""
    return home if kind is Kind.WORKSPACE else home.rsplit("/", 2)[0]
