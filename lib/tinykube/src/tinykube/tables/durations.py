"""Times as tables show them: how long ago, in one or two units."""

from __future__ import annotations

from datetime import UTC, datetime

from tinykube import objects

UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400


def human(seconds: float) -> str:
    """A duration as kubectl writes it: `75s`, `3m20s`, `5h`, `2d4h`; finer when it is short."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(whole, 0)}s"
    for unit, letter, smaller, small, fine, coarse in (
        (_MINUTE, "m", 1, "s", 10 * _MINUTE, 3 * _HOUR),
        (_HOUR, "h", _MINUTE, "m", 8 * _HOUR, 2 * _DAY),
        (_DAY, "d", _HOUR, "h", 8 * _DAY, 2 * _YEAR),
        (_YEAR, "y", _DAY, "d", 8 * _YEAR, 0),
    ):
        count, rest = divmod(whole, unit)
        if whole < fine and rest // smaller:
            return f"{count}{letter}{rest // smaller}{small}"
        if whole < coarse or not coarse:
            return f"{count}{letter}"
    raise AssertionError("the last unit takes all")


def age(time: object) -> str:
    """How long ago a time of RFC 3339 was; `<unknown>` for none."""
    if not isinstance(time, str) or not time:
        return UNKNOWN
    try:
        moment = objects.when(time)
    except ValueError:
        return UNKNOWN
    return human((datetime.now(UTC) - moment).total_seconds())


def between(start: str, end: str) -> str:
    """The time from one moment to another."""
    return human((objects.when(end) - objects.when(start)).total_seconds())
