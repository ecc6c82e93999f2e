"""What a volume has of attempts, moved to the database and the object store that services share.

A service that had its documents and logs on its volume begins to share them once PostgreSQL and an
object store are both set. Its documents are moved before it serves, its logs meanwhile; once all
are, the database says so by a key, and only then may a service with another volume lead
(`store.moving`). Artifacts that steps wrote to the volume itself stay there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import select

from toolkit_objects import ObjectStore, ObjectStoreError

from .documents import Kind, VolumeDocuments
from .root import Attempt, PipelineRoot
from .store import tables
from .store.database import Database
from .store.documents import StoredDocuments
from .store.interface import StoreError
from .store.moving import SHARED

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"([0-9a-f]{16})(\.json|\.files\.json|\.part|\.log)?")
_KINDS: Final = (Kind.INPUT, Kind.CLAIM, Kind.DECLARED, Kind.LISTED, Kind.RESULT)
_PAUSE: Final = 60.0
"""Seconds until what could not be moved is tried again."""


class Adoption:
    """Moves what a volume has of attempts.

    Args:
        database: where documents go.
        root: the pipeline root; on its volume they are.
        store: where logs go.
    """

    def __init__(self, database: Database, root: PipelineRoot, store: ObjectStore) -> None:
        self._database = database
        self._root = root
        self._store = store
        self._volume = VolumeDocuments(root.folder)

    def documents(self) -> int:
        """Move all documents, before anybody asks for one; give how many. Blocking.

        What the database has already stays as it is there. What a step made unreadable stays on
        the volume, as does what is of no run.

        Raises:
            OSError: the volume cannot be read or written.
            StoreError: the database does not take them.
        """
        target, moved = StoredDocuments(self._database), 0
        for folder in self._folders():
            found: dict[tuple[str, Kind], str] = {}
            for home, kind in self._all(folder):
                try:
                    text = self._volume.read(home, kind)
                except OSError as error:
                    if kind not in (Kind.CLAIM, Kind.RESULT):
                        raise
                    log.warning("the %s of %s stays where it is: %s", kind, home, error)
                    continue
                if text is not None:
                    found[home, kind] = text
            if not found:
                continue
            target.add(found)
            for home, kind in found:
                self._volume.path(home, kind).unlink()
                if kind is Kind.DECLARED:
                    _prune(self._root.folder / f"{home}.part")
            for home, _ in found:
                _prune(self._root.folder / home)
            moved += len(found)
        if moved:
            log.info("moved %d documents of attempts to the database", moved)
        return moved

    async def run(self) -> None:
        """Move the logs, again until all are; then say so, for others that may lead."""
        while True:
            try:
                await asyncio.to_thread(self.logs)
                await asyncio.to_thread(self._database.key, SHARED)
            except (OSError, ObjectStoreError, StoreError) as error:
                log.warning("logs stay on the volume, and no other service can lead: %s", error)
                await asyncio.sleep(_PAUSE)
            else:
                break
        # The service ends with any of its tasks.
        await asyncio.Event().wait()

    def logs(self) -> int:
        """Move all logs; give how many. Blocking.

        Raises:
            OSError: the volume cannot be read or written.
            ObjectStoreError: the store does not take one.
            StoreError: the database does not answer.
        """
        moved = 0
        for folder in self._folders():
            for attempt in self._attempts(folder):
                path = self._root.folder / attempt.log
                if not path.is_file():
                    continue
                if self._store.size(attempt.log) is None:
                    with path.open("rb") as file:
                        self._store.write(attempt.log, file)
                path.unlink()
                moved += 1
            for path in (*self._tasks(folder), self._root.folder / folder):
                _prune(path)
        if moved:
            log.info("moved %d logs of attempts to the object store", moved)
        return moved

    def _folders(self) -> list[str]:
        """Give the folders of the runs that the database knows."""
        with self._database.read() as connection:
            known = set(connection.execute(select(tables.runs.c.run_id)).scalars())
        folders = self._root.run_folders()
        return sorted(each for run_id in known & folders.keys() for each in folders[run_id])

    def _all(self, folder: str) -> Iterator[tuple[str, Kind]]:
        yield folder, Kind.WORKSPACE
        for attempt in self._attempts(folder):
            for kind in _KINDS:
                yield attempt.folder, kind

    def _attempts(self, folder: str) -> Iterator[Attempt]:
        for path in self._tasks(folder):
            matches = (_NAME.fullmatch(name) for name in os.listdir(path))
            for salt in sorted({match[1] for match in matches if match is not None}):
                yield Attempt(folder, f"{folder}/{path.name}", salt)

    def _tasks(self, folder: str) -> list[Path]:
        # Steps can write to the folders of attempts alone, which are below these.
        with os.scandir(self._root.folder / folder) as entries:
            return sorted(Path(each) for each in entries if each.is_dir(follow_symlinks=False))


def _prune(folder: Path) -> None:
    """Remove a folder if nothing is in it."""
    with contextlib.suppress(FileNotFoundError):
        if not any(os.scandir(folder)):
            folder.rmdir()
