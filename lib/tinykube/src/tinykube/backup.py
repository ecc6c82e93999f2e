"""Copies of the store: every object as it was at one version, and no history.

A copy holds secrets, as the store does. See `sandbox.backup` for how it is written and put back.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sandbox import backup
from sandbox.backup import BackupError, age, keep
from tinykube.store import FORMAT, SCHEMA

__all__ = ["BackupError", "age", "keep", "restore", "write"]

_TABLES = ("objects", "owners", "facts")


def write(database: Path, target: Path) -> None:
    """Copy the store's objects to `target`, in place of an older copy; the store may be in use.

    Raises:
        BackupError: the database cannot be read, or the copy not be written.
    """
    backup.write(database, target, _verdict, _fill)


def restore(database: Path, source: Path) -> Path | None:
    """Put a copy in the database's place; the daemon must not run.

    Returns:
        Where what was there is kept (its name ends in the time), or None if nothing was there.

    Raises:
        BackupError: the copy is missing or not whole.
    """
    return backup.restore(database, source, _verdict)


def _verdict(connection: sqlite3.Connection) -> str:
    found = backup.quick_verdict(connection)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if found == "ok" and version != FORMAT:
        return f"it has format {version}, not {FORMAT}"
    return found


def _fill(connection: sqlite3.Connection, database: Path) -> None:
    # The check of a database reads every page; of the live one the copy's own reading of each
    # row is the check: a row that cannot be read ends it.
    connection.execute("ATTACH ? AS live", (f"{database.absolute().as_uri()}?mode=ro",))
    connection.executescript(f"{SCHEMA} PRAGMA main.user_version={FORMAT};")
    (found,) = connection.execute("PRAGMA live.user_version").fetchone()
    if found != FORMAT:
        raise BackupError(f"{database} has format {found}; this tinykube copies {FORMAT}")
    with connection:
        connection.execute("BEGIN")
        for table in _TABLES:
            connection.execute(f"INSERT INTO {table} SELECT * FROM live.{table}")  # noqa: S608
        (newest,) = connection.execute("SELECT max(version) FROM objects").fetchone()
        (known,) = connection.execute("SELECT value FROM facts WHERE name='version'").fetchone()
        # Put back, it shall go on behind every version that a client may have seen: as after a
        # reboot, which the store knows by another `boot`.
        connection.executemany(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)",
            [("boot", "copied"), ("version", str(max(newest or 0, int(known))))],
        )
    connection.execute("DETACH live")
