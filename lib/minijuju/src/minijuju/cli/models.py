"""Models: add, list, show, switch, destroy."""

from __future__ import annotations

import argparse
from typing import Any

from minijuju import constraints

from . import render
from .output import emit, structured
from .prompt import confirm
from .session import CONTROLLER, USER, Session
from .verb import CommandError, Parser, Verb, duration

RELEASE = "storage is folders of the controller's, which nobody else keeps: copy it first, by scp"


def add_model(session: Session, arguments: argparse.Namespace) -> int:
    """Add a model and, unless told otherwise, work in it from now on."""
    name = arguments.args[0]
    if arguments.controller not in (None, CONTROLLER):
        raise CommandError(f"controller {arguments.controller} not found")
    config = constraints.pairs(arguments.config, "--config")
    session.call("add_model", name=name, config=config)
    if not arguments.no_switch:
        session.set_current_model(name)
    session.say(f"Added '{name}' model on {CONTROLLER} for user '{USER}'")
    return 0


def models(session: Session, arguments: argparse.Namespace) -> int:
    """List the models."""
    listed = session.call("models")["models"]
    document: dict[str, Any] = {"models": listed}
    current = session.current_model()
    if current and any(model.get("short-name") == current for model in listed):
        document["current-model"] = current
    if arguments.format == "tabular":
        colour = session.colour and not arguments.output
        text = render.models(document, colour=colour, uuid=arguments.uuid)
    else:
        text = structured(document, arguments.format)
    emit(text, session.stdout, arguments.output)
    return 0


def _models(parser: Parser) -> None:
    add = parser.add_argument
    add("-c", "--controller", choices=(CONTROLLER,), help=f"{CONTROLLER}, the only one")
    add("--user", choices=(USER,), help=f"{USER}, the only one")
    add("--uuid", action="store_true", help="show the models' UUIDs too")
    # All models are the one user's, who is connected now.
    add("--all", action="store_true", help=argparse.SUPPRESS)
    add("--exact-time", action="store_true", help=argparse.SUPPRESS)


def show_model(session: Session, arguments: argparse.Namespace) -> int:
    """Show one model, or several."""
    wanted: list[str | None] = arguments.args or [arguments.model]
    document: dict[str, Any] = {}
    for reference in wanted:
        document.update(session.call("show_model", model=session.model(reference)))
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def switch(session: Session, arguments: argparse.Namespace) -> int:
    """Choose the model that commands mean, or say which one they do."""
    current = session.current_model()
    if not arguments.args:
        if current is None:
            raise CommandError("no currently specified model")
        print(f"{CONTROLLER}:{USER}/{current}", file=session.stdout)
        return 0
    wanted = arguments.args[0]
    if wanted.rstrip(":") == CONTROLLER and not session.known(wanted.rstrip(":")):
        name: str | None = None
    else:
        name = session.short_name(wanted)
        if not session.known(name):
            raise CommandError(f'"{wanted}" is not the name of a model or controller')
    session.set_current_model(name)

    def shown(model: str | None) -> str:
        return f"{CONTROLLER}:{USER}/{model}" if model else f"{CONTROLLER} (controller)"

    if name == current:
        session.say(f"{shown(current)} (no change)")
    else:
        session.say(f"{shown(current)} -> {shown(name)}")
    return 0


def destroy_model(session: Session, arguments: argparse.Namespace) -> int:
    """Destroy a model and everything in it."""
    name = session.short_name(arguments.args[0])
    status = session.call("status", model=name)
    stored = (status.get("storage") or {}).get("storage") or {}
    if stored and not (arguments.destroy_storage or arguments.force):
        raise CommandError(
            f'cannot destroy model "{name}"\n\nThe model has persistent storage remaining:\n'
            f"  {len(stored)} filesystem{'s' if len(stored) > 1 else ''}\n\n"
            "To destroy the storage, run the destroy-model command again with the "
            '"--destroy-storage" option.'
        )
    if arguments.no_wait and not arguments.force:
        raise CommandError("--no-wait without --force not valid")
    applications = ", ".join(status.get("applications") or {}) or "nothing"
    confirm(
        session,
        arguments,
        f"This command will destroy the model {name} with {applications} in it",
        answer=name,
    )
    session.call(
        "destroy_model",
        model=name,
        force=arguments.force,
        destroy_storage=arguments.destroy_storage or arguments.force,
        timeout=arguments.timeout,
    )
    if session.current_model() == name:
        session.set_current_model(None)
    session.say("Model destroyed.")
    return 0


def _add(parser: Parser) -> None:
    parser.add_argument("--no-switch", action="store_true", help="stay in the current model")
    parser.add_argument("-c", "--controller", help=f"{CONTROLLER}, the only one")
    parser.add_argument(
        "--config", action="append", default=[], metavar="KEY=VALUE", help="model configuration"
    )


def _destroy(parser: Parser) -> None:
    parser.add_argument("--no-prompt", action="store_true", help="do not ask")
    parser.add_argument("--destroy-storage", action="store_true", help="destroy its storage too")
    parser.add_argument("--force", action="store_true", help="ignore errors")
    parser.add_argument(
        "--no-wait", action="store_true", help="with --force: nothing is waited for on the way"
    )
    parser.add_argument(
        "-t", "--timeout", type=duration, metavar="TIME", help="how long to wait (default: 2m)"
    )


VERBS = (
    Verb(
        name="add-model",
        arguments="<model> [<cloud>]",
        summary="Add a model and switch to it.",
        example=("add-model toolkit",),
        run=add_model,
        options=_add,
        refused=(("--credential", "there are no credentials: the cloud is this machine"),),
        minimum=1,
        maximum=2,
        model=False,
    ),
    Verb(
        name="models",
        arguments="",
        summary="List the models; the current one has a star.",
        example=("models", "models --uuid"),
        run=models,
        options=_models,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="show-model",
        arguments="[<model> ...]",
        summary="Show a model's details.",
        example=("show-model toolkit --format json",),
        run=show_model,
        maximum=None,
        formats=("yaml", "json"),
    ),
    Verb(
        name="switch",
        arguments="[<model>]",
        summary="Choose the model that commands work in, or show it.",
        example=("switch toolkit",),
        run=switch,
        maximum=1,
        model=False,
    ),
    Verb(
        name="destroy-model",
        arguments="<model>",
        summary="Destroy a model with all its applications and, if told to, their storage.",
        example=("destroy-model toolkit --destroy-storage --no-prompt",),
        run=destroy_model,
        options=_destroy,
        minimum=1,
        maximum=1,
        model=False,
        refused=(("--release-storage", RELEASE),),
    ),
)
