"""What applications keep and are given: storage and resources."""

from __future__ import annotations

import argparse
from typing import Any

from . import render
from .deploy import read_resources
from .output import emit, emit_table, plain, structured
from .prompt import confirm
from .session import Session
from .verb import CommandError, Parser, Verb

POOLS: dict[str, dict[str, Any]] = {"kubernetes": {"provider": "kubernetes", "attrs": {}}}


def storage(session: Session, arguments: argparse.Namespace) -> int:
    """List storage, or the filesystems that it is on."""
    found: dict[str, Any] = session.call("storage", model=session.model(arguments.model))
    if arguments.filesystem:
        chosen = {"filesystems": found["filesystems"]} if found else {}
    else:
        chosen = found
    if arguments.format == "tabular":
        if not found:
            session.say("No storage to display.")
            return 0
        text = render.filesystems(found) if arguments.filesystem else render.storage(found)
    else:
        text = structured(chosen, arguments.format)
    emit(text, session.stdout, arguments.output)
    return 0


def show_storage(session: Session, arguments: argparse.Namespace) -> int:
    """Show storage."""
    found = session.call("storage", model=session.model(arguments.model)).get("storage", {})
    for name in arguments.args:
        if name not in found:
            raise CommandError(f'storage "{name}" not found')
    document = {name: found[name] for name in arguments.args}
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def remove_storage(session: Session, arguments: argparse.Namespace) -> int:
    """Destroy storage that no unit has."""
    model = session.model(arguments.model)
    confirm(session, arguments, f"This command will destroy {', '.join(arguments.args)}")
    session.call("remove_storage", model=model, storage=arguments.args)
    for name in arguments.args:
        session.say(f"removing {name}")
    return 0


def storage_pools(session: Session, arguments: argparse.Namespace) -> int:
    """List where storage can come from."""
    rows = [["Name", "Provider", "Attributes"]]
    rows += [[name, pool["provider"], ""] for name, pool in POOLS.items()]
    emit_table(rows, POOLS, arguments, session.stdout)
    return 0


def resources(session: Session, arguments: argparse.Namespace) -> int:
    """List the resources of an application."""
    application = arguments.args[0]
    found = session.call(
        "resources", model=session.model(arguments.model), application=application
    )
    if arguments.format == "tabular" and not found:
        session.say("No resources to display.")
        return 0
    columns = ("name", "origin", "type", "source", "description")
    rows = [["Resource", "Supplied by", "Type", "Source", "Description"]]
    rows += [[plain(entry[column]) for column in columns] for entry in found]
    emit_table(rows, {"resources": found}, arguments, session.stdout)
    return 0


def attach_resource(session: Session, arguments: argparse.Namespace) -> int:
    """Give an application another resource; its units get new pods."""
    application, word = arguments.args
    given = read_resources([word], session.charm_store())
    session.call(
        "refresh", model=session.model(arguments.model), application=application, resources=given
    )
    return 0


def _storage_options(parser: Parser) -> None:
    parser.add_argument("--filesystem", action="store_true", help="list filesystems")


def _no_prompt(parser: Parser) -> None:
    parser.add_argument("--no-prompt", action="store_true", help="do not ask")


VERBS = (
    Verb(
        name="storage",
        arguments="",
        summary="List a model's storage.",
        example=("storage", "storage --filesystem --format yaml"),
        run=storage,
        options=_storage_options,
        formats=("tabular", "json", "yaml"),
        unbuilt=("--volume",),
    ),
    Verb(
        name="show-storage",
        arguments="<storage> ...",
        summary="Show storage in detail.",
        example=("show-storage data/0",),
        run=show_storage,
        minimum=1,
        maximum=None,
        formats=("yaml", "json"),
    ),
    Verb(
        name="remove-storage",
        arguments="<storage> ...",
        summary="Destroy storage that no unit has any more.",
        details="A unit that goes leaves its storage behind, unless --destroy-storage is given.",
        example=("remove-storage data/0 --no-prompt",),
        run=remove_storage,
        options=_no_prompt,
        minimum=1,
        maximum=None,
        unbuilt=("--force", "--no-destroy"),
    ),
    Verb(
        name="storage-pools",
        arguments="",
        summary="List where storage can come from.",
        example=("storage-pools",),
        run=storage_pools,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="resources",
        arguments="<application>",
        summary="List the resources of an application.",
        example=("resources metadata",),
        run=resources,
        minimum=1,
        maximum=1,
        formats=("tabular", "json", "yaml"),
        unbuilt=("--details",),
    ),
    Verb(
        name="attach-resource",
        arguments="<application> <resource>=<path or image>",
        summary="Give an application another resource; every unit runs upgrade-charm.",
        example=("attach-resource metadata metadata-image=./images/metadata",),
        run=attach_resource,
        minimum=2,
        maximum=2,
    ),
)
