"""One container: start it, find it again after its owner died, wait for it, end it.

The command runs as PID 1 of its own PID namespace. A small monitor outside (bubblewrap, or a fork
of the warm interpreter) outlives the owner and writes the exit code to disk; see `sandbox.record`
for the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox import bubblewrap, cgroup, entrance, gate, record, root, skeleton, tree, warm
from sandbox.errors import NoSpaceError, SandboxError
from sandbox.process import readable
from sandbox.record import Process
from sandbox.spec import Exit, Spec

logger = logging.getLogger(__name__)

# How long the monitor may take from its start to the command's, and from the command's end to
# the record of it: some 15 ms, but a busy disk can hold it up for long.
_PATIENCE = 60.0
_KILLED = 128 + signal.SIGKILL
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_monitors: dict[int, subprocess.Popen[bytes]] = {}
_monitors_lock = threading.Lock()


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

        Blocks until the command runs (some 15 ms). Raises SandboxError with the evidence if it
        cannot be started (NoSpaceError: for want of room); nothing of it runs then, and
        `directory` may be used again.
        """
        reap()
        directory = directory.absolute()
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # What that starts, once, must not have the lock for a moment if this process is killed.
        skeleton.overlays(directory)
        status = _claim(directory)
        try:
            environment = root.environment(spec)
            steps = root.prepare(spec, directory)
            record.write_spec(directory, spec)
            record.reserve(status)
            with _output(spec.output) as output:
                begun = os.lseek(output, 0, os.SEEK_END) if spec.output else 0
                try:
                    how = (spec, environment, steps, directory, status, output)
                    process = warm.start(*how) or _start_cold(*how)
                except _NotStartedError as error:
                    kind = NoSpaceError if _full(directory) else SandboxError
                    raise kind(
                        f"cannot start {list(spec.command)}: {_evidence(output, begun) or error}"
                    ) from error
            record.note_process(directory, process)
        except BaseException as error:
            _retract(directory)
            if isinstance(error, OSError):
                kind = NoSpaceError if error.errno in _NO_SPACE else SandboxError
                raise kind(f"cannot start {list(spec.command)}: {error}") from error
            raise
        finally:
            os.close(status)
        return cls(directory, spec, process)

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
        process = status.process or record.read_process(directory)
        if process is None:
            process = _recognise(status, started)
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


class _NotStartedError(Exception):
    """The monitor ended without having run the command."""


