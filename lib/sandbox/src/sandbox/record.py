"""What a container's folder holds on disk, and how to read it back after its owner died.

spec.json   what was started (environment and all: 0600)
status      lines of JSON by the container's monitor: its PID 1, later its exit code. The
            monitor holds a lock on it for as long as it lives (bubblewrap keeps the file open).
            Its room on the disk is taken before the start: an end is known on a full disk too.
            One line is the owner's: PID 1 with its start time, so that a reused pid is never
            taken for it.
pid.json    the same, where an earlier version started it
reason      why the owner killed it
exit.json   how it ended, once somebody found that the monitor could not tell
root, etc, run, tmp   the parts of its file system that are its own
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import functools
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.spec import Exit, Image, Limits, Mount, Network, Scratch, Spec
from sandbox.tree import fill

logger = logging.getLogger(__name__)

_BOOT = Path("/proc/sys/kernel/random/boot_id")
# More than the monitor's two lines and the owner's.
_ROOM = 4096
_KEEP_SIZE = 1
# More than /proc has to say of a process in one line.
_LINE = 4096

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the host, told from any other that ever has its pid.

    Attributes:
        pid: its pid.
        start: its start time in clock ticks since the boot.
        boot: the boot's id.
        started: the same start in seconds since the epoch.
    """

    pid: int
    start: int
    boot: str
    started: float

    def alive(self) -> bool:
        """True while it runs (a zombie does not)."""
        if self.boot != boot_id():
            return False
        stat = read_stat(self.pid)
        return stat is not None and stat.start == self.start and stat.state not in "ZX"


@dataclass(frozen=True, slots=True)
class Stat:
    """The parts of /proc/PID/stat that matter here; memory in pages, times in ticks."""

    name: str
    state: str
    parent: int
    threads: int
    start: int
    resident: int


@functools.cache
def boot_id() -> str:
    """The id that the kernel drew at this boot; no process outlives that."""
    return _BOOT.read_text().strip()


def _stat(pid: int) -> str | None:
    """What /proc/PID/stat says; None if there is no such process."""
    # By hand, here and below: `open` asks the kernel for five things more of each file.
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LINE).decode(errors="replace")
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return None


def read_stat(pid: int) -> Stat | None:
    """Read /proc/PID/stat; None if there is no such process."""
    text = _stat(pid)
    if text is None:
        return None
    # The name stands in parentheses and may hold anything, parentheses as well.
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    numbers = [int(fields[index]) for index in (1, 17, 19, 21)]
    return Stat(name, fields[0], *numbers)


def read_ticks(pid: int) -> int:
    """Processor time that a process and its ended children have used, in clock ticks."""
    text = _stat(pid)
    if text is None:
        return 0
    return sum(int(word) for word in text[text.rindex(")") + 2 :].split()[11:15])


def children(pid: int) -> list[int]:
    """The children of a process; none if it has ended."""
    found: list[int] = []
    # It may end at any moment, and each of its threads may.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in list(Path("/proc", str(pid), "task").iterdir()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_text().split())
    return found


def identify(pid: int, started: float) -> Process | None:
    """The process that has this pid now; None if there is none."""
    stat = read_stat(pid)
    return Process(pid, stat.start, boot_id(), started) if stat else None


@dataclass(frozen=True, slots=True)
class Status:
    """What the monitor has written so far, and the owner.

    Attributes:
        pid: the container's PID 1 as the host numbers it; None if it was never started.
        pid_namespace: the inode number of its PID namespace.
        code: its exit code; None while it runs, or if it was never told.
        changed: when one of them wrote last, in seconds since the epoch; of what has ended, this
            is when, but for a moment if it was over before its owner had noted its start.
        process: PID 1, if the owner has noted it.
    """

    pid: int | None = None
    pid_namespace: int | None = None
    code: int | None = None
    changed: float = 0.0
    process: Process | None = None


