"""Environments within a bound: which are in use, and which of the others go.

Those that were used longest ago go first. One is chosen and renamed on the event loop, in one go,
so that no step begins to use it in between; its files are deleted in a thread, and with the next
start if the service is killed meanwhile.

What a build has left that was cut goes as well, bound or none, if nobody has asked for it since.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

CACHE: Final = ".cache"
"""What builds have downloaded, beside the environments."""
BUILD: Final = ".build-"
"""What begins the name of a folder that is being built, before the key of its environment."""
_ABANDONED: Final = 2 * 3600.0
"""Seconds after which nothing can be at work in such a folder: twice what a build may take."""
_GONE: Final = ".gone-"
_BLOCK: Final = 4096
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    """What lies in an owner's folder: its name, what it takes in bytes, when it was last used."""

    name: str
    size: int
    used: float

    @property
    def environment(self) -> bool:
        return not self.name.startswith(".")


class Trimming:
    """Keeps the folder of one owner's environments within a bound.

    Args:
        folder: that folder.
        limit: the bound in bytes; 0 for none.
        keep_cache: whether the cache of downloads stays in any case.
        building: gives the keys of what is being built.
        clock: seconds since the epoch, as files have their times.
    """

    def __init__(
        self,
        folder: Path,
        limit: int,
        *,
        keep_cache: bool,
        building: Callable[[], Collection[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._keep_cache = keep_cache
        self._building = building
        self._clock = clock
        self._users: dict[str, str] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._lock = asyncio.Lock()

    def use(self, user: str, key: str) -> None:
        """Keep an environment, there or to be, until its user leaves; on the event loop."""
        self._users[user] = key

    def leave(self, user: str) -> None:
        """Let go of what was kept for a user, if there was anything."""
        self._users.pop(user, None)

    async def clear(self) -> None:
        """Delete what was chosen before, and is there still since the service was killed."""
        async with self._lock:
            await asyncio.to_thread(self._clear)

    async def trim(self) -> None:
        """Remove environments until the rest is within the bound, or in use.

        Before that, what builds have left that were cut.
        """
        async with self._lock:
            if self._abandon(await asyncio.to_thread(self._cut)):
                await asyncio.to_thread(self._clear)
            if not self._limit:
                return
            try:
                found = await asyncio.to_thread(self._measure)
            except OSError as error:
                log.warning("what environments take is not known, so none is removed: %s", error)
                return
            chosen = self._choose(found)
            if chosen:
                await asyncio.to_thread(self._clear)

    def _cut(self) -> list[str]:
        """Give the keys of builds in whose folders nothing can be at work; blocking."""
        found = []
        for each in _listed(self._folder):
            # One that ends just now gets another name.
            with contextlib.suppress(FileNotFoundError):
                changed = each.stat(follow_symlinks=False).st_mtime
                if each.name.startswith(BUILD) and changed < self._clock() - _ABANDONED:
                    found.append(each.name.removeprefix(BUILD))
        return found

    def _abandon(self, keys: Sequence[str]) -> bool:
        """Put builds aside that nobody waits for; give whether there was any."""
        kept = {*self._users.values(), *self._building()}
        gone = [key for key in keys if key not in kept and self._put_aside(f"{BUILD}{key}")]
        for key in gone:
            log.info("removed what is left of a build of environment %s that was cut", key)
        return bool(gone)

    def _put_aside(self, name: str) -> bool:
        try:
            self._path(name).rename(self._path(f"{_GONE}{name.lstrip('.')}"))
        except OSError as error:
            log.warning("%s cannot be removed: %s", self._path(name), error)
            return False
        return True

    def _choose(self, found: Sequence[_Entry]) -> list[_Entry]:
        """Put aside what is to go; give it."""
        building = self._building()
        kept = {*self._users.values(), *building}
        left = sum(each.size for each in found)
        environments = sorted((e for e in found if e.environment), key=lambda e: e.used)
        going = [each for each in environments if each.name not in kept]
        if not self._keep_cache and not building:
            # What is installed is worth more than what can be downloaded again without a loss:
            # a package that is installed again may come in a later version.
            going += [each for each in found if each.name == CACHE and each.size]
        chosen = []
        for each in going:
            if left <= self._limit:
                break
            if not self._put_aside(each.name):
                continue
            chosen.append(each)
            left -= each.size
            what = f"environment {each.name}" if each.environment else "the cache of downloads"
            log.info("removed %s: %s", what, _shown(each.size))
        if left > self._limit:
            log.warning(
                "environments take %s, more than the bound of %s: what is left is in use, or kept "
                "for builds",
                _shown(left),
                _shown(self._limit),
            )
        return chosen

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _measure(self) -> list[_Entry]:
        """Give what is there, without what is to be deleted; blocking."""
        self._clear()
        found = []
        sizes = {}
        for each in _listed(self._folder):
            if each.name.startswith(_GONE):
                continue
            known = (each.name, each.inode())
            size = self._sizes.get(known)
            if size is None:
                size = _size(each)
            if not each.name.startswith("."):
                # It never changes again.
                sizes[known] = size
            with contextlib.suppress(FileNotFoundError):
                # A build's folder gets its name just now: it is in use.
                used = each.stat(follow_symlinks=False).st_mtime
                found.append(_Entry(each.name, size, used))
        self._sizes = sizes
        return found

    def _clear(self) -> None:
        """Delete what was put aside; blocking."""
        for each in _listed(self._folder):
            if each.name.startswith(_GONE):
                try:
                    shutil.rmtree(each.path)
                except OSError as error:
                    log.warning("%s cannot be deleted: %s", each.path, error)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        # Nothing has been built for this owner, or it has just been removed.
        return []


def _size(entry: os.DirEntry[str]) -> int:
    """Give what a file, or all below a folder, takes in bytes, in whole blocks of 4 KiB.

    By length, and not by the blocks in use, which some file systems tell a while later.
    """
    total = 0
    left = [entry]
    while left:
        each = left.pop()
        # What a build replaces meanwhile is not counted.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if each.is_dir(follow_symlinks=False):
                with os.scandir(each.path) as entries:
                    left += entries
            else:
                length = each.stat(follow_symlinks=False).st_size
                total += -(-length // _BLOCK) * _BLOCK
    return total


def _shown(size: int) -> str:
    return f"{size / _MEBIBYTE:.1f} MiB"
