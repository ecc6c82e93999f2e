"""A container's log: the file its output goes to, read as `GET .../pods/NAME/log` asks."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from tinykube.node import timeline
from tinykube.node.client import LogOptions
from tinykube.node.growth import Growth

_CHUNK = 64 * 1024
# How often a followed log is looked at where nothing tells of its growth, and where something
# does; in seconds.
_PAUSE, _LONG_PAUSE = 0.05, 2.0


async def read(
    path: Path, options: LogOptions, running: Callable[[], bool], growth: Growth
) -> AsyncIterator[bytes]:
    """Stream a log file.

    Args:
        path: the file.
        options: what was asked for.
        running: False once nothing more will be written; asked when following.
        growth: tells when it grows.
    """
    left = options.limit_bytes
    with contextlib.ExitStack() as stack:
        grown = stack.enter_context(growth.following(path)) if options.follow else None
        stream = stack.enter_context(path.open("rb", 0))
        stream.seek(_begin(stream, path, options))
        stamped = _Stamped(path, stream.tell()) if options.timestamps else None
        while left is None or left > 0:
            if grown is not None:
                grown.clear()
            # Asked before reading: what was written before the end is then read for certain.
            more = grown is not None and running()
            while left is None or left > 0:
                chunk = stream.read(_CHUNK)
                if not chunk:
                    break
                chunk = stamped.add(chunk) if stamped is not None else chunk
                chunk = chunk if left is None else chunk[:left]
                left = None if left is None else left - len(chunk)
                yield chunk
                await asyncio.sleep(0)
            if grown is None or not more:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LONG_PAUSE if growth.active else _PAUSE):
                    await grown.wait()


def _begin(stream: BinaryIO, path: Path, options: LogOptions) -> int:
    """Where what was asked for begins."""
    descriptor = stream.fileno()
    size = os.fstat(descriptor).st_size
    begin = _next_line(descriptor, timeline.beginning(descriptor), size)
    if options.since is not None:
        place = timeline.read(path).since(round(options.since * 10**9))
        begin = size if place is None else max(begin, _next_line(descriptor, place, size))
    if options.tail_lines is not None:
        begin = max(begin, _tail(descriptor, options.tail_lines))
    return begin


def _next_line(descriptor: int, offset: int, size: int) -> int:
    """The first place at `offset` or later where a line begins."""
    if offset == 0:
        return 0
    offset -= 1
    while offset < size:
        chunk = os.pread(descriptor, _CHUNK, offset)
        at = chunk.find(b"\n")
        if at >= 0:
            return offset + at + 1
        offset += len(chunk) or size
    return size


class _Stamped:
    """Puts the time before each line of a log that is read from `offset` on."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._fresh = True
        self._times = timeline.read(path)

    def add(self, chunk: bytes) -> bytes:
        """The chunk, with a time wherever a line begins."""
        if self._offset + len(chunk) > (self._times.sizes or (0,))[-1]:
            self._times = timeline.read(self._path)
        found: list[bytes] = []
        for line in _lines(chunk):
            if self._fresh:
                found.append(timeline.stamp(self._times.moment(self._offset)))
            found.append(line)
            self._offset += len(line)
            self._fresh = line.endswith(b"\n")
        return b"".join(found)


def _lines(chunk: bytes) -> list[bytes]:
    """Lines that end with a line feed and nothing else."""
    parts = chunk.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


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
