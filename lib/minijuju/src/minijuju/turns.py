"""Who may begin: charm code starts on as many units at once as the machine has cores.

A hook computes when it starts (an interpreter and its imports) and mostly waits afterwards. So a
turn is for the beginning alone: it ends with the code, or after a moment. Code that waits for
other units' code, or hangs, holds up nobody.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MOMENT = 0.5
"""Seconds that a turn lasts at most."""


class Turns:
    """Turns of those who share a machine, in the order in which they ask."""

    def __init__(self, count: int | None = None) -> None:
        self._free = asyncio.Semaphore(count or len(os.sched_getaffinity(0)))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block or a moment is over."""
        await self._free.acquire()
        held = True

        def end() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(MOMENT, end)
        try:
            yield
        finally:
            timer.cancel()
            end()
