"""The file that a backup is: a tar file, not compressed, its members named by what they hold.

    files/SHA256      the content of a file of a run, once for each
    database/SHA256   the SQLite database
    manifest/SHA256   what is what, last: a line of JSON about the whole, then one for each file

The manifest's lines come in the order of the members, those of folders in between, and have the
paths: no name of a member is ever a path. What is not compressed unpacks to no more than it is.
Headers of any other kind (links, devices, long names) are refused unread.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final

from .manifest import ManifestError, checked_path

FORMAT: Final = 1
FILES: Final = "files"
DATABASE: Final = "database"
MANIFEST: Final = "manifest"

_BLOCK: Final = tarfile.BLOCKSIZE
_CHUNK: Final = 1024 * 1024
_NAME: Final = re.compile(rf"({FILES}|{DATABASE}|{MANIFEST})/([0-9a-f]{{64}})")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_NUMBER: Final = 1e11
"""Above all times and counts that can be."""
_MAX_LINE: Final = 64 * 1024
"""Bytes of a line of the manifest; a path has less than 4000 characters."""


class ArchiveError(ValueError):
    """It is no backup, or not whole; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a whole backup.

    Attributes:
        version: of the service that wrote it.
        revision: of its database's tables.
        name: of the service.
        created: when the database was copied, in seconds since the epoch.
        runs: how many runs are in it.
        recurring_runs: how many recurring runs.
        artifact_store: the object store that artifacts were kept in, which is not in it; or "".
        left_out: how many links, pipes and devices of runs are not in it.
        format: of this file.
    """

    version: str
    revision: str
    name: str
    created: float
    runs: int
    recurring_runs: int
    artifact_store: str
    left_out: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Item:
    """A file or a folder of a run.

    Attributes:
        path: from the pipeline root; "" for content that belongs to nothing any more.
        mode: its permissions.
        time: when it was last changed, in seconds since the epoch.
        folder: whether it is a folder; then nothing of what follows.
        size: in bytes.
        sha256: in hexadecimal.
    """

    path: str
    mode: int
    time: int
    folder: bool = False
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the tar file: where its content is in it."""

    kind: str
    sha256: str
    offset: int
    size: int


class Writer:
    """Writes a backup to a file that can be sought in."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, kind: str, chunks: Iterable[bytes]) -> tuple[int, str]:
        """Add a member; give its size and its digest."""
        start, size, digest = self._file.tell(), 0, hashlib.sha256()
        # The header has size and digest: it is written when these are known.
        self._file.write(bytes(_BLOCK))
        for chunk in chunks:
            self._file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        self._file.write(bytes(-size % _BLOCK))
        end = self._file.tell()
        header = tarfile.TarInfo(f"{kind}/{digest.hexdigest()}")
        header.size, header.mode = size, 0o600
        self._file.seek(start)
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        self._file.seek(end)
        return size, digest.hexdigest()

    def close(self, about: About, items: Iterable[Item]) -> None:
        """Add the manifest and the end."""
        self.add(MANIFEST, _lines(about, items))
        self._file.write(bytes(2 * _BLOCK))


def _lines(about: About, items: Iterable[Item]) -> Iterator[bytes]:
    yield json.dumps(asdict(about)).encode() + b"\n"
    for item in items:
        yield json.dumps(asdict(item)).encode() + b"\n"


class Reader:
    """Reads a backup that may be damaged, or made to do harm.

    Opening it looks at the headers and the manifest, not at what files hold.

    Attributes:
        about: what is known of the whole.
        database: where the database is.
        total: how many bytes its files have.

    Raises:
        ArchiveError: it is not one, is not whole, or is of a later format.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        found: dict[str, list[Member]] = {DATABASE: [], MANIFEST: []}
        files = 0
        for member in self._members():
            if member.kind == FILES:
                files += 1
            else:
                found[member.kind].append(member)
        for kind, members in found.items():
            if len(members) != 1:
                raise ArchiveError(f"it has {len(members)} members {kind}/…, a backup has one")
        (self.database,), (self._manifest,) = found.values()
        lines = self._manifest_lines()
        self.about = _about(next(lines, {}))
        self.total = listed = 0
        for data in lines:
            item = _item(data)
            listed += not item.folder
            self.total += item.size
        if listed != files:
            raise ArchiveError(f"it has {files} files, and its manifest tells of {listed}")

    def _members(self) -> Iterator[Member]:
        length = self._file.seek(0, os.SEEK_END)
        offset = 0
        while True:
            self._file.seek(offset)
            block = self._file.read(_BLOCK)
            if block == bytes(_BLOCK):
                if self._file.read(_BLOCK + 1) != bytes(_BLOCK):
                    raise ArchiveError(f"its end, at byte {offset}, is not that of a backup")
                return
            member = _member(block, offset)
            offset = member.offset + member.size + -member.size % _BLOCK
            if offset > length:
                raise ArchiveError(
                    f"it is cut off: it has {length} bytes, and {member.kind}/{member.sha256} "
                    f"goes to byte {offset}"
                )
            yield member

    def _manifest_lines(self) -> Iterator[Any]:
        digest, left = hashlib.sha256(), self._manifest.size
        offset = self._manifest.offset
        while left:
            # Others read from the same file meanwhile.
            self._file.seek(offset)
            line = self._file.readline(min(left, _MAX_LINE))
            digest.update(line)
            offset, left = offset + len(line), left - len(line)
            if not line.endswith(b"\n"):
                raise ArchiveError("a line of its manifest does not end")
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ArchiveError(f"its manifest is not JSON: {error}") from error
        if digest.hexdigest() != self._manifest.sha256:
            raise _differs("its manifest", self._manifest.sha256, digest.hexdigest())

    def items(self) -> Iterator[tuple[Item, Iterator[bytes]]]:
        """Give each file and folder with its content, to be read before the next is asked for.

        Raises:
            ArchiveError: its content, or what the manifest tells of it, is damaged.
        """
        members = self._members()
        lines = self._manifest_lines()
        next(lines)
        for data in lines:
            item = _item(data)
            if item.folder:
                yield item, iter(())
                continue
            member = next(members, None)
            while member is not None and member.kind != FILES:
                member = next(members, None)
            if member is None or (item.size, item.sha256) != (member.size, member.sha256):
                raise ArchiveError(f"its manifest tells of another file for {item.path[:200]!r}")
            yield item, self.content(member)

    def content(self, member: Member) -> Iterator[bytes]:
        """Give what a member holds; ArchiveError at its end if it is not what its name says."""
        digest, offset, left = hashlib.sha256(), member.offset, member.size
        while left:
            self._file.seek(offset)
            chunk = self._file.read(min(left, _CHUNK))
            if not chunk:
                raise ArchiveError(f"it is cut off at byte {offset}")
            digest.update(chunk)
            offset, left = offset + len(chunk), left - len(chunk)
            yield chunk
        if digest.hexdigest() != member.sha256:
            raise _differs(f"{member.kind}/{member.sha256}", member.sha256, digest.hexdigest())