def read_status(directory: Path) -> Status:
    """Read the lines; one that was cut in the middle counts as not written."""
    try:
        descriptor = os.open(f"{directory}/status", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Status()
    try:
        changed = os.fstat(descriptor).st_mtime
        lines = os.read(descriptor, _ROOM).splitlines()
    finally:
        os.close(descriptor)
    merged: dict[str, Any] = {}
    for line in lines:
        try:
            merged |= json.loads(line)
        except (ValueError, TypeError):
            continue
    noted = merged.get("process")
    return Status(
        merged.get("child-pid"),
        merged.get("pid-namespace"),
        merged.get("exit-code"),
        changed,
        None if noted is None else Process(**noted),
    )


def lock_status(directory: Path) -> int | None:
    """Open the status file with the monitor's lock taken; None if a monitor has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(f"{directory}/status", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def reserve(status: int) -> None:
    """Take the room that the monitor's lines need; the file's size stays as it is.

    A file system that cannot do so gives no such promise. Raises OSError if there is no room.
    """
    while _libc.fallocate(status, _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(_ROOM)) != 0:
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS):
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def recognise(status: Status, started: Started) -> Process:
    """PID 1 from the monitor's record alone: its owner died before it noted it."""
    assert status.pid is not None  # noqa: S101 - the callers have looked
    gone = Process(status.pid, 0, started.boot, started.written)
    if started.boot != boot_id():
        return gone
    process = identify(status.pid, started.written)
    try:
        namespace = os.stat(f"/proc/{status.pid}/ns/pid").st_ino
    except (FileNotFoundError, ProcessLookupError):
        return gone
    return process if process is not None and namespace == status.pid_namespace else gone


def monitored(directory: Path) -> bool:
    """True while the container's monitor (or its starter) lives."""
    try:
        descriptor = os.open(f"{directory}/status", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lay_out(directory: Path) -> None:
    """Make what will be written of a container, empty: as good as not there.

    Raises OSError if there is no room for what `reserve` takes.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(f"{directory}/status", flags, 0o600)
    try:
        reserve(descriptor)
    finally:
        os.close(descriptor)
    os.close(os.open(_draft(directory / "spec.json"), flags, 0o600))


def _draft(path: Path) -> str:
    """Where this process writes a file before it has its name."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.{os.getpid()}"


def write(path: Path, data: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    draft = _draft(path)
    fill(draft, data.encode())
    os.replace(draft, path)


def note(path: Path, data: str) -> None:
    """Write what can be done without, of a container that runs or has run: a full disk is told."""
    try:
        write(path, data)
    except OSError as error:
        logger.warning("%s is not written: %s", path, error)


def note_process(directory: Path, process: Process) -> None:
    """Record the PID 1 of a container, which the monitor tells with less certainty.

    A line among its own, as there is room for it, and no file more; never of one that has ended
    a while ago, as this would change when.
    """
    line = json.dumps({"process": process}, default=_plain).encode() + b"\n"
    try:
        descriptor = os.open(f"{directory}/status", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        logger.warning("PID 1 of %s is not noted: %s", directory, error)


def read_process(directory: Path) -> Process | None:
    """The recorded PID 1; None if none was recorded."""
    if (noted := read_status(directory).process) is not None:
        return noted
    try:
        return Process(**json.loads((directory / "pid.json").read_text()))
    except FileNotFoundError:
        return None


def note_exit(directory: Path, exit_: Exit) -> None:
    """Record how the container ended, for as long as the monitor has not."""
    note(directory / "exit.json", json.dumps(exit_, default=_plain))


def read_exit(directory: Path) -> Exit | None:
    """The recorded end; None if none was recorded."""
    try:
        return Exit(**json.loads((directory / "exit.json").read_text()))
    except FileNotFoundError:
        return None


def note_reason(directory: Path, reason: str) -> None:
    """Record why the owner kills the container."""
    note(directory / "reason", reason)


def read_reason(directory: Path) -> str | None:
    """Why the owner killed the container; None if it did not, or gave no reason."""
    try:
        return (directory / "reason").read_text() or None
    except FileNotFoundError:
        return None


def write_spec(directory: Path, spec: Spec) -> None:
    """Record what is about to be started."""
    data = {"spec": spec, "boot": boot_id()}
    write(directory / "spec.json", json.dumps(data, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value):
        # By `fields` it takes three times as long.
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise TypeError(f"{type(value).__name__} in a Spec")


@dataclass(frozen=True, slots=True)
class Started:
    """What spec.json tells: the spec, the boot it was started in and when it was written."""

    spec: Spec
    boot: str
    written: float


def read_spec(directory: Path) -> Started | None:
    """Read what was started; None if nothing ever was. Raises SandboxError if it is damaged."""
    path = directory / "spec.json"
    try:
        text = path.read_text()
        written = path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        data = json.loads(text)
        return Started(_spec(data["spec"]), data["boot"], written)
    except (ValueError, TypeError, KeyError) as error:
        raise SandboxError(f"{path} is damaged: {error!r}") from error


def _spec(data: dict[str, Any]) -> Spec:
    image = data["image"]
    return Spec(
        command=tuple(data["command"]),
        env=data["env"],
        cwd=data["cwd"],
        image=None
        if image is None
        else Image(**{**image, "path": Path(image["path"]), "preload": tuple(image["preload"])}),
        root=None if data["root"] is None else Path(data["root"]),
        mounts=tuple(
            Mount(**{**m, "source": Path(m["source"])}) if "source" in m else Scratch(**m)
            for m in data["mounts"]
        ),
        # A record of an earlier version does not have these.
        user=data.get("user", 0),
        group=data.get("group", 0),
        accounts=tuple(data.get("accounts", ())),
        read_only_root=data.get("read_only_root", False),
        hosts={address: tuple(names) for address, names in data["hosts"].items()},
        hostname=data["hostname"],
        limits=Limits(**data["limits"]),
        output=None if data["output"] is None else Path(data["output"]),
        warm=data["warm"],
        network=_network(data.get("network")),
    )


def _network(data: dict[str, Any] | None) -> Network | None:
    return None if data is None else Network(**{**data, "folder": Path(data["folder"])})
