"""The database before the server uses it: sound, current, and never overwritten when in doubt.

SQLite in the data folder, or PostgreSQL where a login file says so. Then the folder has a note
that says which database has the data (it is known by a number in a table of ours), so that neither
an empty one nor SQLite is ever taken for it; what SQLite has is copied the first time.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import toolkit_database
from toolkit_database import Login
from toolkit_database.copying import CopyError
from toolkit_database.note import Note, NoteError, check_absent, check_copy, check_same

from .settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

logger = logging.getLogger(__name__)


class DatabaseError(Exception):
    """The database cannot be used; the message says which file, why and what to do."""


KEPT = ".moved"
"""What is added to the name of a SQLite database once PostgreSQL has its rows."""
_TABLE = "toolkit_identity"
_NUMBER = "SELECT value FROM toolkit_identity"
_PATIENCE = 15.0
"""Seconds that a database which does not answer is waited for; then this server ends."""
_PAUSE = 0.5
# The rows that a table of new ones may have.
_NEW = {"runs": 0, "registered_models": 0, "experiments": 1}
# MLflow keeps its revision there, and we our number.
_OURS = ("alembic_version", _TABLE)


def connect(settings: Settings) -> None:
    """Let every engine of this process that is made for PostgreSQL log in as the settings say."""
    if settings.login is not None:
        _watch(settings.login)


@functools.cache
def _watch(login: Path) -> None:
    # Once: one worker is the process that has prepared the database.
    import sqlalchemy

    toolkit_database.watch(sqlalchemy.Engine, Login.read(login))


def reader(settings: Settings, patience: float) -> Engine | None:
    """Give what `check` asks PostgreSQL by, with one connection; None for SQLite.

    Args:
        settings: the server's; `connect` has been called.
        patience: seconds that the server may take to answer.
    """
    if settings.login is None:
        return None
    from sqlalchemy import create_engine

    return create_engine(
        settings.database_uri,
        pool_size=1,
        max_overflow=0,
        pool_timeout=patience,
        pool_pre_ping=True,
        connect_args={"timeout": patience},
    )


def check(engine: Engine) -> None:
    """Read something of PostgreSQL; DatabaseError if that fails."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    except DBAPIError as error:
        raise DatabaseError(toolkit_database.words(error)) from error
    except SQLAlchemyError as error:
        raise DatabaseError(str(error)) from error
    if found is None:
        raise DatabaseError("the database has no schema")


def prepare(settings: Settings) -> None:
    """Make the artifacts' folder, check the database and bring its schema to this MLflow's.

    A SQLite database of an older MLflow is copied to `mlflow.db.REVISION` before it is upgraded.
    Call it in one process, before the workers start.

    Raises:
        DatabaseError: the database is damaged, newer than this MLflow, out of reach, or not the
            one that has the data.
    """
    settings.artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if settings.login is not None:
            _prepare_postgresql(settings, Login.read(settings.login))
        else:
            check_absent(settings.data, "give the login again")
            _prepare_sqlite(settings.database)
    except NoteError as error:
        raise DatabaseError(str(error)) from error


def _prepare_sqlite(path: Path) -> None:
    if path.exists():
        _check(path)
    else:
        # Made by us so that it is private from its first byte.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    try:
        _migrate(engine, str(path), path)
    finally:
        engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        # Kept in the file: readers and a writer do not block each other, and a crash loses
        # nothing that was committed.
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise DatabaseError(f"{path}: cannot keep a write-ahead log (mode {mode}) on this disk")


def _prepare_postgresql(settings: Settings, login: Login) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    engine = create_engine(settings.database_uri, poolclass=NullPool)
    try:
        identity = _first(engine, login)
        noted = check_same(settings.data, login, identity)
        moves = settings.database.exists() and not noted
        if moves and identity:
            # Copied by a server that was killed before it could say so.
            check_copy(settings.database, _identity_of(settings.database), login, identity)
        _migrate(engine, str(login), None)
        if moves and not identity:
            _prepare_sqlite(settings.database)
            _move(settings.database, engine, login)
        with engine.begin() as connection:
            identity = _identity(connection) or _mark(connection, secrets.token_hex(16))
        Note(str(login), identity).write(settings.data)
    except DBAPIError as error:
        raise DatabaseError(f"{login}: {toolkit_database.words(error)}") from error
    finally:
        engine.dispose()
    if settings.database.exists():
        settings.database.rename(settings.database.with_name(settings.database.name + KEPT))


