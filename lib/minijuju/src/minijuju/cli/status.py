"""`status`, once or until interrupted, and `show-status-log`: what runs, and in what state."""

from __future__ import annotations

import argparse
import io
import shutil
import time
from typing import Any

from . import render
from .output import emit, emit_table, plain, structured
from .session import Session
from .verb import Parser, UsageError, Verb, count, duration


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
    entries = session.call(
        "show_status_log",
        model=session.model(arguments.model),
        entity=arguments.args[0],
        limit=arguments.number,
    )
    rows = [["Time", "Type", "Status", "Message"]]
    rows += [
        [entry["since"], entry["type"], entry["status"], plain(entry["message"])]
        for entry in entries
    ]
    emit_table(rows, entries, arguments, session.stdout)
    return 0


def _log_options(parser: Parser) -> None:
    parser.add_argument("-n", type=count, default=20, dest="number", metavar="N", help="how many")


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
        example=("show-status-log metadata/0",),
        run=show_status_log,
        options=_log_options,
        minimum=1,
        maximum=1,
        formats=("tabular", "json", "yaml"),
        unbuilt=("--days", "--from-date", "--include-status-updates", "--type", "--utc"),
    ),
)
