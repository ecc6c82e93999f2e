"""When the parts of a log were written.

Containers write their logs themselves, so that nothing of ours has to live for them to speak.
Beside `N.log` lies `N.times`: pairs of numbers, a size of the log and the moment (nanoseconds
since the epoch) by which it had grown to that size. The node adds one when it sees a log grow;
what was written while it was away gets the moment of the last write.
"""

from __future__ import annotations

import bisect
import ctypes
import logging
import os
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)

_PAIR = struct.Struct("<QQ")
# A log keeps its last bytes: beyond the sum of both, it is cut down to the first.
KEPT, SLACK = 1 << 30, 128 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_BLOCK = 4096

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of one log, as far as they are known.

    Attributes:
        sizes: to what the log had grown, each more than the one before.
        moments: by when, in nanoseconds since the epoch.
        last: the moment of what came after that.
    """

    sizes: tuple[int, ...]
    moments: tuple[int, ...]
    last: int

    def moment(self, offset: int) -> int:
        """When the byte at `offset` was written."""
        at = bisect.bisect_right(self.sizes, offset)
        return self.moments[at] if at < len(self.moments) else self.last

    def since(self, moment: int) -> int | None:
        """Where what was written at `moment` or later begins; None if nothing was."""
        at = bisect.bisect_left(self.moments, moment)
        if at == len(self.moments) and self.last < moment:
            return None
        return self.sizes[at - 1] if at else 0


def times_of(log: Path) -> Path:
    """The file of a log's times."""
    return log.with_suffix(".times")


def read(log: Path) -> Timeline:
    """The times of a log."""
    changed = log.stat().st_mtime_ns
    try:
        data = times_of(log).read_bytes()
    except FileNotFoundError:
        data = b""
    # A pair that was cut in the middle counts as not written.
    pairs = list(_PAIR.iter_unpack(data[: len(data) - len(data) % _PAIR.size]))
    last = max(changed, pairs[-1][1]) if pairs else changed
    return Timeline(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), last)


def stamp(moment: int) -> bytes:
    """A moment as the log's lines begin with it: RFC 3339 with nanoseconds, and a space."""
    whole, rest = divmod(moment, 10**9)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}Z ".encode()


class Recorder:
    """Writes down how a log grows.

    Args:
        log: the log's file; need not exist yet.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._size = self._moment = 0
        times = self._times = times_of(log)
        if not os.path.isfile(times) or not os.path.getsize(times):
            return
        known = read(log) if log.is_file() else Timeline((), (), 0)
        self._size = known.sizes[-1] if known.sizes else 0
        self._moment = known.moments[-1] if known.moments else 0
        if times.stat().st_size != len(known.sizes) * _PAIR.size:
            os.truncate(times, len(known.sizes) * _PAIR.size)

    def note(self) -> bool:
        """Look at the log now; True if it has grown."""
        try:
            found = os.stat(self._log)
        except FileNotFoundError:
            return False
        if found.st_size <= self._size:
            return False
        # The clock may have been set back: times of a log never go backwards.
        self._moment = max(found.st_mtime_ns, self._moment)
        self._size = found.st_size
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._times, flags, 0o600)
            try:
                before = os.fstat(descriptor).st_size
                if os.write(descriptor, _PAIR.pack(self._size, self._moment)) < _PAIR.size:
                    os.ftruncate(descriptor, before)
            finally:
                os.close(descriptor)
        except OSError as error:
            # A full disk: the log itself is the container's business.
            logger.warning("times of %s: %s", self._log, error)
        return True

    def trim(self) -> None:
        """Give the oldest part of a log that is too long back to the disk."""
        with self._log.open("r+b") as stream:
            begin = beginning(stream.fileno())
            if self._size - begin <= KEPT + SLACK:
                return
            end = (self._size - KEPT) // _BLOCK * _BLOCK
            result = _libc.fallocate(
                stream.fileno(),
                _PUNCH_HOLE | _KEEP_SIZE,
                ctypes.c_long(0),
                ctypes.c_long(end),
            )
            if result != 0:
                number = ctypes.get_errno()
                logger.warning("%s cannot be cut: %s", self._log, os.strerror(number))
            else:
                logger.info("%s is cut to its last %d MiB", self._log, KEPT >> 20)


def beginning(descriptor: int) -> int:
    """Where the kept part of a log begins; 0 for one that was never cut."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError:
        # Empty, or a file system that knows no holes.
        return 0