def _first(engine: Engine, login: Login) -> str:
    """Read which data a database has; a server that does not answer yet is waited for."""
    from sqlalchemy.exc import DBAPIError

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with engine.connect() as connection:
                return _identity(connection)
        except DBAPIError as error:
            if time.monotonic() >= deadline:
                raise
            logger.info("%s: %s; asked again", login, toolkit_database.words(error))
            time.sleep(_PAUSE)


def _identity_of(path: Path) -> str:
    """Give what a SQLite database is known by, "" if nothing was ever copied of it."""
    with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.OperationalError):
        found = connection.execute(_NUMBER).fetchone()
        return str(found[0]) if found is not None else ""
    return ""


def _move(path: Path, engine: Engine, login: Login) -> None:
    from sqlalchemy import MetaData, create_engine
    from sqlalchemy.pool import NullPool

    source = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    tables = MetaData()
    tables.reflect(engine)
    found = [table for table in tables.sorted_tables if table.name not in _OURS]
    try:
        with source.begin() as rows:
            identity = _identity(rows) or _mark(rows, secrets.token_hex(16))
        with source.connect() as rows, engine.begin() as target:
            _check_unused(target, tables)
            for table in reversed(found):
                # What MLflow itself puts into new tables: the first experiment and the like.
                target.execute(table.delete())
            copied = toolkit_database.copy(rows, target, found)
            _mark(target, identity)
    except CopyError as error:
        raise DatabaseError(f"{path} cannot be copied to {login}: {error}") from error
    finally:
        source.dispose()
    logger.info("copied %d rows of %s to %s", sum(copied.values()), path, login)


def _check_unused(connection: Connection, tables: MetaData) -> None:
    """See that nobody has worked with a database's tables; CopyError if somebody has."""
    from sqlalchemy import select

    for name, most in _NEW.items():
        if len(connection.execute(select(tables.tables[name]).limit(most + 1)).all()) > most:
            raise CopyError(
                f"an MLflow has been at work there, its table {name} has rows: use an empty "
                "database, or move the file away to go on with what is there"
            )


def _identity(connection: Connection) -> str:
    import sqlalchemy

    if not sqlalchemy.inspect(connection).has_table(_TABLE):
        return ""
    found = connection.exec_driver_sql(_NUMBER).scalar()
    return str(found or "")


def _mark(connection: Connection, identity: str) -> str:
    import sqlalchemy

    table = sqlalchemy.Table(
        _TABLE, sqlalchemy.MetaData(), sqlalchemy.Column("value", sqlalchemy.Text)
    )
    table.create(connection, checkfirst=True)
    connection.execute(sqlalchemy.insert(table).values(value=identity))
    return identity


def _check(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise DatabaseError(
            f"{path}: the database is damaged ({found}); restore it from a copy, or move it "
            "away to begin with an empty one"
        )


def _migrate(engine: Engine, where: str, file: Path | None) -> None:
    """Bring the tables to this MLflow's; a file is copied before."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    latest = utils._get_latest_schema_revision()
    current = utils._get_schema_version(engine)
    if current == latest:
        return
    if current is None:
        logger.info("making the tables of %s", where)
        utils._initialize_tables(engine)
        return
    scripts = ScriptDirectory.from_config(utils._get_alembic_config(str(engine.url)))
    try:
        scripts.get_revision(current)
    except CommandError as error:
        raise DatabaseError(
            f"{where}: made by a newer MLflow (schema {current}); run that version, or restore a "
            "copy from before the upgrade"
        ) from error
    if file is not None:
        _copy(file, file.with_name(f"{file.name}.{current}"))
    logger.info("upgrading %s from %s to %s", where, current, latest)
    utils._upgrade_db(engine)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.partial")
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    with (
        closing(sqlite3.connect(source)) as origin,
        closing(sqlite3.connect(temporary)) as copy,
    ):
        origin.backup(copy)
    temporary.replace(target)
