"""SQLite: a file, opened, checked, brought up to date.

In WAL mode with full synchronisation: what was committed survives a kill of this process and of
the machine. A writing transaction takes the write lock when it begins, so that it never fails
half-way for want of it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from .. import disks
from .database import BUSY_SECONDS, Database, DatabaseError, migrate


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
    # Each connection keeps pages of its own: the one that was used last has most of them.
    engine = _engine(path, pool_use_lifo=True)
    hasty = _hasty(path) if disks.near(path.parent) else None
    database = Database(engine, engine.execution_options(toolkit_writes=True), hasty)
    try:
        _check(database, path)
        migrate(database, str(path))
    except SQLAlchemyError as error:
        database.close()
        raise DatabaseError(f"{path}: {error}") from error
    except DatabaseError as error:
        database.close()
        if str(path) in str(error):
            raise
        raise DatabaseError(f"{path}: {error}") from error
    return database


def _hasty(path: Path) -> sqlalchemy.Engine:
    """Give what waits for no other transaction, and does not fold the log at its end."""
    engine = _engine(path, pool_size=1, max_overflow=0, execution_options={"toolkit_writes": True})
    event.listen(engine, "connect", _hurry)
    return engine


def _engine(path: Path, **options: Any) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **options,
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _hurry(connection: sqlite3.Connection, record: object) -> None:
    for pragma in ("busy_timeout=0", "wal_autocheckpoint=0"):
        connection.execute(f"PRAGMA {pragma}")


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
    options = connection.get_execution_options()
    if options.get("toolkit_writes", False):
        # A disk takes some milliseconds to have what it was given.
        mode = "FULL" if options.get("toolkit_durable", True) else "NORMAL"
        connection.exec_driver_sql(f"PRAGMA synchronous={mode}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def _check(database: Database, path: Path) -> None:
    with database.read() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise DatabaseError(
            f"{path} is damaged ({found}); restore it from a backup, or move it away to start anew"
        )