def _claim(directory: Path) -> int:
    """Take the status file's lock for a new monitor. Raises SandboxError if it is in use."""
    status = record.lock_status(directory)
    if status is None or record.read_status(directory).pid is not None:
        if status is not None:
            os.close(status)
        raise SandboxError(f"{directory} holds a container already; start another elsewhere")
    for stale in ("pid.json", "reason", "exit.json"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{stale}")
    os.truncate(status, 0)
    return status


def _retract(directory: Path) -> None:
    """Forget a start that failed: whatever came up of it is ended first."""
    status = record.read_status(directory)
    if status.pid is not None and status.code is None:
        started = record.read_spec(directory)
        process = _recognise(status, started) if started else None
        if process is not None and process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    (directory / "spec.json").unlink(missing_ok=True)
    os.truncate(directory / "status", 0)


def _full(directory: Path) -> bool:
    """True if nothing more can be written beside a container; tried, since figures mislead."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(4096))
    except OSError as error:
        return error.errno in _NO_SPACE
    return False


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[int]:
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    if path is None:
        descriptor = os.open(os.devnull, flags)
    else:
        os.makedirs(path.parent, mode=0o700, exist_ok=True)
        descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def arguments(spec: Spec, environment: dict[str, str], steps: tuple[root.Step, ...]) -> list[str]:
    """Bubblewrap's options for a container, the command apart."""
    options = ["--unshare-user", "--uid", str(spec.user), "--gid", str(spec.group)]
    options += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", spec.hostname]
    options += ["--as-pid-1", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for step in steps:
        match step:
            case root.Bind():
                kind = "--dev-bind" if step.device else "--bind"
                kind = "--ro-bind" if step.read_only and not step.device else kind
                options += [kind, str(step.source), step.target]
            case root.Overlay():
                options += ["--overlay-src", str(step.lower)]
                options += ["--overlay", str(step.upper), str(step.work), step.target]
            case root.Proc():
                options += ["--proc", step.target]
                for name in step.read_only:
                    options += ["--ro-bind", f"/proc/{name}", f"{step.target}/{name}"]
            case root.Dev():
                options += ["--dev", step.target]
                if step.shared_memory is not None:
                    options += ["--size", str(step.shared_memory)]
                options += ["--tmpfs", f"{step.target}/shm"]
            case root.Memory():
                if step.size is not None:
                    options += ["--size", str(step.size)]
                options += ["--perms", "1777", "--tmpfs", step.target]
            case root.Seal():
                options += ["--remount-ro", step.target]
    for name, value in environment.items():
        if name != "PWD":
            options += ["--setenv", name, value]
    return [*options, "--chdir", spec.cwd]


def _start_cold(
    spec: Spec,
    environment: dict[str, str],
    steps: tuple[root.Step, ...],
    directory: Path,
    status: int,
    output: int,
) -> Process:
    """Start the command by bubblewrap and wait until it runs. Raises _NotStartedError."""
    root.furnish(steps)
    monitor = _run_bubblewrap(spec, environment, steps, status, output)
    try:
        return _await_command(spec, directory, monitor)
    except BaseException:
        monitor.kill()
        monitor.wait()
        raise
    finally:
        with _monitors_lock:
            _monitors[monitor.pid] = monitor


def _run_bubblewrap(
    spec: Spec,
    environment: dict[str, str],
    steps: tuple[root.Step, ...],
    status: int,
    output: int,
) -> subprocess.Popen[bytes]:
    """Start bubblewrap as the monitor. It holds `status`, and with it the lock, until it ends."""
    # By file, not by argument list: the environment may hold secrets. And not as bubblewrap's own
    # environment: LD_PRELOAD of a container must not work outside it.
    options = b"\0".join(os.fsencode(option) for option in arguments(spec, environment, steps))
    descriptor = os.memfd_create("bwrap", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            stream.write(options + b"\0")
        os.lseek(descriptor, 0, os.SEEK_SET)
        with gate.Gate(spec.limits.processes) as before:
            started = subprocess.Popen(
                [
                    *entrance.prefix(spec.network),
                    *(bubblewrap.find(), "--args", str(descriptor)),
                    *("--json-status-fd", str(status), *before.options, "--", *spec.command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(descriptor, status, *before.descriptors),
                start_new_session=True,
                cwd="/",
                env={},
                # The container's, whatever its owner's is.
                umask=0o022,
            )
            try:
                before.lift()
            except BaseException:
                started.kill()
                started.wait()
                raise
            return started
    finally:
        os.close(descriptor)


def reap() -> int:
    """Take note of monitors that have ended, so that none stays a zombie; how many still live.

    Every start and every look at an end does so as well.
    """
    with _monitors_lock:
        for pid, process in list(_monitors.items()):
            if process.poll() is not None:
                del _monitors[pid]
        return len(_monitors)


def _await_command(spec: Spec, directory: Path, monitor: subprocess.Popen[bytes]) -> Process:
    """Wait until the monitor has run the command; its PID 1."""
    limit = time.monotonic() + _PATIENCE
    process: Process | None = None
    # The kernel keeps 15 characters of a program's name. A command that is bubblewrap itself
    # cannot be told from the monitor's fork by it, so the fork is taken for it.
    own = bubblewrap.find().name[:15]
    own = "" if Path(spec.command[0]).name[:15] == own else own
    while time.monotonic() < limit:
        ended = monitor.poll() is not None
        status = record.read_status(directory)
        if process is None and status.pid is not None:
            process = record.identify(status.pid, time.time())
        if status.code is not None:
            # It has run already, perhaps before it could be looked at.
            return process or Process(status.pid or 0, 0, record.boot_id(), time.time())
        if ended:
            raise _NotStartedError("bubblewrap ended before the command ran")
        if process is not None:
            stat = record.read_stat(process.pid)
            if stat is not None and stat.name != own and stat.state not in "ZX":
                return process
        time.sleep(0.0005)
    raise _NotStartedError(f"it did not start within {_PATIENCE:.0f} s")


def _recognise(status: record.Status, started: record.Started) -> Process:
    """PID 1 from the monitor's record alone: its owner died before it noted it."""
    assert status.pid is not None  # noqa: S101 - the callers have looked
    gone = Process(status.pid, 0, started.boot, started.written)
    if started.boot != record.boot_id():
        return gone
    process = record.identify(status.pid, started.written)
    try:
        namespace = os.stat(f"/proc/{status.pid}/ns/pid").st_ino
    except (FileNotFoundError, ProcessLookupError):
        return gone
    return process if process is not None and namespace == status.pid_namespace else gone


def _evidence(output: int, begun: int) -> str:
    """What the monitor printed since `begun`; taken out of the output again."""
    if not os.path.isfile(f"/proc/self/fd/{output}"):
        return ""
    text = os.pread(output, 8192, begun).decode(errors="replace").strip()
    os.ftruncate(output, begun)
    return text
