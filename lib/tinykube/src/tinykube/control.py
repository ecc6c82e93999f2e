"""Control loops: woken by changes, each brings one part of the world up to what is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import NoReturn

from tinykube.registry import Registry
from tinykube.store import Change, StorageError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0


class Loop:
    """A control loop: `changed` notes what concerns it and wakes it, `step` does the work.

    A loop keeps nothing that it could not read from the store again: `load` does so at the start,
    and again after a write failed.
    """

    name = "loop"
    # The resources whose changes it is told of; none: of all.
    concern: Sequence[str] = ()

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.store = registry.store
        self._wake = asyncio.Event()
        self.store.listen(self.changed, self.concern)

    def changed(self, changes: Sequence[Change]) -> None:
        """Note what concerns this loop; called after every commit of its `concern`."""

    def load(self) -> None:
        """Read the state of the world from the store."""

    def step(self) -> bool:
        """Do a bounded amount of work; True if some is left."""
        raise NotImplementedError

    def pause(self) -> float | None:
        """Seconds after which `step` is due though nothing has changed; None for never."""
        return None

    def wake(self) -> None:
        """Have `step` called soon."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                self.load()
                self.wake()
                await self._work()
            except StorageError as error:
                log.error("%s: %s; tried again in %s s", self.name, error, _RETRY_SECONDS)
            except Exception:
                # One odd object must not stop the loop for all the others for good.
                log.exception("%s: failed; tried again in %s s", self.name, _RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _work(self) -> NoReturn:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pause()):
                    await self._wake.wait()
            self._wake.clear()
            if self.step():
                self.wake()
                await asyncio.sleep(0)
