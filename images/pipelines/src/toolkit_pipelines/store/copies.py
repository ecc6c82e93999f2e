"""Copies of the database's file: taken while it is in use, looked at before they take its place.

A copy may have been made to do harm, so nothing in it is trusted: it must have the tables of this
version, once it has been brought up to date, and nothing that runs by itself.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import tables
from .database import HEAD, DatabaseError
from .sqlite import open_sqlite


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a database.

    Attributes:
        revision: of its tables.
        runs: the ids of its runs.
        recurring_runs: how many recurring runs it has.
    """

    revision: str
    runs: frozenset[str]
    recurring_runs: int


def copy(database: Path, target: Path) -> None:
    """Copy a database, as it is at this moment, to a file that is there and empty.

    Raises:
        DatabaseError: it cannot be read, the copy cannot be written, or is not whole.
    """
    with (
        _errors(f"{database} cannot be copied to {target}"),
        _opened(database) as source,
        contextlib.closing(sqlite3.connect(target)) as made,
    ):
        # All pages at once: what is copied in parts is begun anew whenever somebody writes.
        source.backup(made)
        (found,) = made.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DatabaseError(f"{database} is damaged ({found}): a copy of it would be, too")


def fold(path: Path) -> None:
    """Make a database that nobody uses one file, with no log beside it.

    Raises:
        DatabaseError: it cannot be written.
    """
    with _errors(f"{path} cannot be written"), contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=DELETE")


def summary(path: Path) -> Summary:
    """Tell what is in a database of any revision that nobody uses.

    Raises:
        DatabaseError: it is none of this service.
    """
    with _errors(f"{path.name} is no database of this service"), _opened(path) as connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        runs = frozenset(row[0] for row in connection.execute("SELECT run_id FROM runs"))
        recurring = 0
        if _names(connection, "recurring_runs"):
            (recurring,) = connection.execute("SELECT count(*) FROM recurring_runs").fetchone()
        return Summary(str(revision), runs, recurring)


def remaining(path: Path, run_ids: frozenset[str]) -> frozenset[str]:
    """Give those of the runs that a database in use still has, and that are not being deleted.

    Raises:
        DatabaseError: it cannot be read.
    """
    with _errors(f"{path} cannot be read"), _opened(path) as connection:
        found = {row[0] for row in connection.execute("SELECT run_id FROM runs")}
        leaving = connection.execute("SELECT run_id FROM executions WHERE sequence = 0")
        return run_ids & (found - {row[0] for row in leaving})


def adopt(path: Path, version: str) -> None:
    """Bring a copy up to date, so that this version can use it in the database's place.

    Args:
        path: the copy; it may be spoilt if this fails.
        version: of the service that wrote it, for the message.

    Raises:
        DatabaseError: it is damaged, is none of this service, or of a newer version of it.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from . import migrations

    revision = summary(path).revision
    known = [each.revision for each in migrations.script().walk_revisions()]
    if revision not in known:
        raise DatabaseError(
            f"its database has schema {revision!r}, written by version {version or 'unknown'}; "
            f"this service knows schemas up to {HEAD}: refresh it first"
        )
    with _errors("its database cannot be read"), _opened(path) as connection:
        # Whatever runs by itself is not this service's.
        foreign = _names(connection, None, "view", "trigger")
    if foreign:
        raise DatabaseError(f"its database has {foreign[0]!r}, which none of this service has")
    database = open_sqlite(path)
    try:
        with database.read() as reading:
            context = MigrationContext.configure(reading)
            differences: Any = compare_metadata(context, tables.metadata)
            orphan = reading.exec_driver_sql("PRAGMA foreign_key_check").first()
    finally:
        database.close()
    if differences:
        raise DatabaseError(f"the tables of its database are others: {str(differences[0])[:200]}")
    if orphan is not None:
        raise DatabaseError(f"its database is not whole: in {orphan[0]} something is missing")
    fold(path)


def _names(connection: sqlite3.Connection, name: str | None, *kinds: str) -> list[str]:
    kinds = kinds or ("table",)
    marks = ", ".join("?" * len(kinds))
    query = f"SELECT name FROM sqlite_master WHERE type IN ({marks})"  # noqa: S608 - marks
    listed = [row[0] for row in connection.execute(query, kinds)]
    return [each for each in listed if name in (None, each)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database so that nothing of it changes."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        yield connection


@contextlib.contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, TypeError, UnicodeDecodeError, OSError) as error:
        raise DatabaseError(f"{what}: {error}") from error
