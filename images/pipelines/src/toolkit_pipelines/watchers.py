"""Who follows runs: woken on the event loop when a thread has recorded something."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

MOST: Final = 256
"""How many may follow at a time, over all runs."""


class TooManyError(Exception):
    """As many follow runs as may, or none may any more since the service ends."""


class Watch:
    """One that follows one run. It keeps no list of what happened, only that something did."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # What was recorded before the watch began has to be looked for, too.
        self._changed = asyncio.Event()
        self._changed.set()

    async def changed(self, seconds: float) -> bool:
        """Wait for a change since the last call, but not longer than some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def wake(self) -> None:
        """Say that there is a change; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)


class Watchers:
    """All that follow runs.

    Args:
        subscribe: the store's way to be told of changes (see `EventStore.subscribe`).
        most: how many may follow at a time.
    """

    def __init__(
        self, subscribe: Callable[[Callable[[str], None]], object], most: int = MOST
    ) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._watches: dict[str, set[Watch]] = {}
        self._closed = False
        subscribe(self._tell)

    @property
    def closed(self) -> bool:
        """True once nobody may follow any more."""
        return self._closed

    def check(self) -> None:
        """Raise TooManyError if one more may not follow now."""
        with self._lock:
            self._check()

    def _check(self) -> None:
        if self._closed:
            raise TooManyError("the service is ending; follow the run again in a moment")
        if sum(map(len, self._watches.values())) >= self._most:
            raise TooManyError(
                f"{self._most} clients follow runs already, which is all that may; try again later"
            )

    @contextlib.contextmanager
    def watch(self, run_id: str) -> Iterator[Watch]:
        """Follow a run; what was recorded before counts as its first change.

        Raises:
            TooManyError: no more may.
        """
        made = Watch()
        with self._lock:
            self._check()
            self._watches.setdefault(run_id, set()).add(made)
        try:
            yield made
        finally:
            with self._lock:
                others = self._watches[run_id]
                others.discard(made)
                if not others:
                    del self._watches[run_id]

    def close(self) -> None:
        """Wake all for the last time: the service ends."""
        with self._lock:
            self._closed = True
            watches = [watch for each in self._watches.values() for watch in each]
        for watch in watches:
            watch.wake()

    def _tell(self, run_id: str) -> None:
        with self._lock:
            watches = list(self._watches.get(run_id, ()))
        for watch in watches:
            watch.wake()
