"""What artifacts hold, wherever it is kept: on the volume of this service, or in an object store.

What a step with the volume wrote is there, and nothing else tells of it. What a step without it
sent is told by a list, one of the attempt's documents (see `manifest`), which also names where it
is; so a service that is given another store, or none, knows what it cannot read. Reading one may
raise StoreError, where the database has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from toolkit_objects import ObjectStore, ObjectStoreError

from . import confined, manifest
from .documents import Kind
from .manifest import VOLUME, Entry
from .root import PipelineRoot

_CHUNK: Final = 256 * 1024
_SALT: Final = re.compile(r"[0-9a-f]{16}")


class AbsentError(Exception):
    """There is no such content: it was removed, or was never written."""


class ElsewhereError(ValueError):
    """The content is where this service does not read."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an artifact that is a folder.

    Attributes:
        path: relative to the artifact.
        size: in bytes.
        time: when it was last changed, in seconds since the epoch; 0 if nobody knows.
        chunks: its content; to be read before the next file is asked for.
    """

    path: str
    size: int
    time: float
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is of an artifact.

    Attributes:
        kept: where it is: `VOLUME`, or an object store's URI.
        entries: its files and folders, paths from the root; none if it was never written.
    """

    kept: str
    entries: list[Entry]


class Content(Protocol):
    """The content of one artifact, opened.

    Attributes:
        folder: whether it is a folder rather than a file.
    """

    folder: bool

    def chunks(self) -> Iterator[bytes]:
        """Give the bytes of a file; blocking."""
        ...

    def files(self) -> Iterator[File]:
        """Give the files of a folder; blocking."""
        ...


class Contents:
    """The contents of all artifacts of this service.

    Args:
        root: the pipeline root.
        store: the object store that new artifacts are kept in, or None.
    """

    def __init__(self, root: PipelineRoot, store: ObjectStore | None = None) -> None:
        self._root = root
        self._store = store

    @contextlib.contextmanager
    def opened(self, uri: str) -> Iterator[Content]:
        """Open the content of an artifact.

        Raises:
            ElsewhereError: it is not below the pipeline root, or in a store that is not set.
            AbsentError: there is none.
        """
        below = self._root.below(uri)
        if below is None:
            raise ElsewhereError(
                f"{uri[:200]!r} is not below {self._root.uri}, where this service is set to keep "
                "artifacts"
            )
        kept, known = self._manifest(below)
        if kept == VOLUME:
            try:
                with confined.opened(self._root.folder, self._root.folder / below) as descriptor:
                    yield _OnVolume(descriptor)
            except confined.ConfinedError as error:
                raise AbsentError(f"{uri[:200]!r} cannot be read: {error}") from error
            return
        entries = _among(below, known)
        if not entries:
            raise AbsentError(f"{uri[:200]!r} was never written")
        yield _InStore(self._stored_at(kept), below, entries)

    def listed(self, below: str) -> Listing:
        """Give what is at a path from the root, a folder with all that is in it."""
        kept, known = self._manifest(below)
        if kept != VOLUME:
            return Listing(kept, _among(below, known))
        try:
            with confined.opened(self._root.folder, self._root.folder / below) as descriptor:
                if not confined.is_folder(descriptor):
                    return Listing(VOLUME, [_entry(below, descriptor, known)])
                found = [Entry(below, folder=True)]
                found += [
                    Entry(f"{below}/{path}", folder=True) for path in confined.folders(descriptor)
                ]
                for path, file in confined.walk(descriptor):
                    found.append(_entry(f"{below}/{path}", file, known))
                return Listing(VOLUME, found)
        except confined.ConfinedError:
            return Listing(VOLUME, [])

    def digest(self, uri: str) -> str:
        """Give a digest of an artifact's content; "" if nobody has computed any.

        Two artifacts with the same digest hold the same files.

        Raises:
            OSError, ValueError: the list of what its step sent cannot be read.
        """
        below = self._root.below(uri)
        entries = _among(below, self._manifest(below)[1]) if below is not None else []
        if below is None or not entries or not all(each.folder or each.sha256 for each in entries):
            return ""
        listed = sorted(
            (each.path[len(below) :], each.folder, each.size, each.sha256) for each in entries
        )
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    def present(self, uri: str) -> bool:
        """Tell whether an artifact is still there, as far as this service can know.

        What is elsewhere is nobody's to tell; what a step with the volume wrote is listed nowhere,
        so the folder of its attempt is looked for.

        Raises:
            ElsewhereError: it is in an object store that is not set.
            ObjectStoreError: the object store does not say.
            OSError, ValueError: the list of what its step sent cannot be read.
        """
        below = self._root.below(uri)
        if below is None:
            return True
        home = next(_homes(below), below)
        kept, known = self._manifest(below)
        files = [each for each in _among(below, known) if not each.folder]
        if kept == VOLUME:
            there = [home, *(each.path for each in files)]
            return all(os.path.lexists(self._root.folder / each) for each in there)
        sizes = self._stored_at(kept).sizes(home) if files else {}
        return all(sizes.get(each.path) == each.size for each in files)

    def link(self, kept: str, entry: Entry) -> str:
        """Give a link to read a listed file of an object store by.

        Raises:
            ElsewhereError: it is in a store that is not set.
        """
        return self._stored_at(kept).reading(entry.path)

    def forget(self, run_id: str) -> None:
        """Delete all files of a run: its logs, its inputs, its artifacts.

        Raises:
            ObjectStoreError: the object store does not delete them; what is on the volume is still
                there, and it can be tried again.
        """
        self.forgetter()(run_id)

    def forgetter(self) -> Callable[[str], None]:
        """Give `forget` for many runs: the root is looked through once, now."""
        folders = self._root.run_folders()

        def forget(run_id: str) -> None:
            known = self._root.documents.folders(run_id)
            found = sorted({*folders.get(run_id, []), *known})
            if self._store is not None:
                for folder in found:
                    self._store.remove(folder)
            self._root.forget(found)

        return forget

    def _stored_at(self, uri: str) -> ObjectStore:
        if self._store is None or self._store.uri != uri:
            raise ElsewhereError(f"it is in {uri}, which this service is not set to use any more")
        return self._store

    def _manifest(self, below: str) -> tuple[str, dict[str, Entry]]:
        """Give where an attempt's files are kept, and those that it sent by path from the root."""
        for home in _homes(below):
            text = self._root.documents.read(home, Kind.LISTED)
            if text is not None:
                store, entries = manifest.load(text)
                return store, {f"{home}/{e.path}": e.moved(home) for e in entries}
        return VOLUME, {}


