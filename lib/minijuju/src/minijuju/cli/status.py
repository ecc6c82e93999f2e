"""`status`, once or until interrupted, and `show-status-log`: what runs, and in what state."""

from __future__ import annotations

import argparse
import datetime
import io
import shutil
import time
from typing import Any

from . import render
from .output import emit, emit_table, plain, structured
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb, count, duration

_LINES, _ALL = 20, 10_000
# Juju's types, with those of ours that are meant.
_KINDS: dict[str, list[str]] = {
    "unit": ["workload", "juju-unit", "application"],
    "juju-unit": ["juju-unit"],
    "workload": ["workload"],
    "application": ["application"],
    **{
        key: []
        for key in (
            "container",
            "filesystem",
            "juju-container",
            "juju-machine",
            "machine",
            "model",
            "saas",
            "volume",
        )
    },
}


def _options(parser: Parser) -> None:
    parser.add_argument("--relations", "--integrations", action="store_true", dest="relations")
    parser.add_argument("--storage", action="store_true", help="show storage too")
    parser.add_argument(
        "--watch", type=duration, metavar="SECONDS", help="show it again and again, until Ctrl-C"
    )
    parser.add_argument(
        "--color", action="store_true", default=None, help="colours, terminal or not"
    )
    parser.add_argument("--no-color", action="store_false", dest="color", help="no colours")
    parser.add_argument("--utc", action="store_true", help="times are always UTC")
    parser.add_argument("--retry-count", help=argparse.SUPPRESS)
    parser.add_argument("--retry-delay", help=argparse.SUPPRESS)


def status(session: Session, arguments: argparse.Namespace) -> int:
    """Print the status of a model."""
    if arguments.watch is not None:
        return _watch(session, arguments)
    emit(_text(session, arguments), session.stdout, arguments.output)
    return 0


def _text(session: Session, arguments: argparse.Namespace) -> str:
    document = session.call("status", model=session.model(arguments.model))
    return show(document, session, arguments)


def show(document: dict[str, Any], session: Session, arguments: argparse.Namespace) -> str:
    """The document in the form that was asked for."""
    chosen = render.select(document, arguments.args)
    if arguments.format in ("json", "yaml"):
        # What the controller adds for the tables is not part of Juju's document.
        chosen.pop("relations", None)
        return structured(chosen, arguments.format)
    if arguments.format in ("line", "oneline", "short"):
        return render.line(chosen)
    colour = session.colour if arguments.color is None else arguments.color
    if arguments.args and not chosen["applications"]:
        session.say(f"Nothing matched specified filter{'s' if len(arguments.args) > 1 else ''}.")
        return ""
    return render.tabular(
        chosen,
        colour=colour and not arguments.output,
        relations=arguments.relations,
        storage=arguments.storage,
    )


def _watch(session: Session, arguments: argparse.Namespace) -> int:
    if arguments.output:
        raise UsageError("--watch prints to the terminal: it goes with no --output")
    pause = max(arguments.watch, 0.1)
    screen = session.stdout.isatty()
    before = ""
    while True:
        text = _text(session, arguments)
        if screen:
            session.stdout.write(_frame(text))
        elif text != before:
            session.stdout.write(text + "\n")
        session.stdout.flush()
        before = text
        time.sleep(pause)


def _frame(text: str) -> str:
    """The text as one screenful, drawn over the last one without a flicker."""
    size = shutil.get_terminal_size()
    frame = io.StringIO("\x1b[H")
    frame.seek(0, io.SEEK_END)
    for row in text.splitlines()[: size.lines - 1]:
        frame.write(f"{row}\x1b[K\n")
    frame.write("\x1b[J")
    return frame.getvalue()


def show_status_log(session: Session, arguments: argparse.Namespace) -> int:
    """Print the last statuses of a unit or application."""
    bounds = (arguments.number, arguments.days, arguments.from_date)
    if sum(bound is not None for bound in bounds) > 1:
        raise UsageError(
            "backlog size, backlog date and backlog days back cannot be specified together"
        )
    model = session.model(arguments.model)
    if not arguments.args and arguments.type != "model":
        raise UsageError("entity name is missing")
    kinds = _KINDS[arguments.type]
    entries = kinds and session.call(
        "show_status_log",
        model=model,
        entity=arguments.args[0],
        limit=arguments.number or (_LINES if bounds[1:] == (None, None) else _ALL),
        kinds=kinds,
        since=_since(arguments),
    )
    if not entries:
        raise CommandError("no status history available")
    rows = [["Time", "Type", "Status", "Message"]]
    rows += [
        [entry["since"], entry["type"], entry["status"], plain(entry["message"])]
        for entry in entries
    ]
    emit_table(rows, entries, arguments, session.stdout)
    return 0


def _since(arguments: argparse.Namespace) -> float:
    """The moment (epoch seconds) from which on statuses are wanted; 0 for all."""
    if arguments.days is not None:
        return time.time() - float(arguments.days) * 86400
    if arguments.from_date is None:
        return 0.0
    try:
        day = datetime.datetime.strptime(arguments.from_date, "%Y-%m-%d")
    except ValueError:
        raise UsageError(
            f'parsing backlog date: "{arguments.from_date}" is none; write YYYY-MM-DD'
        ) from None
    return day.replace(tzinfo=datetime.UTC).timestamp()


def _log_options(parser: Parser) -> None:
    add = parser.add_argument
    add("-n", type=count, dest="number", metavar="N", help=f"how many (default: {_LINES})")
    add("--days", type=count, metavar="N", help="those of the last N days")
    add("--from-date", metavar="YYYY-MM-DD", help="those since that day (UTC)")
    add("--type", choices=tuple(_KINDS), default="unit", help="of what (default: unit)")
    add("--utc", action="store_true", help="times are always UTC")
    # Juju's own words: it has no effect any more.
    add("--include-status-updates", action="store_true", help=argparse.SUPPRESS)


VERBS = (
    Verb(
        name="status",
        arguments="[<application or unit> ...]",
        summary="Show the applications and units of a model, and how they are.",
        details="A filter is an application or a unit, with * if need be, or a status.",
        example=("status", "status metadata --relations --watch 2"),
        run=status,
        options=_options,
        maximum=None,
        formats=("tabular", "json", "yaml", "line", "oneline", "short"),
    ),
    Verb(
        name="show-status-log",
        arguments="<unit or application>",
        summary="Show the last statuses of a unit or an application.",
        details="Of an application, its own and not its units'. Nothing else has a history here.",
        example=("show-status-log metadata/0", "show-status-log --type workload metadata/0 -n 5"),
        run=show_status_log,
        options=_log_options,
        maximum=1,
        formats=("tabular", "json", "yaml"),
    ),
)
