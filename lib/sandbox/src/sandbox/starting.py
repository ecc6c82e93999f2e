"""Start a container: prepare its folder and its root, then have its command run, warm or cold.

Monitors of cold starts are children of this process, and taken note of by `reap`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox import bubblewrap, entrance, gate, record, root, skeleton, warm
from sandbox.errors import NoSpaceError, SandboxError
from sandbox.record import Process
from sandbox.spec import Spec

# How long the monitor may take from its start to the command's: some 15 ms, but a busy disk can
# hold it up for long.
_PATIENCE = 60.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_monitors: dict[int, subprocess.Popen[bytes]] = {}
_monitors_lock = threading.Lock()


class Starting:
    """A container on its way, in a folder that holds no other; `finish` is to be called.

    To make one takes a millisecond or two of a hundred small steps, after each of which a thread
    would wait for the interpreter's lock: so who has a loop makes it there. `finish` blocks.

    Raises SandboxError as `Container.start` does.

    Attributes:
        directory: the container's.
        spec: what is started.
    """

    def __init__(self, directory: Path, spec: Spec) -> None:
        reap()
        self.directory = directory = directory.absolute()
        self.spec = spec
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # What that starts, once, must not have the lock for a moment if this process is killed.
        skeleton.overlays(directory)
        self._held = contextlib.ExitStack()
        status = _claim(directory)
        self._held.callback(os.close, status)
        with self._retracting():
            environment = root.environment(spec)
            steps = root.prepare(spec, directory)
            record.write_spec(directory, spec)
            record.reserve(status)
            output = self._held.enter_context(_output(spec.output))
            self._begun = os.lseek(output, 0, os.SEEK_END) if spec.output else 0
            self._how = (spec, environment, steps, directory, status, output)
            self._warm = warm.ask(*self._how)

    def finish(self) -> Process:
        """The container's PID 1, once the command runs: some 10 ms later."""
        output = self._how[-1]
        with self._retracting():
            try:
                process = (self._warm and self._warm.finish()) or _start_cold(*self._how)
            except _NotStartedError as error:
                kind = NoSpaceError if _full(self.directory) else SandboxError
                evidence = _evidence(output, self._begun) or error
                raise kind(f"cannot start {list(self.spec.command)}: {evidence}") from error
            record.note_process(self.directory, process)
        self._held.close()
        return process

    @contextlib.contextmanager
    def _retracting(self) -> Iterator[None]:
        """Forget the start if it fails, and tell what the disk says in our own words."""
        try:
            yield
        except BaseException as error:
            with self._held:
                _retract(self.directory)
            if isinstance(error, OSError):
                kind = NoSpaceError if error.errno in _NO_SPACE else SandboxError
                raise kind(f"cannot start {list(self.spec.command)}: {error}") from error
            raise


def reap() -> int:
    """Take note of monitors that have ended, so that none stays a zombie; how many still live.

    Every start and every look at an end does so as well.
    """
    with _monitors_lock:
        for pid, process in list(_monitors.items()):
            if process.poll() is not None:
                del _monitors[pid]
        return len(_monitors)


class _NotStartedError(Exception):
    """The monitor ended without having run the command."""


def _claim(directory: Path) -> int:
    """Take the status file's lock for a new monitor. Raises SandboxError if it is in use."""
    status, written = record.lock_status(directory), False
    if status is not None:
        written = os.fstat(status).st_size > 0
        if written and record.read_status(directory).pid is not None:
            os.close(status)
            status = None
    if status is None:
        raise SandboxError(f"{directory} holds a container already; start another elsewhere")
    for stale in ("pid.json", "reason", "exit.json"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{stale}")
    if written:
        # To cut an empty one would give back the room that was taken for it in advance.
        os.truncate(status, 0)
    return status


def _retract(directory: Path) -> None:
    """Forget a start that failed: whatever came up of it is ended first."""
    status = record.read_status(directory)
    if status.pid is not None and status.code is None:
        started = record.read_spec(directory)
        process = record.recognise(status, started) if started else None
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


def _evidence(output: int, begun: int) -> str:
    """What the monitor printed since `begun`; taken out of the output again."""
    if not os.path.isfile(f"/proc/self/fd/{output}"):
        return ""
    text = os.pread(output, 8192, begun).decode(errors="replace").strip()
    os.ftruncate(output, begun)
    return text
