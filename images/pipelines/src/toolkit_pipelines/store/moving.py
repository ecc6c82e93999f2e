"""Which database a state folder's data are in: never two, and never an empty one by accident.

Once PostgreSQL has the data, the folder has a note that says where and which: the database's
`identity`, a key that it keeps. What is in SQLite is copied when PostgreSQL is set; the file
stays, under another name.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

import toolkit_database
from toolkit_database import Login
from toolkit_database.copying import CopyError
from toolkit_database.note import Note, NoteError, check_absent, check_copy, check_same

from . import tables
from .database import Database, DatabaseError
from .postgresql import PATIENCE, open_postgresql
from .sqlite import open_sqlite

logger = logging.getLogger(__name__)

FILE: Final = "pipelines.db"
"""The SQLite database, in the state folder."""
KEPT: Final = "pipelines.db.moved"
"""What it is called once PostgreSQL has its rows."""

SHARED: Final = "shared"
"""The key that a database has once all that its service needs is in it or in the object store."""
_IDENTITY: Final = "identity"


class NotSharedError(DatabaseError):
    """A service with another state folder has to begin, or to move what it has on its volume."""


def open_database(
    folder: Path,
    login: Login | None,
    *,
    name: str = "",
    begins: bool = True,
    patience: float = PATIENCE,
) -> Database:
    """Open the database that a state folder's data are in, or are to be in.

    Args:
        folder: the state folder; the caller holds it for this process alone.
        login: where PostgreSQL is; None for SQLite.
        name: what PostgreSQL's session that writes is called (see `postgresql.leader`).
        begins: whether this service may be the first on a database of PostgreSQL.
        patience: seconds to wait for a service that has that database.

    Raises:
        OtherServiceError: another service has it.
        NotSharedError: this service is not to begin, and nobody has.
        DatabaseError: it cannot be used, or is not the one with the data; nothing is changed.
        LoginError: the login cannot be used.
    """
    if login is None:
        try:
            check_absent(folder, "set database_file again")
        except NoteError as error:
            raise DatabaseError(str(error)) from error
        return open_sqlite(folder / FILE)
    database = open_postgresql(login, name=name, patience=patience)
    try:
        if not begins and not database.has_key(SHARED):
            raise NotSharedError(
                "the database is not shared yet: the service that begins it has to come first, "
                "and to move what its volume has"
            )
        _adopt(database, folder, login)
    except NoteError as error:
        database.close()
        raise DatabaseError(str(error)) from error
    except BaseException:
        database.close()
        raise
    return database


def _adopt(database: Database, folder: Path, login: Login) -> None:
    """See that a database has the folder's data; those of SQLite are copied if it is empty."""
    file = folder / FILE
    identity = _identity(database)
    if not check_same(folder, login, identity) and file.exists():
        _copy(file, database, identity, login)
    # First the note, so that nobody takes what is left behind for the data.
    Note(str(login), database.key(_IDENTITY).hex()).write(folder)
    if file.exists():
        file.rename(folder / KEPT)
        logger.info("%s has all that was in %s, which is %s now", login, file, KEPT)


def _copy(file: Path, database: Database, identity: str, login: Login) -> None:
    source = open_sqlite(file)
    try:
        if identity:
            # Copied by a service that was killed before it could say so.
            check_copy(file, source.key(_IDENTITY).hex(), login, identity)
            return
        source.key(_IDENTITY)
        with source.read() as rows, database.write() as target:
            copied = toolkit_database.copy(rows, target, tables.metadata.sorted_tables)
        logger.info("copied %d rows of %s to %s", sum(copied.values()), file, login)
    except (CopyError, SQLAlchemyError) as error:
        raise DatabaseError(f"{file} cannot be copied to {login}: {error}") from error
    finally:
        # What it has in its log goes into the file.
        source.close()


def _identity(database: Database) -> str:
    """Give what a database is known by, "" if it has no data yet."""
    with database.read() as connection:
        found = connection.execute(
            select(tables.keys.c.value).where(tables.keys.c.name == _IDENTITY)
        ).scalar_one_or_none()
    return found.hex() if found is not None else ""
