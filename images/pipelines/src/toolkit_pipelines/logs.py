"""What attempts have printed, kept once their pods are gone.

They are on the volume; or objects in the store, where the attempts' documents are in the database:
so that whichever service leads next can give them.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path
from typing import Final, Protocol

from toolkit_objects import ObjectStore

from .documents import Kind
from .root import Attempt, PipelineRoot

_CHUNK: Final = 256 * 1024


class Logs(Protocol):
    """Where logs are kept."""

    async def has(self, attempt: Attempt) -> bool:
        """Tell whether an attempt's is kept."""
        ...

    async def save(self, attempt: Attempt, chunks: AsyncIterable[bytes]) -> None:
        """Keep an attempt's, unless it is kept or its run has been deleted.

        Raises:
            OSError, ObjectStoreError, StoreError: it cannot be, now.
        """
        ...

    def read(self, attempt: Attempt) -> AsyncIterator[bytes]:
        """Give the content of one that is kept."""
        ...


class VolumeLogs:
    """Logs beside the folders of their attempts.

    Args:
        root: the pipeline root.
    """

    def __init__(self, root: PipelineRoot) -> None:
        self._root = root

    def path(self, attempt: Attempt) -> Path:
        """Give where an attempt's is, or would be."""
        return self._root.folder / attempt.log

    async def has(self, attempt: Attempt) -> bool:
        """See `Logs`."""
        return self.path(attempt).exists()

    async def save(self, attempt: Attempt, chunks: AsyncIterable[bytes]) -> None:
        """See `Logs`."""
        path = self.path(attempt)
        if path.exists() or not path.parent.is_dir():
            return
        temporary = path.with_suffix(".log.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for chunk in chunks:
                if len(chunk) < io.DEFAULT_BUFFER_SIZE:
                    # It goes into a buffer, sooner than a thread would come to its turn.
                    file.write(chunk)
                else:
                    await asyncio.to_thread(file.write, chunk)
        temporary.replace(path)

    async def read(self, attempt: Attempt) -> AsyncIterator[bytes]:
        """See `Logs`."""
        with self.path(attempt).open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk


class StoreLogs:
    """Logs as objects beside those of their attempts.

    Args:
        root: the pipeline root.
        store: the object store.
    """

    def __init__(self, root: PipelineRoot, store: ObjectStore) -> None:
        self._root = root
        self._store = store

    async def has(self, attempt: Attempt) -> bool:
        """See `Logs`."""
        return await asyncio.to_thread(self._store.size, attempt.log) is not None

    async def save(self, attempt: Attempt, chunks: AsyncIterable[bytes]) -> None:
        """See `Logs`."""
        documents = self._root.documents
        known = await asyncio.to_thread(documents.has, attempt.folder, Kind.INPUT)
        if not known or await self.has(attempt):
            return
        # An object is written with its length told in advance.
        with tempfile.TemporaryFile(dir=self._root.folder) as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
            file.seek(0)
            await asyncio.to_thread(self._store.write, attempt.log, file)

    async def read(self, attempt: Attempt) -> AsyncIterator[bytes]:
        """See `Logs`."""
        size = await asyncio.to_thread(self._store.size, attempt.log)
        chunks = self._store.read(attempt.log, size or 0)
        while (chunk := await asyncio.to_thread(_next, chunks)) is not None:
            yield chunk


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)
