"""The connection to the database: opened, checked, brought up to date.

SQLite in WAL mode with full synchronisation: what was committed survives a kill of this process
and of the machine. A writing transaction takes the write lock when it begins, so that it never
fails half-way for want of it. PostgreSQL needs none of the SQLite part below.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from . import tables
from .interface import StoreError

HEAD = "0001"
"""The newest revision in `migrations/versions`."""

_BUSY_SECONDS = 30


class DatabaseError(StoreError):
    """The database cannot be used: damaged, from a newer version, or out of reach."""


class Database:
    """A database with the tables of this version."""

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self.engine = engine

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlalchemy.Connection]:
        """Give a connection that sees one state of the database throughout.

        Raises:
            DatabaseError: the database does not answer, or the disk is full.
        """
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlalchemy.Connection]:
        """Give a connection whose changes are committed together, or not at all on an error.

        Raises:
            DatabaseError: as for `read`; nothing was changed.
        """
        with _translated(), self.engine.connect() as connection:
            connection = connection.execution_options(toolkit_writes=True)
            with connection.begin():
                yield connection

    def key(self, name: str) -> bytes:
        """Give the random key of that name, made on first use and the same from then on."""
        with self.write() as connection:
            connection.execute(
                sqlite_insert(tables.keys)
                .values(name=name, value=secrets.token_bytes(32))
                .on_conflict_do_nothing()
            )
            found: bytes = connection.execute(
                sqlalchemy.select(tables.keys.c.value).where(tables.keys.c.name == name)
            ).scalar_one()
        return found

    def check(self) -> None:
        """Read something; DatabaseError if that fails."""
        with self.read() as connection:
            connection.execute(sqlalchemy.select(tables.keys.c.name).limit(1)).all()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # The driver's own words; SQLAlchemy's would add the statement and users' data.
        raise DatabaseError(f"the database failed: {error.orig}") from error


def open_sqlite(path: Path) -> Database:
    """Open the database file at `path`, made with mode 0600 if it is not there.

    Raises:
        DatabaseError: it is damaged, is no database, was written by a newer version of this
            service, or cannot be read or written. It is left as it is.
    """
    try:
        # SQLite gives its journal files the mode of the database file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from error
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        _check(engine, path)
        _migrate(engine, path)
    except SQLAlchemyError as error:
        engine.dispose()
        raise DatabaseError(f"{path}: {error}") from error
    except DatabaseError:
        engine.dispose()
        raise
    return Database(engine)


def _configure(connection: sqlite3.Connection, record: object) -> None:
    # The driver must not open transactions of its own: _begin does it.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-4096",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sqlalchemy.Connection) -> None:
    writes = connection.get_execution_options().get("toolkit_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check(engine: sqlalchemy.Engine, path: Path) -> None:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise DatabaseError(
            f"{path} is damaged ({found}); restore it from a backup, or move it away to start anew"
        )


def _migrate(engine: sqlalchemy.Engine, path: Path) -> None:
    """Bring the tables to this version's; alembic is loaded only if there is something to do."""
    if _revision(engine) == HEAD:
        return
    from . import migrations

    with Database(engine).write() as connection:
        try:
            migrations.upgrade(connection)
        except migrations.UnknownRevisionError as error:
            raise DatabaseError(
                f"{path} was written by a newer version of this service: {error}"
            ) from error


def _revision(engine: sqlalchemy.Engine) -> str | None:
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.exec_driver_sql(
            "SELECT version_num FROM alembic_version"
        ).scalar()
        return found
