"""The node's clock: tests give it another one."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The machine's clock."""

    def time(self) -> float:
        """Seconds since the epoch; may jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
