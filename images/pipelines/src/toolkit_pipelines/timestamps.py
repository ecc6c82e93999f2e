"""Times as the API writes them: RFC 3339, UTC."""

from __future__ import annotations

import datetime
import functools

LATEST = 253_402_300_799
"""The last second that can be written, at the end of the year 9999."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@functools.lru_cache(maxsize=4096)
def format(seconds: float) -> str:  # noqa: A001 - read as timestamps.format
    """Give seconds since the epoch as `2026-11-24T16:03:00.123456Z`."""
    moment = _EPOCH + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(text: object) -> float:
    """Give the seconds since the epoch of an RFC 3339 time; ValueError if it is none."""
    if not isinstance(text, str):
        raise ValueError(f"a time must be a string such as 2026-11-24T16:03:00Z, not {text!r}")
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time such as 2026-11-24T16:03:00Z") from error
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-11-24T16:03:00Z")
    return (moment - _EPOCH).total_seconds()
