"""PostgreSQL: a database of a server, used by one service at a time.

All that is written goes over one connection, whose session holds a lock of the database: so
transactions that write come one after the other, as they do on SQLite, and of two services only
one can write. A connection that is lost is made anew by the next transaction, and gets the lock
unless another service was faster; then nothing is written any more.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

import toolkit_database
from toolkit_database import Login

from .database import BUSY_SECONDS, Database, DatabaseError, migrate

LOCK: Final = 0x746B_7069_7065
"""The advisory lock of who writes; the database's other users know nothing of it."""

_PATIENCE: Final = 15.0
"""Seconds that a service which is just ending is waited for."""
_PAUSE: Final = 0.2
_READERS: Final = 5


class OtherServiceError(DatabaseError):
    """Another service has the database, or one that was cut off is still taken to be there."""


def open_postgresql(login: Login, *, patience: float = _PATIENCE) -> Database:
    """Open a database, and make its tables if it has none.

    Args:
        login: where it is.
        patience: seconds to wait for a service that has it.

    Raises:
        DatabaseError: it does not answer, another service has it, or a newer version of this
            service wrote it. It is left as it is.
        LoginError: the login cannot be used.
    """
    reader = toolkit_database.engine(
        login, pool_size=_READERS, max_overflow=_READERS, pool_timeout=BUSY_SECONDS
    )
    # One connection is what makes writers wait for each other.
    writer = toolkit_database.engine(login, pool_size=1, max_overflow=0, pool_timeout=BUSY_SECONDS)
    # Making tables may take its time, under the lock that the writer has meanwhile.
    maker = toolkit_database.engine(login, patience=None, poolclass=NullPool)
    event.listen(reader, "connect", _read_only)
    event.listen(writer, "connect", _take_over)
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


def _read_only(connection: Any, record: object) -> None:
    _run(
        connection,
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    )


def _take_over(connection: Any, record: object) -> None:
    _run(
        connection,
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
    )
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
