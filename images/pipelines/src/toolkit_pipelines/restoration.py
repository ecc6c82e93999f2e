"""Restoring a backup: checked and unpacked beside what there is, then put in its place.

    STATE/.restore/restore.json   how far it is; what is not there has not begun
                   new/, old/     the database that comes, the one that it replaces
    ROOT/.restore/new/, old/      likewise the folders of runs, by their path from the root

Whoever writes `restore.json` has decided: from then on it is gone through with, by the next start
of the service if need be. Each of its steps moves what is there yet and may be done again, so a
cut anywhere leads to the backup's state or to that of before, never to some of both. What was
replaced is kept until the service is up; until then it can be put back.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from .archive import About, ArchiveError, Item, Reader
from .root import MAX_DEPTH, RESTORING, RUN_ID, PipelineRoot
from .store import copies
from .store.interface import StoreError

log = logging.getLogger(__name__)

_JOURNAL: Final = "restore.json"
_READY: Final = "ready.json"
_LOCK: Final = "restore.lock"
_NEW: Final = "new"
_OLD: Final = "old"
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
"""What SQLite has of a database, the file itself first."""
_ROOM: Final = 64 * 1024 * 1024
"""Bytes that are left free."""


class RestoreError(Exception):
    """A backup cannot be restored, or not be taken back; the message says why."""


class Phase(enum.StrEnum):
    """How far a restoration is."""

    ASIDE = "setting aside"
    PLACING = "placing"
    PLACED = "placed"
    WITHDRAWING = "withdrawing"
    RETURNING = "returning"


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is restored into one service's folders.

    Attributes:
        database: the SQLite file.
        root: where the files of runs are.
    """

    database: Path
    root: PipelineRoot

    # Unpacking

    def prepare(self, path: Path) -> About:
        """Check a backup and unpack it beside what there is; the service may run.

        Raises:
            RestoreError: it is not whole, or cannot be used here. Nothing has changed.
        """
        with self._preparing():
            if (phase := self.phase()) is not None:
                raise RestoreError(
                    f"an earlier restoration is not over (it is {phase}): the service has not "
                    "come up on it; let it, or undo that one first"
                )
            self._discard()
            try:
                with _opened(path) as file:
                    about = self._unpack(Reader(file))
                # Names are only worth what they name once that is on the disk.
                os.sync()
                self._write(_READY, {"archive": str(path)})
            except (ArchiveError, StoreError, RestoreError, OSError) as error:
                self._discard()
                raise RestoreError(f"{path} cannot be restored: {error}") from error
            return about

    @contextlib.contextmanager
    def _preparing(self) -> Iterator[None]:
        descriptor = os.open(
            self.database.with_name(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RestoreError("another backup is being unpacked at this moment") from error
            yield
        finally:
            os.close(descriptor)

    def _unpack(self, reader: Reader) -> About:
        folder = self._state / _NEW
        folder.mkdir(mode=0o700, parents=True)
        # It may grow as it is brought up to date.
        _check_room(folder, 3 * reader.database.size)
        (self._files / _NEW).mkdir(mode=0o700, parents=True)
        _check_room(self._files, reader.total)
        database = folder / self.database.name
        _create(database, reader.content(reader.database))
        copies.adopt(database, reader.about.version)
        runs = copies.summary(database).runs
        folders: list[tuple[Path, Item]] = []
        for item, content in reader.items():
            if item.path == "":
                for _ in content:
                    pass
                continue
            _check_place(item.path, runs)
            target = self._files / _NEW / item.path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if item.folder:
                target.mkdir(mode=0o700, exist_ok=True)
                folders.append((target, item))
                continue
            _create(target, content)
            _dress(target, item, 0o600)
        # Last, since what is made in a folder changes its time.
        for target, item in reversed(folders):
            _dress(target, item, 0o700)
        return reader.about

    # Putting it in place; whoever calls holds the lock of the state folder.

    def phase(self) -> Phase | None:
        """Tell how far a restoration is; None if there is none.

        Raises:
            RestoreError: what is written of it cannot be read.
        """
        path = self._state / _JOURNAL
        try:
            return Phase(json.loads(path.read_text(encoding="utf-8"))["phase"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RestoreError(f"{path} cannot be read: {error}") from error

    def swap(self) -> None:
        """Put what was prepared in the place of what there is.

        Raises:
            RestoreError: nothing was prepared.
            OSError: it cannot be done now; the next start of the service goes on with it.
        """
        if not (self._state / _READY).exists():
            raise RestoreError("no backup has been unpacked: nothing has changed")
        if (phase := self.phase()) is not None:
            raise RestoreError(f"an earlier restoration is not over: it is {phase}")
        self._enter(Phase.ASIDE)
        self._advance()

    def undo(self) -> None:
        """Put back what was replaced, while the service has not come up on what came.

        Raises:
            RestoreError: it has, or nothing was replaced.
            OSError: it cannot be done now; the next start of the service goes on with it.
        """
        if self.phase() is not Phase.PLACED:
            raise RestoreError("nothing is kept that could be put back")
        self._enter(Phase.WITHDRAWING)
        self._advance()

    def recover(self) -> None:
        """Go through with what was cut off; for the start of the service."""
        self._advance()
        if self.phase() is None:
            # What was unpacked and never used, unless it is being unpacked just now.
            with contextlib.suppress(RestoreError), self._preparing():
                self._clean()

    def settle(self) -> None:
        """Delete what was replaced: the service is up on what came in its place."""
        if self.phase() is Phase.PLACED:
            self._enter(None)
            self._clean()

    def _clean(self) -> None:
        try:
            self._discard()
        except OSError as error:
            log.warning("what is of no use any more cannot be deleted yet: %s", error)

    def _advance(self) -> None:
        while True:
            match self.phase():
                case Phase.ASIDE:
                    (self._state / _READY).unlink(missing_ok=True)
                    self._remove(_OLD)
                    self._enter(Phase.PLACING)
                case Phase.PLACING:
                    self._bring(_NEW)
                    self._enter(Phase.PLACED)
                case Phase.WITHDRAWING:
                    self._remove(_NEW)
                    self._enter(Phase.RETURNING)
                case Phase.RETURNING:
                    self._bring(_OLD)
                    self._enter(None)
                    self._clean()
                case _:
                    return

    def _remove(self, to: str) -> None:
        """Move the database and the folders of runs away."""
        for suffix in reversed(_BESIDE):
            name = self.database.name + suffix
            _move(self.database.with_name(name), self._state / to / name)
        for folders in self.root.run_folders().values():
            for folder in folders:
                _move(self.root.folder / folder, self._files / to / folder)

    def _bring(self, of: str) -> None:
        """Move them here."""
        source = PipelineRoot(self._files / of)
        if source.folder.is_dir():
            for folders in source.run_folders().values():
                for folder in folders:
                    _move(source.folder / folder, self.root.folder / folder)
        for suffix in _BESIDE:
            name = self.database.name + suffix
            _move(self._state / of / name, self.database.with_name(name))

    # What is written down, and what is not needed any more.

    @property
    def _state(self) -> Path:
        return self.database.with_name(RESTORING)

    @property
    def _files(self) -> Path:
        return self.root.folder / RESTORING

    def _enter(self, phase: Phase | None) -> None:
        # All that came before is on the disk when this is.
        os.sync()
        if phase is not None:
            self._write(_JOURNAL, {"phase": phase})
        else:
            (self._state / _JOURNAL).unlink()
            _sync(self._state)

    def _write(self, name: str, content: object) -> None:
        path = self._state / name
        temporary = path.with_name(f"{name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(self._state)

    def _discard(self) -> None:
        (self._state / _READY).unlink(missing_ok=True)
        for base in (self._files, self._state):
            for name in (_NEW, _OLD):
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(base / name)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArchiveError("it is no file")
        yield file


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + _ROOM > free:
        raise RestoreError(
            f"{folder.parent.parent} has {free} bytes free, and it needs {size + _ROOM} beside "
            "what is there until that is replaced"
        )


def _check_place(path: str, runs: frozenset[str]) -> None:
    """See that a path is in the folder of a run that the database has."""
    parts = path.split("/")
    places = [number for number, part in enumerate(parts) if RUN_ID.fullmatch(part)]
    first = places[0] if places else 0
    inside = 0 < first < min(MAX_DEPTH, len(parts) - 1) and parts[0] != RESTORING
    if not inside or parts[first] not in runs:
        raise ArchiveError(f"{path[:200]!r} is in no folder of a run that its database has")


def _create(path: Path, content: Iterator[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in content:
            file.write(chunk)


def _dress(path: Path, item: Item, least: int) -> None:
    path.chmod(item.mode | least)
    os.utime(path, (item.time, item.time))


def _move(source: Path, target: Path) -> None:
    """Move a file or a folder, unless it has been moved already."""
    if not os.path.lexists(source):
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source.rename(target)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
