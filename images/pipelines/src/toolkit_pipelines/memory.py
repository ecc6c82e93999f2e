"""Memory that is free again goes back to the machine."""

from __future__ import annotations

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
"""mallopt(3): blocks of at least so many bytes are the kernel's, and are given back when freed."""
_LARGE: Final = 128 * 1024


def give_back() -> None:
    """Have large blocks given back as soon as they are freed, for the whole process.

    By itself glibc takes blocks as large as one that was freed, up to 32 MiB, from its heaps from
    then on. So what an answer of some megabytes had taken stays with the process.
    """
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
