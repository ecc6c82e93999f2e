"""`debug-log`: a model's log, as it is or as it grows."""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

from .output import emit, paint, plain, structured
from .session import Session
from .verb import Parser, UsageError, Verb, count, names

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")
LINES = 10
_COLOURS = {"TRACE": "grey", "DEBUG": "grey", "INFO": "green", "WARNING": "yellow"}


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--tail", action="store_true", help="wait for more (the default on a terminal)")
    add("--no-tail", action="store_true", help="stop after what there is")
    add("--replay", action="store_true", help="from the beginning")
    add("-n", "--lines", type=count, metavar="N", help="start with this many of the last lines")
    add("--limit", type=count, default=0, metavar="N", help="the last N lines, then stop")
    add("-i", "--include", action="append", default=[], type=names, metavar="UNIT,...")
    add("-x", "--exclude", action="append", default=[], type=names, metavar="UNIT,...")
    add("--include-module", action="append", default=[], type=names, metavar="MODULE,...")
    add("--exclude-module", action="append", default=[], type=names, metavar="MODULE,...")
    add("-l", "--level", type=str.upper, choices=LEVELS, help="this level or above")
    add("--date", action="store_true", help="show dates")
    add("--ms", action="store_true", help="show milliseconds")
    add("--utc", action="store_true", help="show times in UTC")
    add("--color", action="store_true", default=None, help="colours, terminal or not")
    add("--no-color", action="store_false", dest="color", help="no colours")
    add("--location", action="store_true", help=argparse.SUPPRESS)
    # What is not there is started, and what goes away is on this machine.
    add("--retry", action="store_true", help=argparse.SUPPRESS)
    add("--retry-delay", help=argparse.SUPPRESS)


def debug_log(session: Session, arguments: argparse.Namespace) -> int:
    """Print log lines, and follow if that was asked for."""
    if arguments.tail and arguments.no_tail:
        raise UsageError("setting --tail and --no-tail not valid")
    tail = arguments.tail or (
        not arguments.no_tail and not arguments.limit and session.stdout.isatty()
    )
    backlog = LINES if arguments.lines is None else arguments.lines
    replay = not arguments.limit and (arguments.replay or (not tail and arguments.lines is None))
    limit = arguments.limit or (0 if replay else backlog)
    colour = session.colour if arguments.color is None else arguments.color
    items = session.stream(
        "debug_log",
        model=session.model(arguments.model),
        limit=limit,
        tail=tail,
        replay=replay,
        level=arguments.level or "",
        include=[name for group in arguments.include for name in group],
        exclude=[name for group in arguments.exclude for name in group],
        include_modules=[name for group in arguments.include_module for name in group],
        exclude_modules=[name for group in arguments.exclude_module for name in group],
    )
    with contextlib.ExitStack() as stack:
        target = session.stdout
        if arguments.output:
            target = stack.enter_context(open(arguments.output, "w"))
        for item in items:
            if arguments.format == "json":
                text = structured(document(item), "json")
            else:
                shown = colour and not arguments.output
                text = line(
                    item, colour=shown, date=arguments.date, ms=arguments.ms, utc=arguments.utc
                )
            emit(text, target, None)
    return 0


def document(item: dict[str, Any]) -> dict[str, Any]:
    """One record as `--format json` prints it, on a line of its own."""
    moment = float(item["timestamp"])
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return {
        "timestamp": f"{whole}.{int(moment % 1 * 1000):03d}Z",
        "entity": _tag(str(item["entity"])),
        "level": item["level"],
        "module": item["module"],
        "message": item["message"],
    }


def _tag(entity: str) -> str:
    return f"unit-{entity.replace('/', '-')}" if "/" in entity else entity


def line(
    item: dict[str, Any], *, colour: bool, date: bool = False, ms: bool = False, utc: bool = False
) -> str:
    """One record as Juju writes it: `unit-app-0: 12:30:01 INFO unit.app/0.juju-log text`."""
    moment = float(item["timestamp"])
    broken = time.gmtime(moment) if utc else time.localtime(moment)
    shown = time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", broken)
    if ms:
        shown += f".{int(moment % 1 * 1000):03d}"
    level = str(item["level"])
    words = [
        paint(_tag(str(item["entity"])), "bold", colour),
        paint(shown, "grey", colour),
        paint(level, _COLOURS.get(level, "red"), colour),
        plain(item["module"]),
        plain(item["message"]),
    ]
    return f"{words[0]}: {' '.join(words[1:])}\n"


VERBS = (
    Verb(
        name="debug-log",
        arguments="",
        summary="Show a model's log, and follow it.",
        example=("debug-log --replay --include metadata/0 --level WARNING",),
        run=debug_log,
        options=_options,
        formats=("text", "json"),
        refused=(
            ("--firehose", "a log is one model's: name it by -m"),
            ("--include-labels", "nothing that is logged here has labels"),
            ("--exclude-labels", "nothing that is logged here has labels"),
        ),
    ),
)
