"""Who and where: the user, the controller, the cloud. There is one of each."""

from __future__ import annotations

import argparse
from typing import Any

from .output import emit, emit_table, structured, table
from .session import CLOUD, CONTROLLER, USER, Session
from .verb import CommandError, Parser, Verb

_NOW = "just now"


def whoami(session: Session, arguments: argparse.Namespace) -> int:
    """Print the controller, model and user."""
    model = session.current_model()
    document = {"controller": CONTROLLER, "model": model or "", "user": USER}
    if arguments.format == "tabular":
        rows = [["Controller:", CONTROLLER], ["Model:", model or "<no-current-model>"]]
        text = table([*rows, ["User:", USER]])
    else:
        text = structured(document, arguments.format)
    emit(text, session.stdout, arguments.output)
    return 0


def _user(session: Session) -> dict[str, Any]:
    created = session.call("controller_info")["created"]
    return {
        "user-name": USER,
        "display-name": USER,
        "access": "superuser",
        "date-created": created,
        "last-connection": _NOW,
    }


def users(session: Session, arguments: argparse.Namespace) -> int:
    """List the users: there is one."""
    user = _user(session)
    if arguments.format == "tabular":
        rows = [["Name", "Display name", "Access", "Date created", "Last connection"]]
        rows.append([f"{USER}*", USER, "superuser", user["date-created"], _NOW])
        text = f"Controller: {CONTROLLER}\n\n{table(rows)}"
    else:
        text = structured([user], arguments.format)
    emit(text, session.stdout, arguments.output)
    return 0


def show_user(session: Session, arguments: argparse.Namespace) -> int:
    """Show the user."""
    if arguments.args not in ([], [USER]):
        raise CommandError(f'user "{arguments.args[0]}" not found')
    emit(structured(_user(session), arguments.format), session.stdout, arguments.output)
    return 0


_CLOUD = {
    "type": "kubernetes",
    "description": "this machine",
    "defined": "built-in",
    "auth-types": [],
}


def clouds(session: Session, arguments: argparse.Namespace) -> int:
    """List the clouds: there is this machine."""
    rows = [["Cloud", "Regions", "Type", "Source", "Description"]]
    rows.append([CLOUD, "0", "kubernetes", "built-in", "this machine"])
    emit_table(rows, {CLOUD: _CLOUD}, arguments, session.stdout)
    return 0


def show_cloud(session: Session, arguments: argparse.Namespace) -> int:
    """Show the cloud."""
    if arguments.args not in ([], [CLOUD]):
        raise CommandError(f"cloud {arguments.args[0]} not found")
    document = {"name": CLOUD, **_CLOUD}
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def controller_option(parser: Parser) -> None:
    """The option that names the controller."""
    parser.add_argument(
        "-c", "--controller", choices=(CONTROLLER,), help=f"{CONTROLLER}, the only one"
    )


VERBS = (
    Verb(
        name="whoami",
        arguments="",
        summary="Print the controller, model and user.",
        example=("whoami",),
        run=whoami,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="users",
        arguments="",
        summary="List the users: there is one, who may do everything.",
        example=("users",),
        run=users,
        options=controller_option,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="show-user",
        arguments="[<user>]",
        summary="Show the user.",
        example=("show-user admin",),
        run=show_user,
        options=controller_option,
        maximum=1,
        model=False,
        formats=("yaml", "json"),
    ),
    Verb(
        name="clouds",
        arguments="",
        summary="List the clouds: there is one, this machine.",
        example=("clouds",),
        run=clouds,
        options=controller_option,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="show-cloud",
        arguments="[<cloud>]",
        summary="Show the cloud.",
        example=("show-cloud localhost",),
        run=show_cloud,
        options=controller_option,
        maximum=1,
        model=False,
        formats=("yaml", "json"),
    ),
)
