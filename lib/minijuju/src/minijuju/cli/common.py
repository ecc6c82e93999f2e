"""The options that every command of Juju's takes, and what they do here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .verb import Parser, UsageError

if TYPE_CHECKING:
    from .session import Session

_SWITCHES = ("--debug", "--show-log", "--verbose", "--quiet", "-B", "--no-browser-login")
_VALUED = "--logging-config"


def options(parser: Parser) -> None:
    """Add them to a verb's parser."""
    add = parser.add_argument
    add(
        "--debug",
        "--show-log",
        "--verbose",
        action="store_true",
        dest="noisy",
        help="say on stderr what the controller is asked",
    )
    add("--quiet", action="store_true", help="say nothing on stderr but warnings and errors")
    # There is no browser and no logger to be set.
    add("-B", "--no-browser-login", action="store_true", help=argparse.SUPPRESS)
    add(_VALUED, help=argparse.SUPPRESS)


def leading(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that stand before the verb, where Juju takes them too, and the rest."""
    at = 0
    while at < len(words):
        name, given, _ = words[at].partition("=")
        if name == _VALUED:
            at += 1 if given else 2
        elif name in _SWITCHES:
            at += 1
        else:
            break
    return list(words[:at]), list(words[at:])


def apply(session: Session, arguments: argparse.Namespace) -> None:
    """Let a session do as they say.

    Raises:
        UsageError: they contradict each other.
    """
    if arguments.noisy and arguments.quiet:
        raise UsageError(
            '"verbose" and "quiet" flags clash, please use one or the other, not both'
        )
    session.noisy, session.quiet = arguments.noisy, arguments.quiet
