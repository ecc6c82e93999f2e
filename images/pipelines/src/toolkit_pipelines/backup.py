"""Backups: the database as it is at one moment, and the files of the runs that it has then.

The service goes on meanwhile. What belongs to a run is told by the events in the copy of the
database: an attempt that began later would, after a restoration, seem to have run already. An
attempt that has not ended has its input and its claim in the backup alone; restored, it is one
whose pod was lost. A run that is deleted while its files are read is left out whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from . import __version__, archive, confined, naming
from .archive import About, Item, Writer
from .root import RESULT, STARTED, PipelineRoot
from .runstate import RunState, fold
from .store import copies, open_store
from .store.interface import StoreError
from .workspaces import RECORD

log = logging.getLogger(__name__)

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KINDS: Final = ("json", "log", "files.json")
"""What is beside an attempt's folder, each after the folder's name and a dot."""
_CHUNK: Final = 1024 * 1024
_ROOM: Final = 64 * 1024 * 1024
"""Bytes that are left free beside a backup, since the database may be on the same disk."""


class BackupError(Exception):
    """No backup could be written; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written."""

    path: Path
    size: int
    files: int
    about: About


def write(
    database: Path, root: PipelineRoot, target: Path, *, name: str, store: str = ""
) -> Report:
    """Write a backup.

    Args:
        database: the SQLite file; it may be in use.
        root: where the files of runs are.
        target: the file to write, which must not be there.
        name: of the service.
        store: the object store that artifacts are kept in, for the manifest.

    Raises:
        BackupError: it cannot be written.
    """
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already: move it away, or give another path")
    part, snapshot = (target.with_name(f"{target.name}.{what}") for what in ("part", "database"))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _private(snapshot), _private(part) as file:
            backup = _Backup(database, root, snapshot)
            about = backup.write(file, name, store)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
            # A link, not a renaming: what has come there meanwhile is not overwritten.
            os.link(part, target)
            _sync(target.parent)
    except FileExistsError as error:
        raise BackupError(f"{error.filename2 or error.filename} is there already") from error
    except (StoreError, OSError, ValueError) as error:
        raise BackupError(f"the backup {target} cannot be written: {error}") from error
    return Report(target, size, backup.files, about)


@contextlib.contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """Make a file that its owner alone can read, and delete it in the end."""
    # What another one left here that was killed.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Backup:
    """One backup on its way.

    Attributes:
        files: how many files are in it.
    """

    def __init__(self, database: Path, root: PipelineRoot, snapshot: Path) -> None:
        self._database = database
        self._root = root
        self._snapshot = snapshot
        self._left_out = 0
        self.files = 0

    def write(self, file: BinaryIO, name: str, store: str) -> About:
        """Write all of it."""
        created = time.time()
        copies.copy(self._database, self._snapshot)
        copied = open_store(self._snapshot)
        try:
            runs = copies.summary(self._snapshot).runs
            folders = self._root.run_folders()
            places: list[tuple[str, str, frozenset[str]]] = []
            for run_id in sorted(runs & folders.keys()):
                salts = _salts(run_id, fold(copied.runs.events(run_id)))
                places += ((run_id, folder, salts) for folder in folders[run_id])
            self._check_room(places)
            writer, items = Writer(file), list[tuple[str, Item]]()
            self._left_out = 0
            for run_id, folder, salts in places:
                items += ((run_id, each) for each in self._items(writer, folder, salts))
            gone = runs - copies.remaining(self._database, runs)
            for run_id in gone:
                copied.runs.delete(run_id)
        finally:
            copied.close()
        copies.fold(self._snapshot)
        writer.add(archive.DATABASE, _read(self._snapshot))
        listed = [
            # What is written of a run that is gone is nothing's.
            item if run_id not in gone else dataclasses.replace(item, path="")
            for run_id, item in items
            if run_id not in gone or not item.folder
        ]
        found = copies.summary(self._snapshot)
        about = About(
            version=__version__,
            revision=found.revision,
            name=name,
            created=created,
            runs=len(found.runs),
            recurring_runs=found.recurring_runs,
            artifact_store=store,
            left_out=self._left_out,
        )
        writer.close(about, listed)
        self.files = sum(item.path != "" and not item.folder for item in listed)
        return about

    def _check_room(self, places: Iterable[tuple[str, str, frozenset[str]]]) -> None:
        needed = self._snapshot.stat().st_size + _ROOM
        for _, folder, salts in places:
            for _, descriptor in self._selected(folder, salts):
                # Its header, its padding, its line of the manifest.
                needed += os.fstat(descriptor).st_size + 2048
        free = shutil.disk_usage(self._snapshot.parent).free
        if needed > free:
            raise BackupError(
                f"{self._snapshot.parent} has {free} bytes free, and the backup takes up to "
                f"{needed}: give a path on a disk with more room"
            )

    def _items(self, writer: Writer, folder: str, salts: frozenset[str]) -> Iterator[Item]:
        for path, descriptor in self._selected(folder, salts):
            status = os.fstat(descriptor)
            mode, changed = stat.S_IMODE(status.st_mode) & 0o777, max(int(status.st_mtime), 0)
            if stat.S_ISDIR(status.st_mode):
                yield Item(path, mode, changed, folder=True)
            else:
                with confined.stream(descriptor) as file:
                    size, digest = writer.add(archive.FILES, _chunks(file))
                yield Item(path, mode, changed, size=size, sha256=digest)

    def _selected(self, folder: str, salts: frozenset[str]) -> Iterator[tuple[str, int]]:
        """Give what is to be kept of a run's folder: paths from the root, opened."""
        try:
            with confined.opened(self._root.folder, self._root.folder / folder) as run:
                for task, descriptor in self._children(run):
                    path = f"{folder}/{task}"
                    if task == RECORD:
                        yield path, descriptor
                    elif confined.is_folder(descriptor):
                        yield from self._attempts(path, descriptor, salts)
        except confined.ConfinedError as error:
            # It has been deleted meanwhile, or was never a folder of this service's making.
            log.info("%s", error)

    def _attempts(self, path: str, task: int, salts: frozenset[str]) -> Iterator[tuple[str, int]]:
        yield path, task
        for name, descriptor in self._children(task):
            salt, _, kind = name.partition(".")
            if salt not in salts:
                continue
            if confined.is_folder(descriptor) and not kind:
                yield f"{path}/{name}", descriptor
                names = os.listdir(descriptor)
                only = None if RESULT in names else STARTED
                yield from self._all(f"{path}/{name}", descriptor, only)
            elif not confined.is_folder(descriptor) and kind in _KINDS:
                yield f"{path}/{name}", descriptor

    def _all(self, path: str, folder: int, only: str | None = None) -> Iterator[tuple[str, int]]:
        for name, descriptor in self._children(folder):
            if only not in (None, name):
                continue
            yield f"{path}/{name}", descriptor
            if confined.is_folder(descriptor):
                yield from self._all(f"{path}/{name}", descriptor)

    def _children(self, folder: int) -> Iterator[tuple[str, int]]:
        """Give the files and folders in an open folder; count what else is there."""
        for name in sorted(os.listdir(folder)):
            try:
                found = os.open(name, _OPEN, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                # A link or a socket, which nothing that a step declares can be.
                if error.errno not in (errno.ELOOP, errno.ENXIO):
                    raise
                self._left_out += 1
                continue
            try:
                mode = os.fstat(found).st_mode
                if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                    yield name, found
                else:
                    self._left_out += 1
            finally:
                os.close(found)


def _salts(run_id: str, state: RunState) -> frozenset[str]:
    """Give what the files of the attempts that are recorded of a run are named by."""
    counts = {**state.spent}
    for task in state.tasks.values():
        counts[task.path] = max(counts.get(task.path, 0), task.attempt + 1)
    return frozenset(
        naming.salt(run_id, path, number)
        for path, count in counts.items()
        for number in range(count)
    )


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from _chunks(file)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
