"""Copies of the store: written while the daemon runs, put back when the database is damaged.

A copy holds every object as it was at one version, and no history: it is checked before it takes
the place of the one before, so that there is always a good one. It holds secrets, as the store
does, and like the store only its owner can read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tinykube.store import FORMAT, SCHEMA, Store, verdict

log = logging.getLogger(__name__)

_FIRST_SECONDS = 60.0
_EVERY_SECONDS = 3600.0
_TABLES = ("objects", "owners", "facts")
# What SQLite puts beside a database in WAL mode.
_BESIDE = ("", "-wal", "-shm")


class BackupError(Exception):
    """No copy could be written or put back; the message says why. Nothing was changed."""


def write(database: Path, target: Path) -> None:
    """Copy the store's objects to `target`, in place of an older copy; the store may be in use.

    Raises:
        BackupError: the database cannot be read, or the copy not be written.
    """
    building = target.with_name(f"{target.name}.new")
    try:
        building.unlink(missing_ok=True)
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(building, uri=True)) as connection:
            _copy(connection, database)
            if (found := verdict(connection)) != "ok":
                raise BackupError(f"the copy of {database} is not whole: {found}")
        building.replace(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{database} cannot be copied to {target}: {error}") from error
    finally:
        for suffix in _BESIDE:
            with contextlib.suppress(OSError):
                building.with_name(building.name + suffix).unlink(missing_ok=True)


def _copy(connection: sqlite3.Connection, database: Path) -> None:
    # `verdict` reads every page of what it checks; of the live database the copy's own reading
    # of each row is the check: a row that cannot be read ends it.
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


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore(database: Path, source: Path) -> Path | None:
    """Put a copy in the database's place; the daemon must not run.

    Returns:
        Where what was there is kept (its name ends in the time), or None if nothing was there.

    Raises:
        BackupError: the copy is missing or not whole.
    """
    building = database.with_name(f"{database.name}.new")
    try:
        _check(source)
        building.unlink(missing_ok=True)
        descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, source.open("rb") as copy:
            while chunk := copy.read(2**20):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        kept = _set_aside(database)
        building.replace(database)
        _sync(database.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{source} cannot be put back: {error}") from error
    return kept


def _check(source: Path) -> None:
    if not source.is_file():
        raise BackupError(f"there is no copy at {source}")
    with contextlib.closing(
        sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    ) as connection:
        found = verdict(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if found != "ok" or version != FORMAT:
        raise BackupError(f"{source} is not a whole copy: {found}, format {version}")


def _set_aside(database: Path) -> Path | None:
    """Move the database away with what belongs to it; where it is now."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    kept = database.with_name(f"{database.name}.damaged-{stamp}")
    # The log first: a database without its log is older, a log without its database nothing.
    for suffix in reversed(_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).replace(kept.with_name(kept.name + suffix))
    return kept if kept.exists() else None


def age(copy: Path) -> str:
    """When a copy was written, for people: `2026-01-31 12:00:00 UTC`; empty if there is none."""
    try:
        written = copy.stat().st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


async def keep(store: Store, target: Path, tell: Callable[[str], None]) -> None:
    """Copy the store every hour in which it changed.

    Args:
        store: the store.
        target: the copy.
        tell: called with what is wrong after each try; empty if nothing is.
    """
    copied = 0
    seconds = _FIRST_SECONDS
    while True:
        await asyncio.sleep(seconds)
        seconds = _EVERY_SECONDS
        version = store.version
        if version == copied:
            continue
        try:
            await asyncio.to_thread(write, store.path, target)
        except BackupError as error:
            log.error("%s; the copy before is kept", error)
            tell(str(error))
        else:
            copied = version
            tell("")
