"""Outputs that are kept in an object store: steps send them there, by links signed here.

An object has its last place from the start, which is nobody else's, since an attempt has a name of
its own; and it is no artifact until the attempt's record names it. A link takes the content that
was declared and no other, so nothing changes afterwards.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from toolkit_objects import ObjectStore, part_size

from ..manifest import Entry
from ..root import Attempt
from .errors import ConflictError


class StoreDepot:
    """Keeps outputs in an object store; all but `place` may raise ObjectStoreError."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.kept = store.uri

    def part_size(self, size: int) -> int:
        """Give the size of the parts that a file comes in; 0 if it comes whole."""
        return part_size(size)

    def prepare(self, attempt: Attempt, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Begin the uploads of files that come in parts."""
        return tuple(
            dataclasses.replace(entry, upload=self._store.begin(_below(attempt, entry)))
            if entry.parts and not entry.upload
            else entry
            for entry in entries
        )

    def place(self, attempt: Attempt, entry: Entry) -> dict[str, Any]:
        """Tell where a file goes, whole or in parts."""
        below = _below(attempt, entry)
        if not entry.parts:
            strong = base64.b64encode(bytes.fromhex(entry.sha256)).decode()
            url, headers = self._store.writing(below, entry.md5, strong)
            return {"path": entry.path, "url": url, "headers": headers}
        parts = []
        start = 0
        sizes = zip(entry.parts, _sizes(entry), strict=True)
        for number, (digest, size) in enumerate(sizes, 1):
            url, headers = self._store.writing_part(below, entry.upload, number, digest)
            parts.append({"url": url, "headers": headers, "start": start, "size": size})
            start += size
        return {"path": entry.path, "parts": parts}

    def keep(self, attempt: Attempt, entries: Mapping[str, Entry]) -> None:
        """See that all has come, and make objects of parts.

        Raises:
            ConflictError: a declared file has not come.
        """
        files = [entry for entry in entries.values() if not entry.folder]
        if not files:
            return
        found = self._store.sizes(attempt.folder)
        for entry in files:
            below = _below(attempt, entry)
            # Made already if this service was killed in the middle of it.
            if entry.parts and found.get(below) != entry.size:
                self._store.finish(below, entry.upload, _sizes(entry))
                found[below] = entry.size
        missing = [e.path for e in files if found.get(_below(attempt, e)) != e.size]
        if missing:
            raise ConflictError(f"{len(missing)} declared files have not come: {missing[0][:200]}")

    def drop(self, attempt: Attempt, entries: Mapping[str, Entry]) -> None:
        """Delete what an attempt sent and never committed."""
        if any(not entry.folder for entry in entries.values()):
            self._store.remove(attempt.folder)


def _below(attempt: Attempt, entry: Entry) -> str:
    return f"{attempt.folder}/{entry.path}"


def _sizes(entry: Entry) -> Iterator[int]:
    """Give the sizes of a file's parts."""
    size = part_size(entry.size)
    for number in range(math.ceil(entry.size / size)):
        yield min(size, entry.size - number * size)
