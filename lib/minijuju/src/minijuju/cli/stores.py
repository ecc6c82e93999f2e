"""What applications keep and are given: storage and resources."""

from __future__ import annotations

import argparse
from typing import Any

from minijuju.constraints import POOL

from . import render
from .deploy import read_resources
from .output import emit, emit_table, plain, structured
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb

POOLS: dict[str, dict[str, Any]] = {POOL: {"provider": POOL, "attrs": {}}}


def storage(session: Session, arguments: argparse.Namespace) -> int:
    """List storage, or the filesystems that it is on."""
    found: dict[str, Any] = session.call("storage", model=session.model(arguments.model))
    if arguments.filesystem and arguments.volume:
        raise UsageError("--filesystem and --volume can not be used together")
    if arguments.volume:
        # All storage of Kubernetes' is of filesystems here.
        found = {}
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
    application, separator, _ = arguments.args[0].partition("/")
    model = session.model(arguments.model)
    if separator:
        session.call("show_unit", model=model, units=arguments.args)
    found = session.call("resources", model=model, application=application)
    if arguments.details:
        return _resource_details(session, arguments, model, application, found)
    if arguments.format == "tabular" and not found:
        session.say("No resources to display.")
        return 0
    columns = ("name", "origin", "type", "source", "description")
    rows = [["Resource", "Supplied by", "Type", "Source", "Description"]]
    rows += [[plain(entry[column]) for column in columns] for entry in found]
    emit_table(rows, {"resources": found}, arguments, session.stdout)
    return 0


def _resource_details(
    session: Session,
    arguments: argparse.Namespace,
    model: str,
    application: str,
    found: list[dict[str, Any]],
) -> int:
    """What each unit has: they have the same, since every change gives them new pods."""
    members = (session.call("status", model=model)["applications"][application]).get("units") or {}
    units = [name for name in members if "/" not in arguments.args[0] or name in arguments.args]
    given = [entry for entry in found if entry["origin"]]
    rows = [["Unit", "Resource", "Type", "Source"]]
    rows += [
        [unit, plain(entry["name"]), entry["type"], plain(entry["source"])]
        for unit in units
        for entry in given
    ]
    document = {"resources": found, "units": dict.fromkeys(units, given)}
    emit_table(rows, document, arguments, session.stdout)
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
    parser.add_argument("--volume", action="store_true", help="list volumes: there are none")


def _resources(parser: Parser) -> None:
    parser.add_argument("--details", action="store_true", help="what each unit has")


VERBS = (
    Verb(
        name="storage",
        arguments="",
        summary="List a model's storage.",
        example=("storage", "storage --filesystem --format yaml"),
        run=storage,
        options=_storage_options,
        formats=("tabular", "json", "yaml"),
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
        example=("remove-storage data/0",),
        run=remove_storage,
        minimum=1,
        maximum=None,
        refused=(
            ("--force", "forced detachment of storage on container models not supported"),
            ("--no-destroy", "storage is a folder of the controller's: copy what is to be kept"),
        ),
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
        arguments="<application or unit>",
        summary="List the resources of an application.",
        example=("resources metadata", "resources metadata/0 --details"),
        run=resources,
        options=_resources,
        minimum=1,
        maximum=1,
        formats=("tabular", "json", "yaml"),
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
