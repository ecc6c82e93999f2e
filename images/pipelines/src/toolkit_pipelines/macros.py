"""Macros in the parameters of a run, as KFP's API server fills them in.

`[[RunUUID]]`, `[[CurrentTime]]`, and for runs of a schedule `[[ScheduledTime]]` and `[[Index]]`
(which run of the schedule it is, from 1). Times are UTC, `20060102150405` unless they say how: in
Go's layout, `[[ScheduledTime.2006-01-02]]`, or strftime's, `{{$.scheduledTime.strftime('%Y')}}`.
They are looked for in parameters that are strings, not in the parts of lists and structs. What is
not known stays as it is, and so does what has more than 100 characters for its layout or format:
text that only begins like macros takes no time that grows with the square of its length.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from .events import Json

_MACRO: Final = re.compile(
    r"\[\[(?P<name>RunUUID|Index)\]\]"
    r"|\[\[(?P<time>ScheduledTime|CurrentTime)(?:\.(?P<layout>.{0,100}?))?\]\]"
    r"|\{\{\$\.(?P<moment>scheduledTime|currentTime)\.strftime\('(?P<format>.{0,100}?)'\)\}\}"
)
_DEFAULT: Final = "20060102150405"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What macros stand for.

    Attributes:
        run_id: the run.
        now: when it was made, seconds since the epoch.
        scheduled: when it was due, or None if no schedule made it.
        index: which run of its schedule it is, or None.
    """

    run_id: str
    now: float
    scheduled: float | None = None
    index: int | None = None


def expand(parameters: Mapping[str, Json], occasion: Occasion) -> dict[str, Json]:
    """Give the parameters with their macros filled in."""
    return {
        name: _MACRO.sub(lambda match: _value(match, occasion), value)
        if isinstance(value, str)
        else value
        for name, value in parameters.items()
    }


def _value(match: re.Match[str], occasion: Occasion) -> str:
    unknown = match.group()
    match match.group("name"):
        case "RunUUID":
            return occasion.run_id
        case "Index":
            return unknown if occasion.index is None else str(occasion.index)
    named = match.group("time") or match.group("moment")
    seconds = occasion.scheduled if named.lower() == "scheduledtime" else occasion.now
    if seconds is None:
        return unknown
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    strftime = match.group("format")
    if strftime is not None:
        return _strftime(moment, strftime, unknown)
    layout = match.group("layout")
    return _GO.sub(lambda found: _LAYOUT[found.group()](moment), layout or _DEFAULT)


_VERB: Final = re.compile(r"%(.?)", re.DOTALL)
_VERBS: Final = frozenset("AaBbCcDdeFHIjklMmnpRrSTtUuVvWwXxYyZzhs%")


def _strftime(moment: datetime.datetime, text: str, unknown: str) -> str:
    """Format in the C locale's words; a verb that KFP's library lacks leaves the macro."""
    if not all(verb and verb in _VERBS for verb in _VERB.findall(text)):
        return unknown
    seconds = str(int(moment.timestamp()))

    def one(match: re.Match[str]) -> str:
        return seconds if match.group(1) == "s" else moment.strftime(match.group())

    return _VERB.sub(one, text)


def _number(attribute: str, width: int) -> Callable[[datetime.datetime], str]:
    return lambda moment: f"{getattr(moment, attribute):0{width}d}"


def _verb(verb: str) -> Callable[[datetime.datetime], str]:
    return lambda moment: moment.strftime(verb)


_LAYOUT: Final[Mapping[str, Callable[[datetime.datetime], str]]] = {
    "2006": _number("year", 4),
    "06": lambda moment: f"{moment.year % 100:02d}",
    "January": _verb("%B"),
    "Jan": _verb("%b"),
    "01": _number("month", 2),
    "1": _number("month", 1),
    "Monday": _verb("%A"),
    "Mon": _verb("%a"),
    "002": _verb("%j"),
    "__2": lambda moment: f"{moment.timetuple().tm_yday:3d}",
    "_2": lambda moment: f"{moment.day:2d}",
    "02": _number("day", 2),
    "2": _number("day", 1),
    "15": _number("hour", 2),
    "03": lambda moment: f"{moment.hour % 12 or 12:02d}",
    "3": lambda moment: f"{moment.hour % 12 or 12}",
    "04": _number("minute", 2),
    "4": _number("minute", 1),
    "05": _number("second", 2),
    "5": _number("second", 1),
    "PM": _verb("%p"),
    "pm": lambda moment: moment.strftime("%p").lower(),
    "MST": lambda moment: "UTC",
    "Z07:00": lambda moment: "Z",
    "Z0700": lambda moment: "Z",
    "-07:00": lambda moment: "+00:00",
    "-0700": lambda moment: "+0000",
    "-07": lambda moment: "+00",
}
"""The parts of Go's layouts (package `time`) by what they are written as."""

_UNLESS: Final[Mapping[str, str]] = {"_2": "(?!006)", "Jan": "(?![a-z])", "Mon": "(?![a-z])"}
"""Parts that are none if this comes after them."""

_GO: Final = re.compile(
    "|".join(
        re.escape(part) + _UNLESS.get(part, "") for part in sorted(_LAYOUT, key=len, reverse=True)
    )
)