def _differs(what: str, wanted: str, found: str) -> ArchiveError:
    return ArchiveError(f"{what} is damaged: its SHA-256 is {found}, not {wanted}")


def _member(block: bytes, offset: int) -> Member:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise ArchiveError(f"byte {offset} is not where a member of a backup begins") from error
    match = _NAME.fullmatch(info.name)
    if match is None or info.type != tarfile.REGTYPE or info.size < 0:
        raise ArchiveError(
            f"its member at byte {offset}, {info.name[:80]!r} of type {info.type!r}, is none of "
            "a backup"
        )
    return Member(match[1], match[2], offset + _BLOCK, info.size)


def _about(data: Any) -> About:
    if not isinstance(data, dict):
        raise ArchiveError("its manifest begins with no object")
    found = data.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise ArchiveError(
            f"it is of format {found}, written by version {str(data.get('version'))[:40]}; this "
            f"service reads up to {FORMAT}: refresh it first"
        )
    texts = ("version", "revision", "name", "artifact_store")
    numbers = ("created", "runs", "recurring_runs", "left_out", "format")
    right = data.keys() == {*texts, *numbers}
    right = right and all(isinstance(data[name], str) for name in texts)
    right = right and all(isinstance(data[name], int | float) for name in numbers)
    if not right or not all(0 <= data[name] < _MAX_NUMBER for name in numbers):
        raise ArchiveError("its manifest does not begin as that of a backup does")
    return About(**data)


def _item(data: Any) -> Item:
    try:
        item = Item(**data)
        whole = [item.mode, item.time, item.size]
        if any(isinstance(each, bool) or not isinstance(each, int) for each in whole):
            raise ManifestError("numbers are whole")
        if item.path != "":
            checked_path(item.path)
        bare = item.folder and item.path != "" and not item.size and item.sha256 == ""
        if item.folder is not bare or item.size < 0 or item.mode & ~0o777:
            raise ManifestError(f"{item.path[:200]!r} cannot be so")
        if not 0 <= item.time < _MAX_NUMBER:
            raise ManifestError(f"{item.path[:200]!r} cannot be so")
        if not item.folder and not _SHA256.fullmatch(item.sha256):
            raise ManifestError(f"{item.path[:200]!r} has no digest")
    except (TypeError, ManifestError) as error:
        raise ArchiveError(f"its manifest tells of no file: {error}") from error
    return item
