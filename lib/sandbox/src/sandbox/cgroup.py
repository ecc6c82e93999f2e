"""Memory limits by cgroup v2, where this process may make cgroups beside its own.

That is so for root under systemd and for a user's own services; elsewhere `sandbox.limits`
bounds memory by looking.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

_MOUNT = Path("/sys/fs/cgroup")
_FILE = "cgroup"


def parent(mount: Path = _MOUNT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The nearest cgroup above this process below which containers can get a memory limit."""
    try:
        lines = own.read_text().splitlines()
    except FileNotFoundError:
        return None
    paths = [line[3:] for line in lines if line.startswith("0::/")]
    if not paths or not (mount / "cgroup.controllers").is_file():
        return None
    group = mount / paths[0].lstrip("/")
    while group != mount and group.is_relative_to(mount):
        group = group.parent
        controllers = _read(group / "cgroup.subtree_control").split()
        writable = os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK)
        if "memory" in controllers and writable:
            return group
    return None


def confine(directory: Path, pid: int, memory: int, above: Path) -> bool:
    """Put a container's PID 1 in a cgroup of its own; False, and logged, where that fails.

    The cgroup's path is recorded in the container's `directory`; one that an earlier owner made
    for it serves on.
    """
    group = above / f"sandbox-{pid}-{os.stat(directory).st_ino}"
    if _recorded(directory) == group and group.is_dir():
        return True
    try:
        group.mkdir()
        (directory / _FILE).write_text(str(group))
        (group / "memory.max").write_text(str(memory))
        for name, value in (("memory.oom.group", "1"), ("memory.swap.max", "0")):
            if (group / name).exists():
                (group / name).write_text(value)
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        logger.warning("no memory cgroup for %s: %s", directory, error)
        release(directory)
        return False
    return True


def of(directory: Path) -> Path | None:
    """The cgroup that a container was put in; None if it has none."""
    return _recorded(directory)


def killed(directory: Path) -> bool:
    """True if the kernel killed the container for its cgroup's memory limit."""
    group = _recorded(directory)
    if group is None:
        return False
    events = dict(line.split(maxsplit=1) for line in _read(group / "memory.events").splitlines())
    return int(events.get("oom_kill", "0")) > 0


def release(directory: Path) -> None:
    """Remove the cgroup of a container that has ended."""
    group = _recorded(directory)
    if group is not None:
        with contextlib.suppress(OSError):  # It is gone, or its last process is still going.
            group.rmdir()
        (directory / _FILE).unlink(missing_ok=True)


def _recorded(directory: Path) -> Path | None:
    text = _read(directory / _FILE)
    return Path(text) if text else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
