"""A container's log: the file its output goes to, read as `GET .../pods/NAME/log` asks.

Lines are kept as they were written, without times: `timestamps` cannot be had, and `since` leaves
out a log as a whole whose last line is older.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tinykube.node.client import LogOptions, LogsError

_CHUNK = 64 * 1024
# How often a followed log is looked at while its container runs, in seconds.
_PAUSE = 0.05


def file_of(folder: Path, container: str, attempt: int) -> Path:
    """The log of one run of a container, below the pod's folder."""
    return folder / "logs" / container / f"{attempt}.log"


def latest(folder: Path, container: str) -> Path | None:
    """The log of a container's last run; None before the first."""
    found = [path for path in (folder / "logs" / container).glob("*.log") if path.stem.isdigit()]
    return max(found, key=lambda path: int(path.stem), default=None)


async def read(
    path: Path, options: LogOptions, running: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Stream a log file.

    Args:
        path: the file.
        options: what was asked for.
        running: False once nothing more will be written; asked when following.

    Raises:
        LogsError: for an option that cannot be met.
    """
    if options.timestamps:
        raise LogsError("this node keeps no times of log lines: ask without timestamps")
    left = options.limit_bytes
    with path.open("rb") as stream:
        if options.since is not None and os.fstat(stream.fileno()).st_mtime < options.since:
            stream.seek(0, os.SEEK_END)
        elif options.tail_lines is not None:
            stream.seek(_tail(stream.fileno(), options.tail_lines))
        while left is None or left > 0:
            # Asked before reading: what was written before the end is then read for certain.
            more = options.follow and running()
            while left is None or left > 0:
                chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
                if not chunk:
                    break
                left = None if left is None else left - len(chunk)
                yield chunk
                await asyncio.sleep(0)
            if not more:
                return
            await asyncio.sleep(_PAUSE)


def _tail(descriptor: int, lines: int) -> int:
    """Where the last `lines` lines begin."""
    position = os.fstat(descriptor).st_size
    if lines == 0:
        return position
    # A line break at the very end closes the last line, it does not begin another.
    end, needed = position, lines
    while position > 0:
        start = max(0, position - _CHUNK)
        chunk = os.pread(descriptor, position - start, start)
        at = len(chunk)
        while (at := chunk.rfind(b"\n", 0, at)) >= 0:
            if start + at == end - 1:
                continue
            needed -= 1
            if needed == 0:
                return start + at + 1
        position = start
    return 0


def last_words(path: Path, *, size: int = 2048, lines: int = 80) -> str:
    """The end of a log, as `FallbackToLogsOnError` reports it."""
    with path.open("rb") as stream:
        start = max(_tail(stream.fileno(), lines), os.fstat(stream.fileno()).st_size - size)
        return os.pread(stream.fileno(), size, start).decode(errors="replace")
