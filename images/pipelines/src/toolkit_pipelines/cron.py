"""Cron expressions as KFP has them: the dialect of `github.com/robfig/cron` 1.2, in UTC.

Six fields, `second minute hour day-of-month month day-of-week`; the last may be left out. A field
is `*` or `?`, a number, a range `a-b`, each with a step perhaps (`*/15`; `5/15` is from 5 to the
end), or several of them with commas; months and days of the week have names, Sunday is 0 and
nothing else. A day has to suit both of its fields if one of them has a star, else either of them.
`@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` and `@yearly` (`@annually`) are short for
such expressions; `@every 1h30m` is an interval, which `duration` reads.

Instants are whole seconds since the epoch.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

MAX_LENGTH: Final = 1000
"""Characters of an expression; one that lists every second and minute has fewer than 400."""

_EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()
_LAST_DAY: Final = datetime.date.max.toordinal()
_DAY: Final = 86_400
_HORIZON: Final = 40 * 366
"""Days within which every day comes that comes at all: 29 February on a given day of the week."""

_SHORTHANDS: Final[Mapping[str, str]] = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_EVERY: Final = "@every "


class CronError(ValueError):
    """The expression cannot be read, or never comes true; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class _Range:
    """What a field may hold."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]


def _names(words: str, first: int) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(words.split(), first)}


_FIELDS: Final = (
    _Range("second", 0, 59, {}),
    _Range("minute", 0, 59, {}),
    _Range("hour", 0, 23, {}),
    _Range("day of month", 1, 31, {}),
    _Range("month", 1, 12, _names("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    _Range("day of week", 0, 6, _names("sun mon tue wed thu fri sat", 0)),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was read.

    Attributes:
        clock: the hours, minutes and seconds that suit it, each in order.
        days: the days of the month.
        months: the months, from 1.
        weekdays: the days of the week, Sunday is 0.
        both: whether a day has to suit `days` and `weekdays`, rather than either.
    """

    clock: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool

    def after(self, moment: int) -> int | None:
        """Give the first instant after `moment`; None if there is none before the year 10000."""
        day, second = divmod(moment + 1, _DAY)
        found = _first(_clock(second), self.clock) if self._suits(day) else None
        if found is not None:
            return day * _DAY + _seconds(found)
        following = next((each for each in _days(day, 1) if self._suits(each)), None)
        if following is None:
            return None
        return following * _DAY + _seconds(_first((0, 0, 0), self.clock))

    def until(self, moment: int) -> int | None:
        """Give the last instant that is not after `moment`; None if there is none in 40 years."""
        day, second = divmod(moment, _DAY)
        # The last that is not after: the first, with every number turned round.
        turned = _turned(self.clock)
        hour, minute, rest = _clock(second)
        found = _first((-hour, -minute, -rest), turned) if self._suits(day) else None
        if found is not None:
            return day * _DAY - _seconds(found)
        previous = next((each for each in _days(day, -1) if self._suits(each)), None)
        if previous is None:
            return None
        return previous * _DAY - _seconds(_first((-24, 0, 0), turned))

    def _suits(self, day: int) -> bool:
        date = datetime.date.fromordinal(day + _EPOCH_DAY)
        if date.month not in self.months:
            return False
        by_month, by_week = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        return (by_month and by_week) if self.both else (by_month or by_week)


_Clock = tuple[int, int, int]


def _clock(second: int) -> _Clock:
    return second // 3600, second // 60 % 60, second % 60


def _seconds(clock: _Clock | None) -> int:
    if clock is None:
        raise ValueError("an expression without hours, minutes or seconds")
    return clock[0] * 3600 + clock[1] * 60 + clock[2]


