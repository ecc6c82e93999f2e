"""Files that steps wrote, opened so that no link in their path leads elsewhere.

A step owns its run's folder and may put a symbolic link anywhere in it, at any moment. So a path
is walked part by part, each opened relative to the one before and never through a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK the open of a pipe would wait for its other end.
_ANY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class ConfinedError(OSError):
    """The path cannot be read: it is not there, leaves the root, or goes through a link."""


@contextmanager
def opened(root: Path, path: Path) -> Iterator[int]:
    """Open a file or folder below `root` for reading and give its descriptor.

    Raises:
        ConfinedError: it is not below the root, a part of it is a link, or it is neither a file
            nor a folder.
    """
    try:
        parts = path.relative_to(root).parts
    except ValueError as error:
        raise ConfinedError(f"{path} is not below {root}") from error
    if ".." in parts or not parts:
        raise ConfinedError(f"{path} is not below {root}")
    try:
        current = os.open(root, _FOLDER)
        try:
            for part in parts[:-1]:
                following = os.open(part, _FOLDER, dir_fd=current)
                os.close(current)
                current = following
            found = os.open(parts[-1], _ANY, dir_fd=current)
        finally:
            os.close(current)
    except OSError as error:
        raise ConfinedError(f"{path} cannot be read: {error.strerror}") from error
    try:
        mode = os.fstat(found).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ConfinedError(f"{path} is neither a file nor a folder")
        yield found
    finally:
        os.close(found)


def is_folder(descriptor: int) -> bool:
    """Tell whether an open descriptor is a folder."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def stream(descriptor: int) -> BinaryIO:
    """Give a file object over a descriptor that stays open when the object is closed."""
    return os.fdopen(os.dup(descriptor), "rb")


def walk(descriptor: int, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Give the regular files below an open folder: their path and a descriptor for each.

    A descriptor is closed when the next one is asked for. Links, pipes and devices are passed
    over.
    """
    for name in sorted(os.listdir(descriptor)):
        try:
            found = os.open(name, _ANY, dir_fd=descriptor)
        except OSError:
            # A link, or gone meanwhile: not part of the artifact.
            continue
        try:
            mode = os.fstat(found).st_mode
            if stat.S_ISDIR(mode):
                yield from walk(found, f"{prefix}{name}/")
            elif stat.S_ISREG(mode):
                yield f"{prefix}{name}", found
        finally:
            os.close(found)


def folders(descriptor: int, prefix: str = "") -> Iterator[str]:
    """Give the paths of the folders below an open folder, outer ones first."""
    for name in sorted(os.listdir(descriptor)):
        try:
            found = os.open(name, _FOLDER, dir_fd=descriptor)
        except OSError:
            # A file, a link, or gone meanwhile.
            continue
        try:
            yield f"{prefix}{name}"
            yield from folders(found, f"{prefix}{name}/")
        finally:
            os.close(found)
