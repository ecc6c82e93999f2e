"""What an artifact holds, as one digest: two with the same digest hold the same.

    sha256:HEX         a file
    tree-sha256:HEX    a folder: over its files and folders in order, each by path and SHA-256
    none               nothing was written

Links are followed, since what they lead to is the artifact's content. Modes and times do not
count. A folder of 100,000 files takes the memory of the names in one of its folders.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Optional

NOTHING = "none"
_CHUNK = 1024 * 1024
# Python 3.9 evaluates it.
Entry = tuple[str, Optional[str]]  # noqa: UP045


class UnknownError(Exception):
    """An artifact has no digest; the message says why."""


def digest(path: str) -> str:
    """Read what is at a path.

    Raises:
        UnknownError: it holds what has no content, such as a pipe.
        OSError: it cannot be read.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise UnknownError(f"{path} is a link to nothing") from None
        return NOTHING
    if stat.S_ISDIR(status.st_mode):
        return of_folder(_walk(path, "", ()))
    return of_file(_read(path, status))


def of_file(sha256: str) -> str:
    """Give the digest of an artifact that is a file with that SHA-256."""
    return f"sha256:{sha256}"


def of_folder(entries: Iterable[Entry]) -> str:
    """Give the digest of an artifact that is a folder.

    Args:
        entries: what is in it, each with its path and a file's SHA-256 (None for a folder), in
            the order of `in_order`.
    """
    tree = hashlib.sha256()
    for path, sha256 in entries:
        tree.update(os.fsencode(path) + b"\0" + (sha256 or "").encode() + b"\n")
    return f"tree-sha256:{tree.hexdigest()}"


def in_order(path: str) -> list[str]:
    """Give the key to sort paths by: a folder comes before what is in it."""
    return path.split("/")


def _walk(folder: str, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
    own = os.stat(folder)
    known = (own.st_dev, own.st_ino)
    if known in above:
        raise UnknownError(f"{folder} is a link to a folder that holds it")
    for name in sorted(os.listdir(folder)):
        path, inner = os.path.join(folder, name), f"{below}{name}"
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            yield inner, None
            yield from _walk(path, f"{inner}/", (*above, known))
        else:
            yield inner, _read(path, status)


def _read(path: str, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        raise UnknownError(f"{path} is neither a file nor a folder")
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                return found.hexdigest()
            found.update(chunk)
