"""When a recurring run is due: pure, in whole seconds since the epoch, UTC.

A schedule is a fixed row of instants; a firing is named by its instant, and each fires once at
most. Which come next follows from the last one that fired, never from the time that it is now,
so a clock that is set back repeats nothing, and one that is set forward, or a service that was
away, has missed instants that are due: all of them, one after the other, or the last alone.

The meaning is that of KFP's scheduled workflow controller. Instants come after the start, or after
the creation where there is none, and are not after the end. Those of an interval are counted from
there; KFP counts anew from the moment at which it makes up for missed ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import cron, timestamps
from .cron import Cron, CronError


class ScheduleError(ValueError):
    """A schedule that cannot be; the message names the field and says what is wrong with it.

    Attributes:
        field: the field of the API's `trigger`, `cron_schedule.cron` say.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Interval:
    """A firing every so many seconds."""

    seconds: int

    def after(self, moment: int, origin: int) -> int:
        """Give the first instant after `moment`, counted from `origin`, which is none."""
        passed = max((moment - origin) // self.seconds, 0)
        return origin + (passed + 1) * self.seconds

    def until(self, moment: int, origin: int) -> int | None:
        """Give the last instant that is not after `moment`; None if there is none."""
        passed = (moment - origin) // self.seconds
        return origin + passed * self.seconds if passed > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What a client asked for: one of `expression` and `interval`, or neither, to run once.

    Attributes:
        expression: a cron expression, "" if it is none.
        interval: seconds, 0 if it is none.
        start: the instant that firings come after, or None.
        end: the last instant at which one may be, or None.
    """

    expression: str = ""
    interval: int = 0
    start: int | None = None
    end: int | None = None

    def encode(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def decode(cls, data: Mapping[str, Any]) -> Trigger:
        """Make it from what `encode` gave."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A trigger with the moment from which it counts.

    Attributes:
        trigger: what was asked for.
        created: when, in seconds.
        catchup: whether each missed instant fires, rather than the last of them alone.
        rule: the trigger's cron expression or interval, None for one that fires once.
    """

    trigger: Trigger
    created: int
    catchup: bool
    rule: Cron | Interval | None

    @classmethod
    def read(cls, trigger: Trigger, created: float, *, catchup: bool) -> Schedule:
        """Give the schedule of a trigger.

        Raises:
            ScheduleError: the expression or the interval is none, or no instant suits it.
        """
        rule = _rule(trigger)
        made = cls(trigger, int(created), catchup, rule)
        start, end = trigger.start, trigger.end
        kind = "cron_schedule" if trigger.expression else "periodic_schedule"
        if start is not None and end is not None and end < start:
            raise ScheduleError(f"{kind}.end_time", "is before start_time")
        if made.following(None) is None:
            raise ScheduleError(
                f"{kind}.end_time" if end is not None else kind,
                "nothing would run: the schedule has no time between its start and its end",
            )
        return made

    def following(self, last: int | None) -> int | None:
        """Give the instant that comes after the last one that fired; None if there is none."""
        if self.rule is None:
            found = self.created if last is None else None
        else:
            origin = self.created if self.trigger.start is None else self.trigger.start
            base = origin if last is None else max(last, origin)
            found = (
                self.rule.after(base)
                if isinstance(self.rule, Cron)
                else self.rule.after(base, origin)
            )
        end = timestamps.LATEST if self.trigger.end is None else self.trigger.end
        return None if found is None or found > end else found

    def due(self, last: int | None, now: int) -> int | None:
        """Give the instant that is to fire now, or None.

        Args:
            last: the instant that fired last.
            now: the time.

        Returns:
            The first instant after `last` that is not after `now`; without catch-up the last
            such, `latest`.
        """
        if not self.catchup:
            return self.latest(last, now)
        first = self.following(last)
        return None if first is None or first > now else first

    def latest(self, last: int | None, now: int) -> int | None:
        """Give the last instant after `last` that is not after `now`, or None."""
        first = self.following(last)
        if first is None or first > now:
            return None
        if self.rule is None:
            return first
        limit = now if self.trigger.end is None else min(now, self.trigger.end)
        if isinstance(self.rule, Cron):
            latest = self.rule.until(limit)
        else:
            origin = self.created if self.trigger.start is None else self.trigger.start
            latest = self.rule.until(limit, origin)
        return first if latest is None else max(first, latest)


def _rule(trigger: Trigger) -> Cron | Interval | None:
    if trigger.expression:
        try:
            found = cron.parse(trigger.expression)
        except CronError as error:
            raise ScheduleError("cron_schedule.cron", str(error)) from error
        return Interval(found) if isinstance(found, int) else found
    if trigger.interval:
        return Interval(trigger.interval)
    return None
