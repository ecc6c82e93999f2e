"""The room on the node's disk: when it is short, and whose logs a full one may have cut."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol

from tinykube.node.clock import Clock
from tinykube.node.status import stamp

logger = logging.getLogger(__name__)

# With less the node is under pressure: nothing new is placed on it, so that what runs can end and
# be reported. Little, since a desktop's disk is often nearly full.
LEAST = 16 << 20
# With less it counts as full: a write may have been cut. With `ROOM` it is so no longer.
FULL, ROOM = 64 << 10, 1 << 20
# Seconds between two looks; under pressure the disk may be full and have room again in a moment.
PAUSE, PRESSED_PAUSE = 10.0, 0.1


class Tell(Protocol):
    """Records an Event about a pod, by its uid, or about the node."""

    def __call__(
        self, uid: str | None, type_: Literal["Normal", "Warning"], reason: str, message: str, /
    ) -> None:
        """See the class."""


class Disk:
    """The disk of a node's folder: `run` is a task of the node's; `look` is called as logs grow.

    Containers write their logs themselves, so that nobody but they themselves hears of a write
    that failed. What is known is when there was no room, and who ran then.

    Args:
        folder: the node's.
        name: the node's.
        running: gives the uids of the pods that run.
        tell: records an Event.
        changed: called when `pressed` changes.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        running: Callable[[], Iterable[str]],
        tell: Tell,
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._name = name
        self._running = running
        self._tell = tell
        self._changed = changed
        self._clock = clock
        self._full_since: float | None = None
        self._cut: set[str] = set()
        self.pressed = False

    async def run(self) -> None:
        """Look now and then until cancelled: a log on a full disk does not grow."""
        while True:
            try:
                self.look()
            except OSError as error:
                logger.warning("cannot see how much room there is: %s", error)
            await self._clock.sleep(PRESSED_PAUSE if self.pressed else PAUSE)

    def look(self) -> None:
        """Take note of how much room there is now."""
        found = os.statvfs(self._folder)
        # An administrator may use what is kept back from others.
        free = found.f_frsize * (found.f_bavail if os.geteuid() else found.f_bfree)
        if free < FULL:
            if self._full_since is None:
                self._full_since = self._clock.time()
            self._cut.update(self._running())
        elif free >= ROOM and self._full_since is not None:
            self._report(self._full_since)
            self._full_since = None
            self._cut.clear()
        if (free < LEAST) != self.pressed:
            self.pressed = free < LEAST
            reason = "NodeHasDiskPressure" if self.pressed else "NodeHasNoDiskPressure"
            self._tell(None, "Normal", reason, f"Node {self._name} status is now: {reason}")
            self._changed()

    def _report(self, since: float) -> None:
        begin, end = stamp(since), stamp(self._clock.time())
        for uid in sorted(self._cut):
            self._tell(
                uid,
                "Warning",
                "DiskFull",
                f"The disk of node {self._name} was full from {begin} to {end}: what the pod's "
                "containers wrote meanwhile may be missing from their logs and files",
            )
