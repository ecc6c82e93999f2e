"""Outputs that are kept on the volume of this service: they come over HTTP, one file a request.

What comes in is kept beside the attempt's folder, in `SALT.part/files/`, and moved into it once
the result is there; so the folder is the same as that of a step with the volume.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from ..manifest import VOLUME, Entry
from ..root import Attempt, PipelineRoot
from .errors import ConflictError, DamagedError


def address(path: str) -> str:
    """Give where a file's content is read from and sent to, relative to the routes."""
    return f"content?path={quote(path, safe='/')}"


class VolumeDepot:
    """Keeps outputs on the volume."""

    kept = VOLUME

    def __init__(self, root: PipelineRoot) -> None:
        self._root = root

    def part_size(self, size: int) -> int:
        """Files come whole."""
        del size
        return 0

    def prepare(self, attempt: Attempt, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Make room for what an attempt will send."""
        (self._staging(attempt) / "files").mkdir(parents=True, exist_ok=True, mode=0o700)
        return entries

    def place(self, attempt: Attempt, entry: Entry) -> dict[str, Any]:
        """Tell where a file goes."""
        del attempt
        return {"path": entry.path, "url": address(entry.path), "headers": {}}

    @contextlib.contextmanager
    def receiving(self, attempt: Attempt, entry: Entry) -> Iterator[Upload]:
        """Take in one declared file; it is there when the block has ended well, whole.

        Raises:
            DamagedError: the file is not what was declared.
        """
        staging = self._staging(attempt)
        temporary = staging / f".new-{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                upload = Upload(file, entry)
                yield upload
                upload.check()
                file.flush()
                os.fsync(file.fileno())
            target = staging / "files" / entry.path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def keep(self, attempt: Attempt, entries: Mapping[str, Entry]) -> None:
        """Move what came into the attempt's folder.

        Raises:
            ConflictError: a declared file has not come.
        """
        staging, folder = self._staging(attempt) / "files", self._root.folder / attempt.folder
        missing = [
            path
            for path, entry in entries.items()
            # Moved already if this service was killed in the middle of it.
            if not entry.folder and not ((staging / path).exists() or (folder / path).exists())
        ]
        if missing:
            raise ConflictError(f"{len(missing)} declared files have not come: {missing[0][:200]}")
        for path, entry in entries.items():
            if entry.folder:
                (folder / path).mkdir(parents=True, exist_ok=True, mode=0o700)
            elif (staging / path).exists():
                (folder / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                (staging / path).replace(folder / path)

    def drop(self, attempt: Attempt, entries: Mapping[str, Entry]) -> None:
        """Nothing is outside of the attempt's own staging folder."""

    def _staging(self, attempt: Attempt) -> Path:
        return self._root.folder / attempt.staging


class Upload:
    """A file that is coming in."""

    def __init__(self, file: BinaryIO, entry: Entry) -> None:
        self._file = file
        self._entry = entry
        self._size = 0
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; DamagedError if there are more than declared."""
        self._size += len(chunk)
        if self._size > self._entry.size:
            raise DamagedError(
                f"{self._entry.path[:200]}: more than the {self._entry.size} bytes declared"
            )
        self._digest.update(chunk)
        self._file.write(chunk)

    def check(self) -> None:
        """DamagedError if it is not what was declared."""
        found = self._digest.hexdigest()
        if self._size != self._entry.size or found != self._entry.sha256:
            raise DamagedError(
                f"{self._entry.path[:200]}: got {self._size} bytes with SHA-256 {found}, declared "
                f"were {self._entry.size} with {self._entry.sha256}"
            )
