"""Copies of a daemon's SQLite file: written while it runs, put back when the file is damaged.

A copy is checked before it takes the place of the one before, so that there is always a good one.
Like the database, only its owner can read it.
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

logger = logging.getLogger(__name__)

Verdict = Callable[[sqlite3.Connection], str]
"""What is found on reading a whole database: `ok`, or the first fault."""
Fill = Callable[[sqlite3.Connection, Path], None]
"""Fills a new, empty database from the one at a path."""

_FIRST_SECONDS = 60.0
_EVERY_SECONDS = 3600.0
# What SQLite puts beside a database in WAL mode.
_BESIDE = ("", "-wal", "-shm")


class BackupError(Exception):
    """No copy could be written or put back; the message says why. The database is as it was."""


def quick_verdict(connection: sqlite3.Connection) -> str:
    """The verdict of SQLite's quick check, which reads every page."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return " ".join(str(found).split())


def read(database: Path) -> contextlib.closing[sqlite3.Connection]:
    """A connection that changes nothing: neither the file nor the log beside it."""
    uri = f"{database.absolute().as_uri()}?mode=ro"
    return contextlib.closing(sqlite3.connect(uri, uri=True))


def judge(database: Path, verdict: Verdict) -> str:
    """The verdict on a database, also on one that cannot even be read.

    Raises:
        sqlite3.OperationalError: it cannot be opened, which says nothing of what is in it.
    """
    try:
        with read(database) as connection:
            return _cut(connection, database) or verdict(connection)
    except sqlite3.OperationalError as error:
        # The disk's and other programs' faults have codes of their own.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise
        return " ".join(str(error).split())
    except sqlite3.DatabaseError as error:
        return " ".join(str(error).split())
    except UnicodeDecodeError:
        # What SQLite says quotes the file.
        return "names in it are no text"


def _cut(connection: sqlite3.Connection, database: Path) -> str:
    """Whether the end of the file is missing; SQLite takes what is not there for zeros."""
    log = database.with_name(f"{database.name}-wal")
    if log.exists() and log.stat().st_size:
        # Pages may be in there alone, and the check of what all of them say follows.
        return ""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    found = database.stat().st_size
    return "" if found == pages * size else f"it has {found} bytes of {pages * size}"


def write(database: Path, target: Path, verdict: Verdict, fill: Fill) -> None:
    """Copy the database to `target`, in place of an older copy; it may be in use.

    Raises:
        BackupError: the database cannot be read, or the copy not be written.
    """
    building = target.with_name(f"{target.name}.new")
    try:
        building.unlink(missing_ok=True)
        os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(building, uri=True)) as connection:
            fill(connection, database)
            if (found := verdict(connection)) != "ok":
                raise BackupError(f"the copy of {database} is not whole: {found}")
        _sync(building, os.O_RDWR)
        building.replace(target)
        _sync(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{database} cannot be copied to {target}: {error}") from error
    finally:
        for suffix in _BESIDE:
            with contextlib.suppress(OSError):
                building.with_name(building.name + suffix).unlink(missing_ok=True)


def fill_whole(connection: sqlite3.Connection, database: Path) -> None:
    """Fill with everything that the database has at this moment."""
    with read(database) as source:
        # All pages at once: what is copied in parts is begun anew whenever somebody writes.
        source.backup(connection)
    # A copy is one file, with no log beside it.
    connection.execute("PRAGMA journal_mode=DELETE")


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check(copy: Path, verdict: Verdict) -> None:
    """See that a copy may take a database's place.

    Raises:
        BackupError: it is missing or not whole.
        sqlite3.OperationalError: it cannot be opened.
    """
    if not copy.is_file():
        raise BackupError(f"there is no copy at {copy}")
    if (found := judge(copy, verdict)) != "ok":
        raise BackupError(f"{copy} is not a whole copy: {found}")


def restore(database: Path, source: Path, verdict: Verdict) -> Path | None:
    """Put a copy in the database's place; the daemon must not run.

    Returns:
        Where what was there is kept (its name ends in the time), or None if nothing was there.

    Raises:
        BackupError: the copy is missing or not whole.
    """
    building = database.with_name(f"{database.name}.new")
    try:
        check(source, verdict)
        building.unlink(missing_ok=True)
        descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, source.open("rb") as copy:
            while chunk := copy.read(2**20):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        kept = _set_aside(database)
        building.replace(database)
        _sync(database.parent, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{source} cannot be put back: {error}") from error
    return kept


def _set_aside(database: Path) -> Path | None:
    """Move the database away with what belongs to it; where it is now."""
    kept = database.with_name(f"{database.name}.damaged-{stamp()}")
    # The log first: a database without its log is older, a log without its database nothing.
    for suffix in reversed(_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).replace(kept.with_name(kept.name + suffix))
    return kept if kept.exists() else None


def stamp() -> str:
    """This moment, for the name of what is kept: `20260131T120000000000Z`."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def age(copy: Path) -> str:
    """When a copy was written, for people: `2026-01-31 12:00:00 UTC`; empty if there is none."""
    try:
        written = copy.stat().st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


async def keep(
    copy: Callable[[], None], version: Callable[[], int], tell: Callable[[str], None]
) -> None:
    """Copy a database a minute after the start and every hour, if it has changed.

    Args:
        copy: writes the copy; called in a thread.
        version: a number that is another one after each change.
        tell: called with what is wrong after each try; empty if nothing is.
    """
    copied = None
    seconds = _FIRST_SECONDS
    while True:
        await asyncio.sleep(seconds)
        seconds = _EVERY_SECONDS
        found = version()
        if found == copied:
            continue
        try:
            await asyncio.to_thread(copy)
        except BackupError as error:
            logger.error("%s; the copy before is kept", error)
            tell(str(error))
        else:
            copied = found
            tell("")
