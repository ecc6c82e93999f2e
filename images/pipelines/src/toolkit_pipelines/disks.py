"""Folders on disks of this machine, where a small call takes less than its way to a thread.

On its way to a thread and back a call waits for the interpreter's lock twice, some half a
millisecond each. A disk of this machine has answered by then; what is on a network may answer
much later, or never, and must not hold up the loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

SMALL: Final = 64 * 1024
"""Bytes of a file that is small enough to be read or written on the loop."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_LOCAL: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
)
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@functools.cache
def near(folder: Path) -> bool:
    """Tell whether a folder is on a disk, or in the memory, of this machine; asked for once."""
    try:
        listed = _MOUNTS.read_text(errors="surrogateescape")
        place = os.path.realpath(folder)
    except OSError:
        return False
    found, kind = "", ""
    for line in listed.splitlines():
        # See proc(5): the mount's place is the fifth word, the kind the first after a dash.
        words = line.split(" ")
        at = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4]).rstrip("/")
        # Of two on one place the later one is seen.
        if (place == at or place.startswith(f"{at}/")) and len(at) >= len(found):
            found, kind = at, words[words.index("-") + 1]
    return kind in _LOCAL


def small(values: object) -> bool:
    """Tell whether values take, as a rule, no more than that when they are written as JSON.

    Args:
        values: what JSON can hold, and instances of dataclasses.
    """
    pending, size = [values], 0
    while pending and size <= SMALL:
        size += 8
        match pending.pop():
            case str() as text:
                size += len(text)
            case Mapping() as found:
                pending += [*found.keys(), *found.values()]
            case list() | tuple() as found:
                pending += found
            case found if dataclasses.is_dataclass(found):
                pending += [getattr(found, name) for name in found.__dataclass_fields__]
    return size <= SMALL


async def call(function: Callable[[], T], *, here: bool) -> T:
    """Call what blocks: here, if that takes no time worth a thread, else in a thread."""
    return function() if here else await asyncio.to_thread(function)
