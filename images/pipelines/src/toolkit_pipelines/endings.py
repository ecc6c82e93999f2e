"""Hear at once of steps that have recorded how they ended, before their pods are seen to end.

The launcher writes its record last, brings it to the disk and closes it. The kernel tells of that
(inotify(7)) where the volume is a file system of this machine; so the next step may begin while
the pod of the last one still ends. Elsewhere, and where the kernel has no room for watches,
nothing is told here, and the end of the pod is what counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inotify_simple import INotify, flags

from .documents import Documents, Kind

log = logging.getLogger(__name__)

_MASK: Final = flags.CLOSE_WRITE | flags.ONLYDIR | flags.DONT_FOLLOW
_PATIENCE: Final = 1000
"""How many other files a step may close in its folder before it is listened to no more."""


@dataclass(slots=True)
class _Watch:
    home: str
    name: str
    others: int = 0


class Endings:
    """The attempts that are listened to.

    Args:
        documents: where records are.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._notify: INotify | None = None
        self._told: dict[str, Callable[[], None]] = {}
        self._watches: dict[int, _Watch] = {}
        self._numbers: dict[str, int] = {}

    def open(self) -> None:
        """Begin to listen, on the loop that runs; until then, and if it fails, nothing is told."""
        try:
            self._notify = INotify(nonblocking=True)
        except OSError as error:
            log.warning("steps are seen to end by their pods alone: %s", error)
            return
        asyncio.get_running_loop().add_reader(self._notify, self._read)

    def close(self) -> None:
        """Listen no more."""
        if self._notify is not None:
            asyncio.get_running_loop().remove_reader(self._notify)
            self._notify.close()
            self._notify = None
        self._told.clear()
        self._watches.clear()
        self._numbers.clear()

    def hear(self, home: str, told: Callable[[], None]) -> None:
        """Have `told` called when the attempt of that folder records its end."""
        if self._notify is not None:
            self._told[home] = told

    def watch(self, home: str) -> None:
        """Look at an attempt's folder, which is there, before its step begins; blocking."""
        path = self._documents.path(home, Kind.RESULT)
        notify = self._notify
        if path is None or notify is None or home not in self._told:
            return
        try:
            number = notify.add_watch(path.parent, _MASK)
        except (OSError, ValueError) as error:
            # The kernel has no room, or this has just been closed.
            log.debug("%s is not watched: %s", path.parent, error)
            return
        self._watches[number], self._numbers[home] = _Watch(home, path.name), number
        if home not in self._told:
            # It was left in this very moment.
            self.leave(home)

    def leave(self, home: str) -> None:
        """Listen to an attempt no more; it may not be listened to."""
        self._told.pop(home, None)
        number = self._numbers.pop(home, None)
        if number is not None and self._watches.pop(number, None) is not None:
            self._remove(number)

    def _remove(self, number: int) -> None:
        if self._notify is not None:
            try:
                self._notify.rm_watch(number)
            except OSError as error:
                # Its folder has been deleted, and the watch with it.
                log.debug("watch %d is gone: %s", number, error)

    def _read(self) -> None:
        assert self._notify is not None  # noqa: S101 - close() takes the reader away
        for event in self._notify.read(timeout=0):
            watch = self._watches.get(event.wd)
            if watch is None:
                continue
            if event.name == watch.name:
                told = self._told.get(watch.home)
                if told is not None:
                    told()
                continue
            watch.others += 1
            if watch.others > _PATIENCE:
                # What it tells of all its files costs more than it gains.
                del self._watches[event.wd]
                self._remove(event.wd)
