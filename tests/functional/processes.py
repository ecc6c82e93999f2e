"""The processes of this machine, and whose they are: tests run side by side."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def processes() -> dict[int, str]:
    """The command line of every process that we may look at; a zombie has none and is dead."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if line:
                found[int(path.parent.name)] = line
    return found


def contains(folder: Path, pid: int) -> bool:
    """True for a process in a container whose root is below a folder: its mounts tell."""
    try:
        first = Path("/proc", str(pid), "mountinfo").read_text().split("\n", 1)[0]
    except OSError:
        return False
    # proc(5) writes the root from the file system's own root.
    _, _, device, root, place, *rest = (*first.split(), *[""] * 5)
    if "overlay" in rest:
        # Its upper folder says whose it is, by its path where it was mounted.
        _, _, upper = first.partition("upperdir=")
        return place == "/" and f"{folder}/" in upper.partition(",")[0]
    mount = next(each for each in (folder, *folder.parents) if each.is_mount())
    below = "/" + str(folder.relative_to(mount)).lstrip(".")
    number = mount.stat().st_dev
    same = device == f"{os.major(number)}:{os.minor(number)}" or below != "/"
    return place == "/" and same and f"{below.rstrip('/')}/" in root
