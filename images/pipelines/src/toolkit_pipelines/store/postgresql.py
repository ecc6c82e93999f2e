"""PostgreSQL: a database of a server, used by one service at a time.

All that is written goes over one connection, whose session holds a lock of the database: so
transactions that write come one after the other, as they do on SQLite, and of two services only
one can write: it leads. A connection that is lost is made anew by the next transaction, and gets
the lock unless another service was faster; then nothing is written any more. Once it is held
(`hold`), a session that does nothing for twenty seconds is ended by the server (14 and later; in
a transaction by older ones too), so that a service that hangs leads no more.

Where the leader can be reached is what its session is called: true as long as the session is.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Final

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

import toolkit_database
from toolkit_database import Login

from .database import BUSY_SECONDS, Database, DatabaseError, migrate, translated

LOCK: Final = 0x746B_7069_7065
"""The advisory lock of who writes; the database's other users know nothing of it."""

PATIENCE: Final = 15.0
"""Seconds that a service which is just ending is waited for."""
_PAUSE: Final = 0.2
_READERS: Final = 5
_IDLE: Final = 20
"""Seconds that the session that writes may be idle, between transactions and within one."""
_IDLE_SINCE: Final = (14,)
"""The version of the server that can tell."""
MAX_NAME: Final = 63
"""Characters of what a session is called."""


class OtherServiceError(DatabaseError):
    """Another service has the database, or one that was cut off is still taken to be there."""


def open_postgresql(login: Login, *, name: str = "", patience: float = PATIENCE) -> Database:
    """Open a database, and make its tables if it has none.

    Args:
        login: where it is.
        name: what the session that writes is called; at most 63 ASCII characters.
        patience: seconds to wait for a service that has it.

    Raises:
        OtherServiceError: another service has it.
        DatabaseError: it does not answer, or a newer version of this service wrote it. It is left
            as it is.
        LoginError: the login cannot be used.
    """
    if len(name) > MAX_NAME or not name.isascii():
        raise ValueError(f"a session cannot be called {name!r}")
    reader = toolkit_database.engine(
        login, pool_size=_READERS, max_overflow=_READERS, pool_timeout=BUSY_SECONDS
    )
    # One connection is what makes writers wait for each other.
    writer = toolkit_database.engine(login, pool_size=1, max_overflow=0, pool_timeout=BUSY_SECONDS)
    # Making tables may take its time, under the lock that the writer has meanwhile.
    maker = toolkit_database.engine(login, patience=None, poolclass=NullPool)
    event.listen(reader, "connect", _read_only)
    event.listen(writer, "connect", functools.partial(_take_over, name))
    database = Database(reader, writer)
    try:
        _wait(database, patience)
        migrate(Database(reader, maker), str(login))
    except SQLAlchemyError as error:
        database.close()
        raise DatabaseError(f"{login}: {error}") from error
    except OtherServiceError:
        database.close()
        raise
    except DatabaseError as error:
        database.close()
        raise DatabaseError(f"{login}: {error}") from error
    return database


def _wait(database: Database, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            with database.write():
                return
        except OtherServiceError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)


def hold(database: Database) -> None:
    """Go on leading, for `_IDLE` seconds at least; DatabaseError if that cannot be told now.

    Raises:
        OtherServiceError: another service has the database.
    """
    with database.write() as connection:
        connection.exec_driver_sql(f"SET idle_in_transaction_session_timeout = '{_IDLE}s'")
        if (connection.dialect.server_version_info or ()) >= _IDLE_SINCE:
            connection.exec_driver_sql(f"SET idle_session_timeout = '{_IDLE}s'")


class Leadership:
    """Tells who leads, over a connection of its own that reads alone.

    Args:
        login: where the database is.

    Raises:
        LoginError: it cannot be used.
    """

    def __init__(self, login: Login) -> None:
        self._engine = toolkit_database.engine(login, pool_size=1, max_overflow=0)

    def name(self) -> str | None:
        """Give what the session of the service is called that leads; None if none does.

        "" if it has no name.

        Raises:
            DatabaseError: the database does not answer.
        """
        with translated(), self._engine.connect() as connection:
            found = connection.execute(_LEADER, {"high": LOCK >> 32, "low": LOCK & 0xFFFFFFFF})
            row = found.first()
        return None if row is None else row[0] or ""

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()


_LEADER: Final = sqlalchemy.text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND classid::bigint = :high AND objid::bigint = :low"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _read_only(connection: Any, record: object) -> None:
    _run(
        connection,
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    )


def _take_over(name: str, connection: Any, record: object) -> None:
    _run(
        connection,
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
    )
    # As a literal: a statement that sets takes no parameters.
    _run(connection, "SET application_name = '{}'".format(name.replace("'", "''")))
    (taken,) = _run(connection, f"SELECT pg_try_advisory_lock({LOCK})")
    if not taken:
        connection.close()
        raise OtherServiceError(
            "the database is in use by another service: two engines on one database would be at "
            "each other's work"
        )


def _run(connection: Any, statement: str) -> Any:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()
        connection.commit()
