"""What containers and the machine use of processors and memory, measured when somebody asks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import limits, record
from sandbox.container import Container

# A pod's uid and a container's name.
Key = tuple[str, str]
_TICK = os.sysconf("SC_CLK_TCK")
# Two looks make a rate. The one before is used if it is neither too fresh nor too old; else a
# second one follows after the pause. In seconds.
_FRESH, _OLD, _PAUSE = 1.0, 90.0, 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used.

    Attributes:
        cpu: processors' seconds a second.
        memory: bytes; of pages that several share, a container has its part.
        window: how long was looked, in seconds.
    """

    cpu: float
    memory: int
    window: float


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    seconds: float


class Meter:
    """Measures; remembers what it has measured last."""

    def __init__(self) -> None:
        self._looks: dict[Key, _Look] = {}

    async def containers(self, running: Mapping[Key, Container]) -> dict[Key, Usage]:
        """The use of running containers; none of one that ends meanwhile."""
        before = {key: self._looks[key] for key in running if key in self._looks}
        now = time.monotonic()
        good = {key: look for key, look in before.items() if _FRESH <= now - look.at <= _OLD}
        if len(good) < len(running):
            first = await asyncio.to_thread(_look_at, running)
            good |= {key: look for key, look in first.items() if key not in good}
            await asyncio.sleep(_PAUSE)
        last = await asyncio.to_thread(_look_at, running)
        memory = await asyncio.to_thread(_memory, running)
        self._looks = last
        return {
            key: Usage(*_rate(good[key], last[key], memory[key]))
            for key in last
            if key in good and key in memory
        }

    async def machine(self) -> Usage:
        """The use of the whole machine."""
        first = _Look(time.monotonic(), _busy())
        await asyncio.sleep(_PAUSE)
        last = _Look(time.monotonic(), _busy())
        return Usage(*_rate(first, last, _machine_memory()))


def _rate(first: _Look, last: _Look, memory: int) -> tuple[float, int, float]:
    window = max(last.at - first.at, 0.001)
    # What ended in between may have taken its time with it.
    return max(last.seconds - first.seconds, 0.0) / window, memory, window


def _look_at(running: Mapping[Key, Container]) -> dict[Key, _Look]:
    found = {}
    for key, container in running.items():
        if container.running():
            ticks = sum(record.read_ticks(pid) for pid in limits.processes(container))
            found[key] = _Look(time.monotonic(), ticks / _TICK)
    return found


def _memory(running: Mapping[Key, Container]) -> dict[Key, int]:
    return {
        key: limits.proportional(limits.processes(container))
        for key, container in running.items()
        if container.running()
    }


def _busy() -> float:
    """Seconds that all processors together have worked since the boot."""
    user, nice, system, _, _, irq, soft = (
        int(word) for word in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:8]
    )
    return (user + nice + system + irq + soft) / _TICK


def _machine_memory() -> int:
    found = {}
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024
    return found["MemTotal"] - found["MemAvailable"]
