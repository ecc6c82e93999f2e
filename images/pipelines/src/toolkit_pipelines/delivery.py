"""Records that wait in the outbox, delivered in order until they are taken, run by run."""

from __future__ import annotations

import abc
import asyncio
import logging
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from .store.interface import EventStore, OutboxEntry, Recipient, StoreError

log = logging.getLogger(__name__)

_IDLE: Final = 30.0


class UnreachableError(Exception):
    """Who is to be told does not answer, or not now: trying again later may help."""


async def pause(seconds: float, wake: asyncio.Event) -> None:
    """Wait for an event, but not longer than some seconds."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return


@dataclass(frozen=True, slots=True)
class Delayed:
    """Runs whose records cannot be delivered just now: how many, and why for one of them."""

    runs: int = 0
    why: str = ""


@dataclass(slots=True)
class _Trouble:
    """A run whose records cannot be delivered just now."""

    until: float
    wait: float
    why: str


class Delivery(abc.ABC):
    """Delivers what waits for one recipient. `run` works until it is cancelled.

    A record is dropped once it is delivered, so that one may be delivered twice, if the service
    ends in between; one that is refused for good is kept aside, for the operator. Records of one
    run are delivered in order, and those of other runs go on while one's cannot be delivered.

    Args:
        store: where the records wait.
        recipient: whose they are.
        backoff: seconds until the first further try, and the most between two.
    """

    def __init__(
        self, store: EventStore, recipient: Recipient, backoff: tuple[float, float]
    ) -> None:
        self._store = store
        self._recipient = recipient
        self._backoff = backoff
        self._trouble: dict[str, _Trouble] = {}
        self._wake = asyncio.Event()

    def delayed(self) -> Delayed:
        """Give what cannot be delivered just now; on the event loop."""
        found = next(iter(self._trouble.values()), None)
        return Delayed(len(self._trouble), found.why) if found is not None else Delayed()

    @abc.abstractmethod
    async def deliver(self, entry: OutboxEntry) -> str:
        """Deliver one record, or give it up for good.

        Returns:
            "", or why it, or a part of it, will never be taken.

        Raises:
            UnreachableError: it is to be tried again.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    async def run(self) -> None:
        """Deliver records as they come, until cancelled."""
        loop = asyncio.get_running_loop()

        def appended(run_id: str) -> None:
            del run_id
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._wake.set)

        stop = self._store.subscribe(appended)
        try:
            while True:
                self._wake.clear()
                try:
                    more = await self._round()
                except StoreError as error:
                    log.warning("the outbox: %s", error)
                    more = False
                if not more:
                    await pause(self._sleep(), self._wake)
        finally:
            stop()
            await self.close()

    def _sleep(self) -> float:
        if not self._trouble:
            return _IDLE
        now = asyncio.get_running_loop().time()
        return max(min(each.until for each in self._trouble.values()) - now, 0.01)

    async def _round(self) -> bool:
        """Deliver what is due; give whether there was anything."""
        now = asyncio.get_running_loop().time()
        waiting = [run_id for run_id, each in self._trouble.items() if each.until > now]
        entries = await asyncio.to_thread(
            lambda: self._store.outbox(self._recipient, limit=100, excluding=waiting)
        )
        by_run: OrderedDict[str, list[OutboxEntry]] = OrderedDict()
        for entry in entries:
            by_run.setdefault(entry.record.run_id, []).append(entry)
        for run_id, listed in by_run.items():
            try:
                for entry in listed:
                    if why := await self.deliver(entry):
                        await asyncio.to_thread(
                            self._store.refused, entry.entry_id, why, time.time()
                        )
                    else:
                        await asyncio.to_thread(self._store.delivered, [entry.entry_id])
            except UnreachableError as error:
                self._later(run_id, error)
            else:
                self._trouble.pop(run_id, None)
        return bool(entries)

    def _later(self, run_id: str, error: UnreachableError) -> None:
        before = self._trouble.get(run_id)
        wait = min(before.wait * 2, self._backoff[1]) if before else self._backoff[0]
        if before is None:
            log.warning("telling %s of run %s: %s; trying again", self._recipient, run_id, error)
        now = asyncio.get_running_loop().time()
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._trouble[run_id] = _Trouble(now + wait * spread, wait, str(error))
