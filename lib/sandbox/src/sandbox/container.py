"""One container: start it, find it again after its owner died, wait for it, end it.

The command runs as PID 1 of its own PID namespace. A small monitor outside (bubblewrap, or a fork
of the warm interpreter) outlives the owner and writes the exit code to disk; see `sandbox.record`
for the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox import cgroup, record, root, tree
from sandbox.errors import SandboxError
from sandbox.process import readable
from sandbox.record import Process
from sandbox.spec import Exit, Spec
from sandbox.starting import Starting, reap

# How long the monitor may take until it has written down the command's start: some 15 ms, but a
# busy disk can hold it up for long.
_PATIENCE = 60.0
_KILLED = 128 + signal.SIGKILL


class Container:
    """A container that was started in `directory`; made by `start` and `adopt` alone.

    Attributes:
        directory: its state on disk; outlives the owner.
        spec: what was started.
        pid: the host's pid of the container's PID 1.
        started: when it started, in seconds since the epoch.
    """

    def __init__(self, directory: Path, spec: Spec, process: Process) -> None:
        self.directory = directory
        self.spec = spec
        self._process = process

    @property
    def pid(self) -> int:
        """The host's pid of the container's PID 1."""
        return self._process.pid

    @property
    def start_ticks(self) -> int:
        """When PID 1 started, in clock ticks since the boot: with the pid it means one process."""
        return self._process.start

    @property
    def started(self) -> float:
        """When PID 1 started, in seconds since the epoch."""
        return self._process.started

    def __repr__(self) -> str:
        return f"Container({str(self.directory)!r}, pid={self.pid})"

    @classmethod
    def start(cls, directory: Path, spec: Spec) -> Container:
        """Start a container; `directory` is made, and may hold no other container.

        Blocks until the command runs (some 15 ms); see `Starting` for who has a loop. Raises
        SandboxError with the evidence if it cannot be started (NoSpaceError: for want of room);
        nothing of it runs then, and `directory` may be used again.
        """
        return cls.started_by(Starting(directory, spec))

    @classmethod
    def started_by(cls, starting: Starting) -> Container:
        """The container of a start, once its command runs. Blocks and raises as `start` does."""
        return cls(starting.directory, starting.spec, starting.finish())

    @classmethod
    def adopt(cls, directory: Path) -> Container | None:
        """Find the container that was started in `directory`, running or ended.

        None if none was: also where its owner died before the command began.
        """
        directory = directory.absolute()
        started = record.read_spec(directory)
        if started is None:
            return None
        status = record.read_status(directory)
        limit = time.monotonic() + _PATIENCE
        while status.pid is None and record.monitored(directory) and time.monotonic() < limit:
            # The owner died a moment ago and the monitor is on its way to start the command.
            time.sleep(0.002)
            status = record.read_status(directory)
        if status.pid is None:
            return None
        process = record.read_process(directory)
        if process is None:
            process = record.recognise(status, started)
            if process.alive():
                record.note_process(directory, process)
        return cls(directory, started.spec, process)

    def running(self) -> bool:
        """True while PID 1 runs."""
        return self._process.alive()

    def exit(self) -> Exit | None:
        """How it ended; None while it runs. Known after a restart of owner or host as well."""
        reap()
        status = record.read_status(self.directory)
        if status.code is not None:
            return self._exit(status.code, status.changed)
        recorded = record.read_exit(self.directory)
        if recorded is not None:
            return recorded
        if self.running() or record.monitored(self.directory):
            return None
        # Between the two looks above the monitor may have written its last line.
        status = record.read_status(self.directory)
        if status.code is not None:
            return self._exit(status.code, status.changed)
        reason = record.read_reason(self.directory) or "Lost"
        lost = Exit(_KILLED, reason, time.time())
        record.note_exit(self.directory, lost)
        return lost

    def _exit(self, code: int, finished: float) -> Exit:
        reason = None
        if code == _KILLED:
            reason = record.read_reason(self.directory)
            if reason is None and cgroup.killed(self.directory):
                # Written down: the cgroup goes before the record does.
                reason = "OOMKilled"
                record.note_reason(self.directory, reason)
        return Exit(code, reason or ("Error" if code else "Completed"), finished)

    async def wait(self) -> Exit:
        """Wait until it has ended; wakes with the process itself, not by polling."""
        with contextlib.suppress(ProcessLookupError), self._pidfd() as descriptor:
            await readable(descriptor)
        pause = 0.0002
        while (ended := self.exit()) is None:
            # PID 1 is gone; its monitor writes the record within a moment.
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)
        return ended

    def signal(self, number: int) -> None:
        """Send a signal to PID 1; none is sent if it has ended.

        As in every container, PID 1 does not get a signal that it has no handler for, SIGKILL
        apart.
        """
        with contextlib.suppress(ProcessLookupError), self._pidfd() as descriptor:
            signal.pidfd_send_signal(descriptor, number)

    def kill(self, reason: str | None = None) -> None:
        """Kill every process of the container at once; `reason` becomes that of its `Exit`."""
        if reason and self.running() and record.read_reason(self.directory) is None:
            record.note_reason(self.directory, reason)
        self.signal(signal.SIGKILL)

    def set_hosts(self, hosts: dict[str, tuple[str, ...]]) -> None:
        """Rewrite the running container's /etc/hosts: names by address."""
        root.rewrite_hosts(self.directory, hosts, self.spec.hostname)

    def trim(self) -> None:
        """Delete the file system of a container that has ended; its records stay."""
        if self.exit() is None:
            raise SandboxError(f"{self.directory}: its container still runs")
        cgroup.release(self.directory)
        for name in ("root", "work", "etc", "run", "tmp"):
            tree.remove(self.directory / name)
        (self.directory / "hosts").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the container's folder. Raises SandboxError while it runs."""
        if self.exit() is None:
            raise SandboxError(f"{self.directory}: its container still runs")
        cgroup.release(self.directory)
        # First, so that a removal that is cut off leaves a folder which holds no container.
        (self.directory / "status").unlink(missing_ok=True)
        tree.remove(self.directory)

    @contextlib.contextmanager
    def _pidfd(self) -> Iterator[int]:
        """A descriptor of PID 1; raises ProcessLookupError if it has ended."""
        descriptor = os.pidfd_open(self.pid)
        try:
            # Checked after opening: from here on the descriptor means this process or none.
            if not self._process.alive():
                raise ProcessLookupError(self.pid)
            yield descriptor
        finally:
            os.close(descriptor)
