"""Copies of the controller's database, and what it takes to put one back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minijuju.state import COPY, DATABASE, VERSION, verdict
from sandbox import backup
from sandbox.backup import BackupError, age, keep

__all__ = ["BackupError", "Restored", "age", "keep", "restore", "write"]


def write(data: Path, target: Path | None = None) -> Path:
    """Copy the database of a data folder, whether the controller runs or not; where it is now.

    Raises:
        BackupError: there is none, it cannot be read, or the copy not be written.
    """
    target = target or data / COPY
    backup.write(data / DATABASE, target, _verdict, backup.fill_whole)
    return target


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restoration did.

    Attributes:
        source: the copy.
        written: when it was written, for people.
        database: where the database that was there is kept; None if there was none.
        storage: where storages that the copy does not know are kept; None if it knows all.
    """

    source: Path
    written: str
    database: Path | None
    storage: Path | None


def restore(data: Path, source: Path | None = None) -> Restored:
    """Put a copy in the database's place; the controller must not run, and its lock be held.

    Storages that were made since the copy are moved aside: the controller would delete what it
    knows nothing of.

    Raises:
        BackupError: the copy is missing or not whole, or cannot be written. Storages that
            were moved aside stay there, which the message says.
    """
    source = source or data / COPY
    written = age(source)
    storage = _set_aside(data, source)
    try:
        database = backup.restore(data / DATABASE, source, _verdict)
    except BackupError as error:
        if storage is None:
            raise
        raise BackupError(
            f"{error}; storage that it does not know is kept in {storage}"
        ) from error
    return Restored(source, written, database, storage)


def _set_aside(data: Path, source: Path) -> Path | None:
    aside = data / f"storage.kept-{backup.stamp()}"
    try:
        unknown = list(_unknown(data, source))
        for folder in unknown:
            aside.mkdir(mode=0o700, exist_ok=True)
            kept = aside / folder.relative_to(data / "storage")
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.rename(kept)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{source} cannot be put back: {error}") from error
    return aside if unknown else None


def _unknown(data: Path, source: Path) -> Iterator[Path]:
    backup.check(source, _verdict)
    with backup.read(source) as connection:
        known = {Path(folder) for (folder,) in connection.execute("SELECT folder FROM storage")}
    for folder in (data / "storage").glob("*/*"):
        if folder not in known:
            yield folder


def _verdict(connection: sqlite3.Connection) -> str:
    found = verdict(connection)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if found == "ok" and version != VERSION:
        return f"it has schema {version}, not {VERSION}"
    return found
