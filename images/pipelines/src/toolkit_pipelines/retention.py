"""Removes runs by age and by number: their records, their logs and their artifacts."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from toolkit_objects import ObjectStoreError

from .store import Runs
from .store.interface import ConflictError, InUseError, NotFoundError, StoreError

log = logging.getLogger(__name__)

_PAUSE: Final = 3600.0
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """Which runs are kept.

    Attributes:
        seconds: how long after its end; 0 for ever.
        count: how many of those that have ended, the newest; 0 for all.
        recorded: whether a run is kept in any case while something of it waits to be recorded
            elsewhere.
    """

    seconds: int = 0
    count: int = 0
    recorded: bool = False


def remove(
    runs: Runs, forget: Callable[[str], None], run_id: str, sequence: int | None = None
) -> None:
    """Remove a run that has ended, with all that is kept of it; blocking.

    Args:
        runs: where its records are.
        forget: drops its files; see `Workloads.forget`.
        run_id: the run.
        sequence: how many events it had when this was decided; None if that does not matter.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has had more since: it was retried.
        InUseError: it has not ended, or other runs use its artifacts.
        ObjectStoreError: not all of its files could be dropped; it may be tried again.
    """
    # The record goes last: while there is one, what is left of the rest can be deleted again.
    runs.retire(run_id, sequence)
    forget(run_id)
    runs.delete(run_id)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of a request to remove runs.

    Attributes:
        removed: the ids of the runs that were removed, or would be.
        kept: how many stay, since others use their artifacts or they were retried meanwhile.
        failed: why runs whose files could not be dropped stay, by id.
        more: whether there was no time for all.
    """

    removed: tuple[str, ...] = ()
    kept: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    more: bool = False


def prune(
    runs: Runs,
    forgetter: Callable[[], Callable[[str], None]],
    options: RetentionOptions,
    *,
    now: float,
    until: Callable[[], bool] = lambda: False,
    dry: bool = False,
) -> Pruned:
    """Remove the runs that have expired; blocking.

    A run whose artifacts others use stays until they are gone. Those are newer, so they are
    removed before it.

    Args:
        runs: the runs.
        forgetter: gives what drops the files of runs; see `Workloads.forgetter`.
        options: what is kept.
        now: seconds since the epoch.
        until: tells, after each run, whether to leave the rest.
        dry: whether to remove none, and tell which have expired.

    Raises:
        StoreError: the store cannot be read or written.
    """
    before = now - options.seconds if options.seconds else 0.0
    expired = runs.expired(before, options.count or None, recorded=options.recorded)
    if dry or not expired:
        return Pruned(tuple(run_id for run_id, _ in expired))
    forget = forgetter()
    removed: list[str] = []
    failed: dict[str, str] = {}
    kept = 0
    for number, (run_id, sequence) in enumerate(expired, 1):
        try:
            remove(runs, forget, run_id, sequence)
        except (InUseError, NotFoundError, ConflictError) as error:
            log.debug("run %s is not removed: %s", run_id, error)
            kept += 1
        except (ObjectStoreError, OSError) as error:
            log.warning("run %s is not removed yet: %s", run_id, error)
            failed[run_id] = str(error)
        else:
            removed.append(run_id)
        if number < len(expired) and until():
            return Pruned(tuple(removed), kept, failed, more=True)
    return Pruned(tuple(removed), kept, failed)


class Retention:
    """Removes what is not to be kept. `run` works until it is cancelled.

    Args:
        runs: the runs.
        forgetter: gives what drops the files of runs; see `Workloads.forgetter`.
        options: what is kept.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        runs: Runs,
        forgetter: Callable[[], Callable[[str], None]],
        options: RetentionOptions,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._runs = runs
        self._forgetter = forgetter
        self._options = options
        self._clock = clock

    async def run(self) -> None:
        """Look at once and every hour, until cancelled."""
        while True:
            try:
                await self.round()
            except StoreError as error:
                log.warning("retention: %s; trying again later", error)
            await asyncio.sleep(_PAUSE)

    async def round(self) -> int:
        """Remove what has expired; give how many runs that were. Cancelled, it ends soon."""
        stopping = threading.Event()
        try:
            done = await asyncio.to_thread(
                lambda: prune(
                    self._runs,
                    self._forgetter,
                    self._options,
                    now=self._clock(),
                    until=stopping.is_set,
                )
            )
        finally:
            stopping.set()
        removed = len(done.removed)
        if removed:
            log.info("%d runs were removed, as they had expired", removed)
        return removed
