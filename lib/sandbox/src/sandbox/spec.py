"""What to run: the image, the mounts, the identity and the limits of one container.

Plain data, so that it can be written to disk and read back by the process that adopts the
container after its owner died.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """A process image: an environment on the host, mounted where its Containerfile puts it.

    Attributes:
        reference: what pods and charms call it, `process.local/NAME@sha256:HEX`.
        path: the environment's folder on the host.
        prefix: where it appears inside the container, for example `/opt/venv`.
        env: the environment variables that the image sets (PATH among them).
        preload: modules that a warm interpreter of this image imports before it forks.
    """

    reference: str
    path: Path
    prefix: str = "/opt/venv"
    env: Mapping[str, str] = field(default_factory=dict)
    preload: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host that appears at `target` (absolute) inside the container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty folder in memory at `target`, gone with the container; `size` bounds it in bytes.

    Without a size the kernel's own bound holds (half of the machine's memory).
    """

    target: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a container, enforced by `sandbox.limits`; None means unbounded.

    Attributes:
        memory: bytes of resident memory over the whole process tree.
        processes: processes and threads at once, over the whole process tree.
        deadline: seconds from the start until the container is killed.
    """

    memory: int | None = None
    deadline: float | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A network namespace of its own, which `sandbox.isolation` keeps.

    Attributes:
        folder: the folder of its keeper.
        member: whose it is; containers of the same member share it, and nobody else does.
    """

    folder: Path
    member: str


@dataclass(frozen=True, slots=True)
class Spec:
    """One container.

    Attributes:
        command: the argument list; its first word is looked up on the container's PATH.
        env: exactly the environment of the command (the image's own is merged below it).
        cwd: the working directory inside.
        image: the process image, or None for the machine's own `/usr` alone.
        root: a folder that becomes the container's writable `/` and persists; None for a
            fresh one below the container's folder.
        mounts: further folders and files, in order; a later one may lie inside an earlier one.
        user, group: what the owner's user and group are called inside.
        accounts: further names of that user and group, for programs that ask for one of them; one
            that the system has stands for them inside.
        read_only_root: True if nothing but the mounts may be written to.
        hosts: names by address, written to the container's `/etc/hosts`.
        hostname: the container's host name.
        limits: bounds on memory, time and processes.
        output: the file that standard output and error are appended to.
        warm: True if a Python command may start as a fork of a warm interpreter.
        network: the network that it has, or None for the host's.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    image: Image | None = None
    root: Path | None = None
    mounts: tuple[Mount | Scratch, ...] = ()
    user: int = 0
    group: int = 0
    accounts: tuple[str, ...] = ()
    read_only_root: bool = False
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hostname: str = "localhost"
    limits: Limits = Limits()
    output: Path | None = None
    warm: bool = False
    network: Network | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended.

    Attributes:
        code: the exit code as a shell would report it (128 + signal for a killed one).
        reason: `Completed`, `Error`, `OOMKilled`, `DeadlineExceeded`, `TooManyProcesses`, or
            `Lost` when nothing on disk tells how it ended (the machine was restarted, say).
        finished: seconds since the epoch.
    """

    code: int
    reason: str
    finished: float
