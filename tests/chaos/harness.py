"""Storms over one model, with rest and judgement after each."""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.chaos import verdict
from tests.chaos.faults import Faults
from tests.chaos.load import RELATIONS, SCALES, Load
from tests.chaos.site import MODEL, Site

from minijuju.errors import JujuError
from sandbox import tree

logger = logging.getLogger(__name__)

STORM = 40.0
REST = 240.0
"""Seconds until a model must have come to rest; machines are busy."""


class LossError(Exception):
    """Something was lost, or done twice; the message says what."""


def _units(pods: Iterable[str], applications: Counter[str]) -> list[str]:
    """The units of applications."""
    return [name for name in pods if applications[name.partition("/")[0]]]


class Harness:
    """A model of ten units, and all that is done to it.

    Args:
        data: the controller's data folder, to be made.
        seed: of everything that is drawn by lot.
        warm: whether hooks start warm; drawn by lot if not given.
    """

    def __init__(self, data: Path, seed: int, *, warm: bool | None = None) -> None:
        chance = random.Random(seed)
        self.site = Site(data, start=False)
        self.faults = Faults(self.site, random.Random(chance.random()))
        self._load = Load(self.site, random.Random(chance.random()))
        drawn = chance.random() < 0.5
        self._warm = drawn if warm is None else warm
        self.storms = 0
        self.asked = 0

    def run(self, seconds: float, storm: float = STORM) -> None:
        """Deploy, and storm until the time is over; at least once.

        Raises:
            LossError: something was lost.
        """
        end = time.monotonic() + seconds
        self.site.start()
        config = {
            "hook-retry-base": "200ms",
            "hook-retry-max": "1s",
            "hook-warm-start": str(self._warm).lower(),
        }
        self.site.call("add_model", name=MODEL, config=config)
        self._load.deploy()
        while not self.storms or time.monotonic() < end:
            self._storm(storm)

    def _storm(self, seconds: float) -> None:
        before = verdict.pods(self.site)
        begun = time.monotonic()
        pebbles, works = Counter(self.faults.pebbles), Counter(self.faults.works)
        refreshed = Counter(self._load.refreshed)
        self._update_status("10s")
        load = self._load.begin()
        try:
            self.faults.storm(seconds)
        finally:
            load.end()
        self._load = load
        self.asked += load.asked
        self._rest()
        found = verdict.faults(self.site, load, self.faults.pebbles)
        ended = self.faults.pebbles - pebbles
        ended.update(_units(before, load.refreshed - refreshed))
        found += self._adopted(before, ended, self.faults.works - works)
        self.storms += 1
        if found:
            raise LossError("\n".join(found))
        took = time.monotonic() - begun
        logger.info("storm %d, at rest after %.0f s: %s", self.storms, took, self.summary())

    def _rest(self) -> None:
        """Wait until nothing is to be done any more; each application tells a last round."""
        self._update_status("1h")
        deadline = time.monotonic() + REST
        missing = list(RELATIONS)
        while missing and time.monotonic() < deadline:
            missing = [ends for ends in missing if not self._load.restore(ends)]
            time.sleep(0.1)
        for name in SCALES:
            self._load.turn(name)
        while unrest := self._unrest():
            if time.monotonic() > deadline:
                raise LossError(f"no rest within {REST:.0f} s:\n" + "\n".join(unrest))
            logger.debug("%s", unrest)
            time.sleep(1)

    def _update_status(self, interval: str) -> None:
        """A busy machine would never come to rest of hooks that come by the clock."""
        config = {"update-status-hook-interval": interval}
        self.site.call("model_config", set=config, reset=[])

    def _unrest(self) -> list[str]:
        try:
            return verdict.unrest(self.site)
        except (JujuError, OSError, KeyError, sqlite3.Error) as error:
            # What was listed a moment ago is gone by now.
            return [repr(error)]

    def _adopted(
        self,
        before: dict[str, verdict.Pod],
        pebbles: Counter[str],
        works: Counter[str],
    ) -> list[str]:
        """Units whose Pebble or workload is another one, though nobody ended it."""
        found = []
        for name, after in verdict.pods(self.site).items():
            # What was taken away may have come back under the same name, as another unit.
            if name not in before or before[name].created != after.created or pebbles[name]:
                continue
            if before[name].pebble != after.pebble:
                found.append(f"{name}: Pebble was {before[name].pebble} and is {after.pebble}")
            # Before its first pebble-ready it has none.
            if before[name].works and not works[name] and before[name].works != after.works:
                found.append(f"{name}: its workload was {before[name].works}, is {after.works}")
        return found

    def stop(self) -> None:
        """End everything."""
        if not self.site.lives():
            self.site.start()
        self.site.call("shutdown")
        self.site.end()
        left = self.site.processes()
        if left:
            raise LossError(f"processes {left} are left")

    def remove(self) -> None:
        """Delete everything; after `stop`."""
        tree.remove(self.site.data.parent)

    def summary(self) -> str:
        """What was done, in one line."""
        tried = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.tried.items()))
        count, at = sum(self.faults.tried.values()), len(self.faults.commits)
        return f"{count} faults ({tried}), told to die at {at} commits, {self.asked} requests"
