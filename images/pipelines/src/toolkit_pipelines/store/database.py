"""A database with the tables of this version, whichever kind it is.

One transaction writes at a time, and sees all that was committed before it began; a reading one
sees one state throughout. `sqlite` and `postgresql` open one each, and keep that.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import sqlite3
from collections.abc import Iterator

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from toolkit_database import words

from . import tables
from .interface import BusyError, StoreError

HEAD = "0006"
"""The newest revision in `migrations/versions`."""

_FOLD = 64
"""Of how many transactions in haste one waits, so that SQLite may fold its log."""

BUSY_SECONDS = 30
"""How long a transaction waits for those before it."""


class DatabaseError(StoreError):
    """The database cannot be used: damaged, from a newer version, or out of reach."""


class Database:
    """A database with the tables of this version.

    Args:
        reader: what reading transactions are on.
        writer: what writing ones are on, one at a time.
        hasty: what those are on that wait for nobody, all of one thread; None if there are none.
    """

    def __init__(
        self,
        reader: sqlalchemy.Engine,
        writer: sqlalchemy.Engine,
        hasty: sqlalchemy.Engine | None = None,
    ) -> None:
        self.engine = reader
        self._writer = writer
        self._hasty = hasty
        self._haste = 0

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlalchemy.Connection]:
        """Give a connection that sees one state of the database throughout.

        Raises:
            DatabaseError: the database does not answer, or the disk is full.
        """
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self, *, durable: bool = True, wait: bool = True) -> Iterator[sqlalchemy.Connection]:
        """Give a connection whose changes are committed together, or not at all on an error.

        Args:
            durable: whether the disk has them at the end. Else a machine that loses its power may
                lose them, with all such changes since the last durable ones, and never some in
                the middle; whatever dies without it, nothing is lost. SQLite alone knows the
                difference.
            wait: False for who is on the event loop: neither for another's transaction nor for
                the disk, so that it can be nothing durable. There is one such thread.

        Raises:
            BusyError: it would have to wait, or it is time that the log is folded.
            DatabaseError: as for `read`; nothing was changed. Or the connection was lost while it
                was being committed: then it may have been, and all is to be read anew.
        """
        with (
            translated(),
            self._writer.connect() if wait else self._hurrying() as connection,
            connection.execution_options(toolkit_durable=durable).begin(),
        ):
            yield connection

    @contextlib.contextmanager
    def _hurrying(self) -> Iterator[sqlalchemy.Connection]:
        self._haste += 1
        if self._hasty is None or self._haste % _FOLD == 0:
            raise BusyError("a transaction would have to wait here")
        try:
            with self._hasty.connect() as connection:
                yield connection
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise BusyError("another transaction is under way") from error
            raise

    def key(self, name: str) -> bytes:
        """Give the random key of that name, made on first use and the same from then on."""
        with self.write() as connection:
            connection.execute(
                insert_new(connection, tables.keys).values(
                    name=name, value=secrets.token_bytes(32)
                )
            )
            found: bytes = connection.execute(
                sqlalchemy.select(tables.keys.c.value).where(tables.keys.c.name == name)
            ).scalar_one()
        return found

    def has_key(self, name: str) -> bool:
        """Tell whether there is a key of that name."""
        with self.read() as connection:
            wanted = sqlalchemy.select(tables.keys.c.name).where(tables.keys.c.name == name)
            return connection.execute(wanted).first() is not None

    def drop_key(self, name: str) -> None:
        """Drop the key of that name, if there is one."""
        with self.write() as connection:
            connection.execute(sqlalchemy.delete(tables.keys).where(tables.keys.c.name == name))

    def check(self) -> None:
        """Read something; DatabaseError if that fails."""
        with self.read() as connection:
            connection.execute(sqlalchemy.select(tables.keys.c.name).limit(1)).all()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self._writer.dispose()
        if self._hasty is not None:
            self._hasty.dispose()


def insert_new(
    connection: sqlalchemy.Connection, table: sqlalchemy.Table
) -> sqlite.Insert | postgresql.Insert:
    """Give a statement that inserts a row unless there is one of its key."""
    return _insert_new(connection.dialect.name, table)


@functools.cache
def _insert_new(dialect: str, table: sqlalchemy.Table) -> sqlite.Insert | postgresql.Insert:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Tell what the database or its driver says as a DatabaseError."""
    try:
        yield
    except DBAPIError as error:
        # The database's own words; SQLAlchemy's would add the statement and users' data.
        raise DatabaseError(f"the database failed: {words(error)}") from error
    except PoolTimeoutError as error:
        raise DatabaseError(
            f"the database is busy: {BUSY_SECONDS} s were not enough for the transactions before"
        ) from error


def migrate(database: Database, where: str) -> None:
    """Bring the tables to this version's; alembic is loaded only if there is something to do.

    Raises:
        DatabaseError: a newer version wrote them; they are left as they are.
    """
    with database.read() as connection:
        if revision(connection) == HEAD:
            return
    from . import migrations

    with database.write() as connection:
        try:
            migrations.upgrade(connection)
        except migrations.UnknownRevisionError as error:
            raise DatabaseError(
                f"{where} was written by a newer version of this service: {error}"
            ) from error


def revision(connection: sqlalchemy.Connection) -> str | None:
    """Give the revision of the tables; None if there are none."""
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql(
        "SELECT version_num FROM alembic_version"
    ).scalar()
    return found