def _homes(below: str) -> Iterator[str]:
    """Give what may be the folder of the attempt that a path is in."""
    parts = below.split("/")
    for number, part in enumerate(parts):
        if _SALT.fullmatch(part):
            yield "/".join(parts[: number + 1])


def _among(below: str, known: dict[str, Entry]) -> list[Entry]:
    return [e for path, e in known.items() if path == below or path.startswith(f"{below}/")]


def _entry(path: str, descriptor: int, known: dict[str, Entry]) -> Entry:
    sent = known.get(path)
    return Entry(path, os.fstat(descriptor).st_size, sent.sha256 if sent is not None else "")


class _OnVolume:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.folder = confined.is_folder(descriptor)

    def chunks(self) -> Iterator[bytes]:
        return _read(self._descriptor)

    def files(self) -> Iterator[File]:
        for path, descriptor in confined.walk(self._descriptor):
            status = os.fstat(descriptor)
            yield File(path, status.st_size, status.st_mtime, _read(descriptor))


class _InStore:
    def __init__(self, store: ObjectStore, below: str, entries: list[Entry]) -> None:
        self._store = store
        self._below = below
        self._files = [entry for entry in entries if not entry.folder]
        self.folder = entries[0].path != below or entries[0].folder

    def chunks(self) -> Iterator[bytes]:
        return self._read(self._files[0])

    def files(self) -> Iterator[File]:
        for entry in sorted(self._files, key=lambda each: each.path):
            path = entry.path[len(self._below) + 1 :]
            yield File(path, entry.size, 0.0, self._read(entry))

    def _read(self, entry: Entry) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for chunk in self._store.read(entry.path, entry.size):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != entry.sha256:
            raise ObjectStoreError(
                f"{self._store.uri}/{entry.path} has SHA-256 {digest.hexdigest()}; what the step "
                f"sent had {entry.sha256}",
                transient=False,
            )


def _read(descriptor: int) -> Iterator[bytes]:
    with confined.stream(descriptor) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
