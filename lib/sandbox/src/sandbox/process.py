"""Processes that outlive their owner: told apart from strangers that were given the same pid."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A process on this machine: its pid, when it started (clock ticks since boot), which boot."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a running process; None if there is none, or only a zombie."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name may hold spaces and parentheses; what follows it does not.
        state, *fields = text.rpartition(")")[2].split()
        if state in "ZX":
            return None
        return cls(pid, int(fields[18]), boot_id())

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal, to this very process or to none; False if it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The handle was taken first: if the pid is still ours, so is the handle.
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def end(self, grace: float = 5.0) -> None:
        """SIGTERM, and SIGKILL if it still runs after `grace` seconds. Blocking."""
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self.alive():
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                deadline += grace
            time.sleep(0.01)


def boot_id() -> str:
    """The id that the kernel drew when it booted."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def readable(descriptor: int) -> None:
    """Wait until a descriptor can be read: a pidfd, until its process has ended."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    own = os.dup(descriptor)
    try:
        loop.add_reader(own, lambda: None if ended.done() else ended.set_result(None))
        try:
            await ended
        finally:
            loop.remove_reader(own)
    finally:
        os.close(own)
