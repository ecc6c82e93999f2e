"""The file systems of containers that have ended for good: deleted a little later.

A pod that did its work is often deleted at once, and then all of its folder goes together. What of
a pod stays for people to look at keeps its records and logs alone.
"""

from __future__ import annotations

import asyncio
import logging

from sandbox.container import Container
from sandbox.errors import SandboxError
from tinykube.node.clock import Clock

logger = logging.getLogger(__name__)

# How long a pod may take to be deleted after its end, in seconds.
_LINGER = 1.0


class Leavings:
    """What is to be trimmed; `run` is a task of the node's.

    One that is left when the node ends is found again by who adopts it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[str, list[tuple[float, Container]]] = {}
        self._more = asyncio.Event()
        self._trimming = asyncio.Lock()

    def add(self, uid: str, container: Container) -> None:
        """Trim a container of a pod soon; it has ended for good."""
        self._left.setdefault(uid, []).append((self._clock.monotonic() + _LINGER, container))
        self._more.set()

    async def forget(self, uid: str) -> None:
        """The pod's whole folder is about to go: leave it alone from now on."""
        self._left.pop(uid, None)
        # A file that is written into a folder while it is deleted would keep it.
        async with self._trimming:
            return

    async def run(self) -> None:
        """Trim until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            await self._clock.sleep(_LINGER)
            async with self._trimming:
                if due := self._due():
                    await asyncio.to_thread(_trim, due)
            if self._left:
                self._more.set()

    def _due(self) -> list[Container]:
        """Take out what has lain here for long enough."""
        now, due = self._clock.monotonic(), []
        for uid, found in list(self._left.items()):
            due += [container for moment, container in found if moment <= now]
            later = [each for each in found if each[0] > now]
            if later:
                self._left[uid] = later
            else:
                del self._left[uid]
        return due


def _trim(due: list[Container]) -> None:
    for container in due:
        try:
            container.trim()
        except (OSError, SandboxError) as error:
            # It takes room until its pod is deleted, and does no other harm.
            logger.warning("the files of %r stay for now: %s", container, error)
