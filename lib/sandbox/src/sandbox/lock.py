"""One daemon for a data folder: a lock that the kernel lets go of, however the daemon ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_PATIENCE = 10.0
"""Seconds for which one who only looks may be in the way."""


class HeldError(Exception):
    """Another process holds the lock; `pid` is what it wrote into the file, or a question mark."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(f"{path} is held by process {pid}")
        self.pid = pid


def hold(path: Path) -> int:
    """Hold the lock and write our pid into its file; closing the descriptor lets go.

    The file stays at the end: another daemon may wait for this very file.

    Raises:
        HeldError: another process holds it.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _locked(descriptor, fcntl.LOCK_EX):
            # Who asks for the holder shares the lock for an instant, and is none.
            if not _locked(descriptor, fcntl.LOCK_SH) or time.monotonic() > deadline:
                raise HeldError(path, str(_written(descriptor) or "?"))
            time.sleep(0.001)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def holder(path: Path) -> int | None:
    """The pid of who holds the lock, 0 if it has not written it yet; None if nobody holds it.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _locked(descriptor, fcntl.LOCK_SH) else _written(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _written(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
