"""Asking before something is destroyed."""

from __future__ import annotations

import argparse
import sys

from .session import Session
from .verb import CommandError


def confirm(
    session: Session,
    arguments: argparse.Namespace,
    warning: str,
    answer: str | None = None,
    kind: str = "model",
) -> None:
    """Ask, unless `--no-prompt` was given.

    Args:
        session: Where to ask.
        arguments: Has `no_prompt`.
        warning: What will happen.
        answer: The name that must be typed; without it `y` is enough.
        kind: What bears that name.

    Raises:
        CommandError: The user did not agree, or is not there to be asked.
    """
    if arguments.no_prompt:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{warning}; there is no terminal to ask on: say --no-prompt to go on")
    session.say(f"WARNING! {warning}.")
    question = (
        f'To continue, enter the name of the {kind} to be destroyed ("{answer}"): '
        if answer
        else "Continue [y/N]? "
    )
    session.stderr.write(question)
    session.stderr.flush()
    typed = sys.stdin.readline().strip()
    agreed = typed == answer if answer else typed.lower() in ("y", "yes")
    if not agreed:
        raise CommandError("aborted")
