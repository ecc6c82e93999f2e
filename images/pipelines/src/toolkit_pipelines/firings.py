"""Fires schedules: makes the run of each instant that has come.

What has fired and what comes next stands in the store, so nothing has to be remembered. Between
two instants nothing is looked at, except for the clock now and then, since it may be set.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from . import spec, timestamps
from .macros import Occasion
from .spec import SpecError
from .store import Store
from .store.interface import InUseError, NotFoundError, RecurringRun, StoreError
from .store.recurring import schedule_of
from .submissions import arguments, new_run

log = logging.getLogger(__name__)

_LONGEST_REST: Final = 30.0
"""Seconds until the clock is looked at again: one that was set ahead is noticed so soon."""
_STORE_PAUSE: Final = 1.0
"""Seconds until the store is tried again after it failed (a full disk, say)."""
_MAX_NAME: Final = 255


class Firings:
    """Makes the runs of recurring runs. `run` works until it is cancelled."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._wake = asyncio.Event()
        self._holding: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Fire what is due, now and to come, until cancelled."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            # In the thread of whoever wrote.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._wake.set)

        def changed(run_id: str) -> None:
            if run_id in self._holding:
                wake()

        stops = (
            self._store.recurring.subscribe(lambda recurring_run_id: wake()),
            self._store.runs.subscribe(changed),
        )
        try:
            while True:
                self._wake.clear()
                # One moment for both looks: an instant between two would be in neither.
                now = self._clock()
                try:
                    if not await self.round(now):
                        await self._rest(
                            await asyncio.to_thread(self._store.recurring.coming, now)
                        )
                except StoreError as error:
                    log.warning("schedules: %s; trying again", error)
                    await asyncio.sleep(_STORE_PAUSE)
        finally:
            for stop in stops:
                stop()

    async def round(self, now: float) -> bool:
        """Fire every schedule that is due, once each; give whether there was any."""
        # Before the look at what is due: the end of a run that comes after it wakes.
        self._holding = await asyncio.to_thread(self._store.recurring.holding, now)
        due = await asyncio.to_thread(self._store.recurring.due, now)
        for record in due:
            await asyncio.to_thread(self._fire, record, now)
        return bool(due)

    async def _rest(self, coming: int | None) -> None:
        """Wait until the clock says `coming` (None for never), or a schedule changes."""
        while not self._wake.is_set():
            left = None if coming is None else coming - self._clock()
            if left is not None and left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left is None else min(left, _LONGEST_REST)):
                    await self._wake.wait()

    def _fire(self, record: RecurringRun, now: float) -> None:
        """Make the run of an instant of a schedule; blocking."""
        try:
            schedule = schedule_of(record)
        except ValueError as error:
            # It was taken by another version of this service, or has been damaged since.
            log.error("recurring run %s is disabled: %s", record.recurring_run_id, error)
            problem = f"it was disabled, since its trigger cannot be read: {error}"
            self._store.recurring.stop(record, now, problem)
            return
        instant = schedule.due(record.last, int(now))
        if instant is None:
            return
        name, when = record.recurring_run_id, timestamps.format(instant)
        try:
            made = self._make(record, instant, now)
        except (NotFoundError, InUseError, SpecError) as error:
            log.warning("recurring run %s: no run: %s", name, error)
            problem = str(error)
        except StoreError:
            raise
        except Exception as error:  # the others go on; this one says what happened
            log.exception("recurring run %s", name)
            problem = f"InternalError: {error!r}"
        else:
            if made:
                log.info("recurring run %s: %s fires", name, when)
            return
        # What else was missed would fare alike, and there may be years of it.
        until = schedule.latest(record.last, int(now)) or instant
        self._store.recurring.miss(record, until, f"{when} made no run: {problem}")

    def _make(self, record: RecurringRun, instant: int, now: float) -> bool:
        """Add the run of an instant; False if the schedule has changed meanwhile.

        Raises:
            NotFoundError: the experiment, the pipeline or its version is gone.
            InUseError: the experiment is archived.
            SpecError: the pipeline cannot run, or not with these parameters.
        """
        catalog = self._store.catalog
        digest, version_id = record.spec, record.pipeline_version_id
        if not digest:
            version = catalog.latest_version(record.pipeline_id)
            digest, version_id = version.spec, version.pipeline_version_id
        body = self._store.runs.spec(digest)
        pipeline = spec.load(body)
        index = record.made + 1
        occasion = Occasion(
            # A second run of the same instant could not be added.
            run_id=str(uuid.uuid5(uuid.UUID(record.recurring_run_id), str(instant))),
            # Not the moment of the look at what is due: the run before it may have ended since.
            now=max(now, self._clock()),
            scheduled=float(instant),
            index=index,
        )
        parameters = arguments(pipeline, record.parameters, occasion)
        ending = f"-{index}"
        run, created = new_run(
            occasion,
            catalog.experiment(record.experiment_id),
            pipeline,
            display_name=f"{record.display_name[: _MAX_NAME - len(ending)]}{ending}",
            parameters=parameters,
            pipeline_id=record.pipeline_id,
            pipeline_version_id=version_id,
            pipeline_root=record.pipeline_root,
            recurring_run_id=record.recurring_run_id,
        )
        return self._store.recurring.fire(record, instant, run, created, body) is not None
