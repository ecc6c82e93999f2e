"""Files of a volume that change while containers read them.

As a kubelet lays them out: the files lie in a folder of their own, `..data` links to it, and each
name in the volume links into `..data`. A change is one rename, so that a reader sees all of the
old files or all of the new ones.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import tree
from sandbox.errors import SandboxError
from sandbox.tree import Tree

_DATA, _DRAFT = "..data", "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    """A file's content and its permissions."""

    data: bytes
    mode: int = 0o644


def write(place: Path, files: Mapping[str, File]) -> bool:
    """Have the folder `place` hold `files` (by their paths in it) and nothing else.

    False if it does already. May be cut off at any moment and called again. Raises SandboxError
    for a path that is none in the folder.
    """
    for path in files:
        if path.startswith(".."):
            raise SandboxError(f"{path!r} is not a path below {place}: names do not begin so")
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    if (place / _DATA).is_dir() and dict(_read(place / _DATA)) == dict(files):
        _link(place, files)
        return False
    fresh = _fresh(place)
    inner = Tree(fresh)
    for path, content in files.items():
        inner.file(path, content.data, content.mode)
        (fresh / path).chmod(content.mode)
    (place / _DRAFT).unlink(missing_ok=True)
    (place / _DRAFT).symlink_to(fresh.name)
    (place / _DRAFT).replace(place / _DATA)
    _link(place, files)
    for entry in place.iterdir():
        if entry.name.startswith("..") and entry.name not in (_DATA, fresh.name):
            tree.remove(entry)
    return True


def _read(top: Path) -> Iterator[tuple[str, File]]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            # The container's user may have made it unreadable for itself.
            with contextlib.suppress(PermissionError):
                mode = path.stat().st_mode & 0o777
                yield str(path.relative_to(top)), File(path.read_bytes(), mode)


def _fresh(place: Path) -> Path:
    """A new folder, named by the time."""
    moment = time.time_ns()
    while True:
        stamp = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(moment // 10**9))
        folder = place / f"{stamp}.{moment % 10**9:09d}"
        try:
            folder.mkdir(mode=0o755)
        except FileExistsError:
            moment += 1
        else:
            folder.chmod(0o755)
            return folder


def _link(place: Path, files: Mapping[str, File]) -> None:
    """Link the names at the top of the volume into the data."""
    tops = {posixpath.normpath(path).partition("/")[0] for path in files}
    for top in tops:
        target = posixpath.join(_DATA, top)
        link = place / top
        if link.is_symlink() and os.readlink(link) == target:
            continue
        draft = place / f"..link_{top}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        draft.replace(link)
    for entry in place.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            tree.remove(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