def _turned(
    clock: tuple[tuple[int, ...], ...],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    hours, minutes, seconds = (tuple(-each for each in reversed(part)) for part in clock)
    return hours, minutes, seconds


def _first(
    limit: _Clock, clock: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
) -> _Clock | None:
    """Give the first time of day that is not before `limit`."""
    hours, minutes, seconds = clock
    for hour in (each for each in hours if each >= limit[0]):
        if hour > limit[0]:
            return hour, minutes[0], seconds[0]
        for minute in (each for each in minutes if each >= limit[1]):
            if minute > limit[1]:
                return hour, minute, seconds[0]
            for second in (each for each in seconds if each >= limit[2]):
                return hour, minute, second
    return None


def _days(day: int, step: int) -> Iterator[int]:
    """Give the days after (or before) a day, as far as they need to be looked at."""
    last = min(day + _HORIZON, _LAST_DAY - _EPOCH_DAY)
    first = max(day - _HORIZON, 1 - _EPOCH_DAY)
    return iter(range(day + 1, last + 1) if step > 0 else range(day - 1, first - 1, -1))


def parse(text: str) -> Cron | int:
    """Read an expression; `@every` gives its seconds.

    Raises:
        CronError: it is no expression, or no day ever suits it.
    """
    if len(text) > MAX_LENGTH:
        raise CronError(f"has {len(text)} characters; at most {MAX_LENGTH} are read")
    if text.startswith(_EVERY):
        return duration(text.removeprefix(_EVERY))
    if text.startswith("@") and text not in _SHORTHANDS:
        known = ", ".join((*_SHORTHANDS, "@every 1h30m"))
        raise CronError(f"{text[:40]!r} is unknown; known: {known}")
    words = _SHORTHANDS.get(text, text).split()
    if not 5 <= len(words) <= 6:
        raise CronError(
            f"{text[:80]!r} has {len(words)} fields; it takes six, 'second minute hour "
            "day-of-month month day-of-week', such as '0 30 7 * * mon-fri'"
        )
    words += ["*"] * (6 - len(words))
    seconds, minutes, hours, days, months, weekdays = (
        _field(word, field) for word, field in zip(words, _FIELDS, strict=True)
    )
    found = Cron(
        (tuple(sorted(hours)), tuple(sorted(minutes)), tuple(sorted(seconds))),
        days,
        months,
        weekdays,
        _has_star(words[3]) or _has_star(words[5]),
    )
    if found.after(0) is None:
        raise CronError(f"{text[:80]!r} never comes: no day suits {words[3]!r} and {words[4]!r}")
    return found


def _has_star(word: str) -> bool:
    return any(part[:1] in ("*", "?") for part in word.split(","))


def _field(word: str, field: _Range) -> frozenset[int]:
    parts = [part for part in word.split(",") if part]
    if not parts:
        raise CronError(f"the {field.name} {word[:40]!r} is empty")
    found: set[int] = set()
    for part in parts:
        found.update(_part(part, field))
    return frozenset(found)


def _part(part: str, field: _Range) -> range:
    span, slash, stride = part.partition("/")
    low, dash, high = span.partition("-")
    if low in ("*", "?"):
        if dash:
            raise _wrong(part, field)
        first, last = field.low, field.high
    else:
        first = _number(low, part, field)
        last = _number(high, part, field) if dash else field.high if slash else first
    step = _number(stride, part, field, names=False) if slash else 1
    if not field.low <= first <= last <= field.high or step == 0:
        raise _wrong(part, field)
    return range(first, last + 1, step)


def _number(text: str, part: str, field: _Range, *, names: bool = True) -> int:
    named = field.names.get(text.lower()) if names else None
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise _wrong(part, field)
    return int(text)


def _wrong(part: str, field: _Range) -> CronError:
    names = f" or {', '.join(field.names)}" if field.names else ""
    return CronError(
        f"the {field.name} {part[:40]!r} is none: it takes numbers from {field.low} to "
        f"{field.high}{names}, ranges such as {field.low}-{field.high}, steps such as */2, and "
        "several of them with commas"
    )


_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final[Mapping[str, Fraction]] = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_LONGEST: Final = 2**63 // 10**9
"""Seconds that a duration of Go holds."""


def duration(text: str) -> int:
    """Read a duration as Go writes it (`1h30m`, `1.5h`): whole seconds, at least one.

    Raises:
        CronError: it is none, or is not above zero.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CronError(f"{text[:40]!r} is no interval such as 30s, 15m or 1h30m")
    seconds = sum((Fraction(number) * _UNITS[unit] for number, unit in parts), Fraction(0))
    if not 0 < seconds <= _LONGEST:
        raise CronError(f"the interval {text[:40]!r} must be above zero, and below 292 years")
    return max(int(seconds), 1)
