"""Which object stores have artifacts, folder by folder: so that none is missed once one is gone.

The database names artifacts by the server alone, whatever keeps them. Without its store the server
could not tell an artifact that is out of reach from one that never was. So each folder that gets
something in a store is made again, empty, below `STORES/HASH/folders`; `STORES/HASH/uri` names
the store.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

_FOLDERS = "folders"
_URI = "uri"


class Marks:
    """The folders that have artifacts in stores.

    Args:
        folder: where marks are kept; it need not be there.
        uri: the store that is set, as `ObjectStore.uri` has it; "" for none.
    """

    def __init__(self, folder: Path, uri: str) -> None:
        self._own = folder / hashlib.sha256(uri.encode()).hexdigest()[:16] if uri else None
        self._uri = uri
        # A server is started anew with each change of its store.
        self._others = {
            note.read_text(encoding="utf-8"): note.parent / _FOLDERS
            for note in sorted(folder.glob(f"*/{_URI}"))
            if note.parent != self._own
        }

    def elsewhere(self, below: str) -> str:
        """Name a store that is set no more and has something in a folder, or further below."""
        found = (uri for uri, folders in self._others.items() if (folders / below).is_dir())
        return next(found, "")

    def mark(self, below: str) -> None:
        """Note that a folder gets something in the store that is set; it outlives a power cut.

        Raises:
            OSError: it cannot be noted.
        """
        if self._own is None:
            raise ValueError("no store is set")
        if (self._own / _FOLDERS / below).is_dir():
            return
        self._begin(self._own)
        at = self._own / _FOLDERS
        for name in ("", *PurePosixPath(below).parts):
            at = at / name
            if not at.is_dir():
                at.mkdir(mode=0o700, exist_ok=True)
                _sync(at.parent)

    def forget(self, below: str) -> None:
        """Note that nothing of a folder is in the store any more."""
        if self._own is not None and (self._own / _FOLDERS / below).is_dir():
            shutil.rmtree(self._own / _FOLDERS / below)

    def _begin(self, own: Path) -> None:
        if (own / _URI).exists():
            return
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Requests, and workers, do this side by side.
        opened, partial = tempfile.mkstemp(dir=own)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(self._uri)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(own / _URI)
        for each in (own, own.parent, own.parent.parent):
            _sync(each)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
