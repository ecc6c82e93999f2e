"""Notice that logs grow, by the kernel's notifications (inotify): nothing is polled.

Where the kernel gives none, times are noted at each run's end, and whoever follows a log looks now
and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from tinykube.node.timeline import Recorder

logger = logging.getLogger(__name__)

_MODIFY, _OVERFLOW = 0x2, 0x4000
_EVENT = struct.Struct("iIII")
# Seconds between two looks at logs that are written to all the time.
_PAUSE = 0.02
_TRIM_EVERY = 256

_libc = ctypes.CDLL(None, use_errno=True)


class Growth:
    """The logs that are written to; `run` is a task of the node's.

    Args:
        noticed: called when one is added and when some have grown.
    """

    def __init__(self, noticed: Callable[[], None] = lambda: None) -> None:
        self._noticed = noticed
        self._descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            logger.warning(
                "no inotify (%s): log times are coarse", os.strerror(ctypes.get_errno())
            )
        self._recorders: dict[Path, Recorder] = {}
        self._watches: dict[int, Path] = {}
        self._numbers: dict[Path, int] = {}
        self._waiting: dict[Path, set[asyncio.Event]] = {}
        self._noted = 0

    @property
    def active(self) -> bool:
        """True if growth is noticed at once."""
        return self._descriptor >= 0

    def add(self, log: Path) -> None:
        """Begin to watch a log, which exists; its growth so far is noted."""
        recorder = self._recorders[log] = Recorder(log)
        if self.active:
            number = _libc.inotify_add_watch(self._descriptor, os.fsencode(log), _MODIFY)
            if number < 0:
                reason = os.strerror(ctypes.get_errno())
                logger.warning("%s cannot be watched (%s): its times are coarse", log, reason)
            else:
                self._watches[number], self._numbers[log] = log, number
        recorder.note()
        self._noticed()

    def finish(self, log: Path) -> None:
        """Its container has ended: note the rest, and wake who follows it."""
        recorder = self._recorders.pop(log, None)
        if recorder is not None:
            recorder.note()
        number = self._numbers.pop(log, None)
        if number is not None:
            self._watches.pop(number, None)
            _libc.inotify_rm_watch(self._descriptor, number)
        self._wake(log)

    @contextlib.contextmanager
    def following(self, log: Path) -> Iterator[asyncio.Event]:
        """An event that is set when the log grows or ends."""
        event = asyncio.Event()
        self._waiting.setdefault(log, set()).add(event)
        try:
            yield event
        finally:
            found = self._waiting[log]
            found.discard(event)
            if not found:
                del self._waiting[log]

    async def run(self) -> None:
        """Watch until cancelled."""
        if not self.active:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        try:
            while True:
                loop.add_reader(self._descriptor, woken.set)
                await woken.wait()
                loop.remove_reader(self._descriptor)
                woken.clear()
                for log in self._grown():
                    self._note(log)
                self._noticed()
                # Meanwhile the kernel makes one of the same notifications.
                await asyncio.sleep(_PAUSE)
        finally:
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _grown(self) -> set[Path]:
        found: set[Path] = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, 65536):
                at = 0
                while at < len(data):
                    number, mask, _, length = _EVENT.unpack_from(data, at)
                    at += _EVENT.size + length
                    if mask & _OVERFLOW:
                        found |= set(self._recorders)
                    elif number in self._watches:
                        found.add(self._watches[number])
        return found

    def _note(self, log: Path) -> None:
        recorder = self._recorders.get(log)
        if recorder is None or not recorder.note():
            return
        self._noted += 1
        if self._noted % _TRIM_EVERY == 0:
            for other in self._recorders.values():
                other.trim()
        self._wake(log)

    def _wake(self, log: Path) -> None:
        for event in self._waiting.get(log, ()):
            event.set()
