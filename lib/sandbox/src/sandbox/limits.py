"""Keep running containers within their memory, their time and their number of processes.

Where cgroups can be had, the kernel bounds memory. Everywhere, the processes of a container are
looked at now and then, and more often when it nears its limit: a container over it is killed,
`OOMKilled`. A look costs a few file reads for each process of the container.

What bounds the number of processes is the kernel too (`sandbox.gate`), but it tells nobody, and
not for the machine's root: so one that has reached it is killed, `TooManyProcesses`. Who has
thousands is seen without looking at anyone while the whole machine has fewer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox import cgroup, execution, record
from sandbox.container import Container
from sandbox.spec import Limits

logger = logging.getLogger(__name__)

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Seconds between two looks: far from the limit, and near it.
_SLOW, _FAST = 0.5, 0.02
_NEAR = 0.5
_SPARSE = 2.0
"""Seconds between two looks at the number of processes alone."""
_LOAD = Path("/proc/loadavg")
# What runs into its limit over and over is a little below it most of the time.
_FULL = 0.95


def processes(container: Container) -> list[int]:
    """The host's pids of all processes of a container."""
    return tree(*_roots(container))


def _roots(container: Container) -> list[int]:
    """The processes of which all others in a container descend.

    Commands that were executed in it are no descendants of its PID 1, but of helpers of ours.
    """
    helpers = execution.pids(container.directory)
    executed = [child for helper in helpers for child in record.children(helper)]
    return [container.pid, *executed]


def tree(*roots: int) -> list[int]:
    """Processes and all their descendants."""
    found: list[int] = []
    todo = [*roots]
    while todo:
        current = todo.pop()
        found.append(current)
        todo += record.children(current)
    return found


def crowded(roots: Callable[[], list[int]], most: int) -> bool:
    """Whether processes and their descendants are as many, with their threads, as they may be.

    Args:
        roots: gives the first of them; not asked while the whole machine has fewer threads.
        most: how many there may be.
    """
    # Such as "0.20 0.18 0.12 1/280 11206": the threads that run, and all there are.
    everywhere = int(_LOAD.read_text().split()[3].partition("/")[2])
    if everywhere < most * _FULL:
        return False
    stats = (record.read_stat(pid) for pid in tree(*roots()))
    return sum(stat.threads for stat in stats if stat is not None) >= most * _FULL


def resident(pids: list[int]) -> int:
    """An upper bound of what processes hold in memory, in bytes: shared pages count each time."""
    stats = (record.read_stat(pid) for pid in pids)
    return sum(stat.resident * _PAGE for stat in stats if stat is not None)


def proportional(pids: list[int]) -> int:
    """What processes hold in memory, in bytes, each shared page split among its users."""
    total = 0
    for pid in pids:
        try:
            text = Path("/proc", str(pid), "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            # An executed command on its way in cannot be looked into, but for what all may see.
            total += resident([pid])
            continue
        for line in text.splitlines():
            if line.startswith(("Pss:", "SwapPss:")):
                total += int(line.split()[1]) * 1024
    return total


@dataclass(slots=True)
class _Kept:
    container: Container
    look_at: float = 0.0


class LimitKeeper:
    """Watches the containers that an owner gives it; `run` is a task of the owner's loop.

    A container's deadline counts from its recorded start, so that it holds after the owner's
    restart as well.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, _Kept] = {}
        self._changed = asyncio.Event()
        self._above = cgroup.parent()

    def add(self, container: Container) -> None:
        """Watch a container until it has ended; one without limits needs no watching."""
        limits = container.spec.limits
        if limits == Limits():
            return
        if limits.memory is not None and self._above is not None and container.running():
            cgroup.confine(container.directory, container.pid, limits.memory, self._above)
        alone = limits.memory is None and limits.deadline is None
        self._kept[container.directory] = _Kept(container, _turn() if alone else 0.0)
        self._changed.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            due = [kept for kept in self._kept.values() if kept.look_at <= now]
            for kept in await asyncio.to_thread(self._look, due) if due else ():
                # Another may have been begun in its folder meanwhile.
                if self._kept.get(kept.container.directory) is kept:
                    del self._kept[kept.container.directory]
            pause = min((kept.look_at for kept in self._kept.values()), default=None)
            try:
                async with asyncio.timeout(
                    None if pause is None else max(pause - time.monotonic(), 0.001)
                ):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look(self, due: list[_Kept]) -> list[_Kept]:
        """Look at these; gives those that have ended."""
        ended = []
        for kept in due:
            if not kept.container.running():
                ended.append(kept)
                continue
            try:
                kept.look_at = time.monotonic() + self._judge(kept.container)
            except OSError as error:
                # One container's trouble must not leave the others unwatched.
                logger.warning("cannot look at %r: %s", kept.container, error)
                kept.look_at = time.monotonic() + _SLOW
        return ended

    def _judge(self, container: Container) -> float:
        """Kill the container if it is over a limit; the seconds until the next look."""
        limits = container.spec.limits
        pause = 3600.0
        if limits.deadline is not None:
            left = container.started + limits.deadline - time.time()
            if left <= 0:
                container.kill("DeadlineExceeded")
                return _SLOW
            pause = left
        if limits.memory is not None:
            pids = processes(container)
            used = resident(pids)
            if used > limits.memory and proportional(pids) > limits.memory:
                container.kill("OOMKilled")
                return _SLOW
            pause = min(pause, _FAST if used > limits.memory * _NEAR else _SLOW)
        if limits.processes is not None:
            if crowded(lambda: _roots(container), limits.processes):
                container.kill("TooManyProcesses")
                return _SLOW
            pause = min(pause, _turn() - time.monotonic())
        return pause


def _turn() -> float:
    """When numbers of processes are looked at next: of all containers at once."""
    return (time.monotonic() // _SPARSE + 1) * _SPARSE
