"""The parts of a site that can be killed or stopped, and how."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chaos.site import Site

from minijuju import execution
from minijuju.workload import PROBE_PERIOD
from sandbox.container import Container
from sandbox.proxy import Proxy

COMMITS = 60
"""A controller that dies at a commit dies at one of its first so many."""
FEW = 4
"""Faults that a storm has at least."""


class Faults:
    """Does one thing after another to the parts of a site, and counts.

    Attributes:
        tried: how often each kind of fault was made.
        commits: the commits at which a controller was told to die, as `after:17`.
        pebbles: units whose Pebble was ended, with how often.
        works: units whose workload was.
    """

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        self.tried: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.pebbles: Counter[str] = Counter()
        self.works: Counter[str] = Counter()
        self._kinds: dict[str, tuple[int, Callable[[], bool]]] = {
            "controller": (4, self._controller),
            "hook": (4, self._hook),
            "pebble": (1, self._pebble),
            "workload": (2, self._workload),
            "controller and pebble": (1, self._both),
            "balancer": (1, self._balancer),
            "controller stopped": (1, self._stopped),
            "hook stopped": (1, self._hook_stopped),
            "pebble stopped": (1, self._pebble_stopped),
        }

    def storm(self, seconds: float) -> None:
        """Go on for a while, and for a few faults however slow the machine is.

        The controller is there again at the end, and dies no more.
        """
        end = time.monotonic() + seconds
        enough = self.tried.total() + FEW
        while time.monotonic() < end or self.tried.total() < enough:
            time.sleep(self._chance.uniform(0.02, 0.8))
            if not self._site.lives():
                # It died at its commit.
                self.tried["commit"] += 1
                self._start()
                continue
            weights = [weight for weight, _ in self._kinds.values()]
            (name,) = self._chance.choices(list(self._kinds), weights)
            if self._kinds[name][1]():
                self.tried[name] += 1
        self._site.end()
        self._site.start()

    def _start(self) -> None:
        """Start the controller, as often as not one that will die at a commit."""
        while True:
            failures = {}
            if self._chance.random() < 0.6:
                when = self._chance.choice(("before", "after"))
                failures["commit"] = f"{when}:{self._chance.randint(1, COMMITS)}"
                self.commits[failures["commit"]] += 1
            self._site.start(**failures)
            if self._site.lives():
                return
            self.tried["commit"] += 1

    def _controller(self) -> bool:
        self._site.end()
        time.sleep(self._chance.choice((0, 0, 0.3)))
        self._start()
        return True

    def _both(self) -> bool:
        self._site.end()
        done = self._pebble()
        self._start()
        return done

    def _balancer(self) -> bool:
        running = Proxy(self._site.data / "proxy").identity
        return running is not None and running.signal(signal.SIGKILL)

    def _stopped(self) -> bool:
        self._site.signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.2, 2))
        self._site.signal(signal.SIGCONT)
        return True

    def _hook(self) -> bool:
        return self._any(list(hooks(self._site.data)), signal.SIGKILL)

    def _hook_stopped(self) -> bool:
        found = list(hooks(self._site.data))
        if not self._any(found, signal.SIGSTOP):
            return False
        time.sleep(self._chance.uniform(0.2, 1))
        for pid in found:
            _send(pid, signal.SIGCONT)
        return True

    def _any(self, pids: list[int], number: int) -> bool:
        return bool(pids) and _send(self._chance.choice(sorted(pids)), number)

    def _unit(self) -> tuple[str, Container] | None:
        running = sorted(pebbles(self._site.data).items())
        return self._chance.choice(running) if running else None

    def _pebble(self) -> bool:
        if (found := self._unit()) is None:
            return False
        name, container = found
        self.pebbles[name] += 1
        return _send(container.pid, signal.SIGKILL)

    def _pebble_stopped(self) -> bool:
        if (found := self._unit()) is None:
            return False
        name, container = found
        begun = time.monotonic()
        stopped = _send(container.pid, signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.2, 1))
        goes_on = _send(container.pid, signal.SIGCONT)
        if time.monotonic() - begun > PROBE_PERIOD:
            # Who is stopped that long may be killed as one that hangs.
            self.pebbles[name] += 1
        return goes_on and stopped

    def _workload(self) -> bool:
        if (found := self._unit()) is None:
            return False
        name, container = found
        self.works[name] += 1
        return self._any(children(container.pid), signal.SIGKILL)


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def hooks(data: Path, unit: str = "") -> Iterator[int]:
    """Every process of charm code, of one unit or all: what holds its containers included."""
    mark = os.fsencode(f"{execution.MARK}={data}/units/")
    own = os.fsencode(f"/{unit.replace('/', '-')}/" if unit else "/")
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _, found, place = (folder / "environ").read_bytes().partition(mark)
            if found and own in place.partition(b"\0")[0]:
                yield from family(int(folder.name))


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(below for child in children(pid) for below in family(child))]


def children(pid: int) -> list[int]:
    """The children of a process, whichever of its threads made them; none if it is gone."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def pebbles(data: Path, name: str = "work") -> dict[str, Container]:
    """The workload containers of a name that run, by unit."""
    found = {}
    for folder in data.glob(f"units/*/*/containers/{name}/run"):
        container = Container.adopt(folder)
        if container is not None and container.running():
            application, _, number = folder.parts[-4].rpartition("-")
            found[f"{application}/{number}"] = container
    return found
