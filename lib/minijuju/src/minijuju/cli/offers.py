"""Offers between models: make, list, show, consume and end them."""

from __future__ import annotations

import argparse
import re
from typing import Any

from .output import emit, emit_table, plain, structured, table
from .prompt import confirm
from .session import CONTROLLER, USER, Session
from .verb import CommandError, Parser, UsageError, Verb


def offer(session: Session, arguments: argparse.Namespace) -> int:
    """Offer endpoints of an application."""
    target, *rest = arguments.args
    place, separator, listed = target.partition(":")
    # A controller may stand before it: `ctl:model.app:endpoint`.
    if separator and ":" in listed and place == CONTROLLER:
        place, _, listed = listed.partition(":")
    endpoints = [name for name in listed.split(",") if name]
    if not endpoints:
        raise UsageError(
            f'endpoints must conform to format "<application-name>:<endpoint-name>"'
            f", got {target!r}"
        )
    model, separator, application = place.rpartition(".")
    reference = model if separator else None
    made = session.call(
        "offer",
        model=session.model(reference or arguments.model),
        application=application,
        endpoints=endpoints,
        name=rest[0] if rest else "",
    )
    shown = ", ".join(made["endpoints"])
    session.say(f'Application "{application}" endpoints [{shown}] available at "{made["url"]}"')
    return 0


def offers(session: Session, arguments: argparse.Namespace) -> int:
    """List the offers of a model with their connections."""
    found: dict[str, Any] = session.call("offers", model=session.model(arguments.model))
    if arguments.args:
        found = {name: one for name, one in found.items() if name in arguments.args}
    if arguments.interface:
        found = {
            name: one
            for name, one in found.items()
            if any(end["interface"] == arguments.interface for end in one["endpoints"].values())
        }
    if arguments.application:
        found = {
            name: one for name, one in found.items() if one["application"] == arguments.application
        }
    found = {name: one for name, one in found.items() if _wanted(one, arguments)}
    if arguments.format in ("json", "yaml"):
        text = structured(found, arguments.format)
    elif not found:
        session.say("No offers to display.")
        return 0
    elif arguments.format == "summary":
        text = _summary(found)
    else:
        text = _connections(found)
    emit(text, session.stdout, arguments.output)
    return 0


def _wanted(one: dict[str, Any], arguments: argparse.Namespace) -> bool:
    """Whether an offer is in use, and by whom, as asked for."""
    connections = one.get("connections") or []
    users = {connection["username"] for connection in connections}
    current = {connection["status"]["current"] for connection in connections}
    return (
        (not arguments.active_only or "joined" in current)
        and arguments.connected_user in (None, *users)
        # The one user may consume every offer.
        and arguments.allowed_consumer in (None, USER)
    )


def _summary(found: dict[str, Any]) -> str:
    rows = [["Offer", "Application", "Connected", "Store", "URL", "Endpoint", "Interface", "Role"]]
    for name, one in found.items():
        connected = str(len(one.get("connections") or []))
        for endpoint, end in one["endpoints"].items():
            rows.append(
                [
                    name,
                    one["application"],
                    connected,
                    one["store"],
                    one["offer-url"],
                    endpoint,
                    end["interface"],
                    end["role"],
                ]
            )
    return table(rows)


def _connections(found: dict[str, Any]) -> str:
    rows = [["Offer", "User", "Relation ID", "Status", "Endpoint", "Interface", "Role"]]
    for name, one in found.items():
        if not one.get("connections"):
            rows.append([name, "-", "", "", "", "", ""])
        for connection in one.get("connections") or []:
            end = one["endpoints"].get(connection["endpoint"], {})
            rows.append(
                [
                    name,
                    connection["username"],
                    str(connection["relation-id"]),
                    connection["status"]["current"],
                    connection["endpoint"],
                    end.get("interface", ""),
                    end.get("role", ""),
                ]
            )
    return table(rows)


def find_offers(session: Session, arguments: argparse.Namespace) -> int:
    """List the offers that can be consumed, of all models."""
    where, name = (arguments.args or [""])[0], arguments.offer or ""
    if arguments.url:
        where, _, name = arguments.url.rpartition(".")
    found = session.call(
        "find_offers",
        model=session.short_name(where) if where and where.rstrip(":") != CONTROLLER else "",
        offer=name,
        interface=arguments.interface or "",
    )
    if not found:
        raise CommandError("no matching application offers found")
    return _details(session, arguments, found)


def show_offer(session: Session, arguments: argparse.Namespace) -> int:
    """Show an offer."""
    return _details(session, arguments, session.call("show_offer", url=arguments.args[0]))


def _details(session: Session, arguments: argparse.Namespace, found: dict[str, Any]) -> int:
    rows = [["Store", "URL", "Access", "Endpoint", "Interface", "Role"]]
    for url, one in found.items():
        for endpoint, end in one["endpoints"].items():
            place = [CONTROLLER, url, one["access"]]
            rows.append([*place, plain(endpoint), end["interface"], end["role"]])
    document = {f"{CONTROLLER}:{url}": one for url, one in found.items()}
    emit_table(rows, document, arguments, session.stdout)
    return 0


def consume(session: Session, arguments: argparse.Namespace) -> int:
    """Add an offer of another model to this one."""
    url, *rest = arguments.args
    made = session.call(
        "consume",
        model=session.model(arguments.model),
        url=url,
        name=rest[0] if rest else "",
    )
    session.say(f"Added {CONTROLLER}:{made['url']} as {made['name']}")
    return 0


def remove_offer(session: Session, arguments: argparse.Namespace) -> int:
    """Offer endpoints no longer."""
    urls = [_address(session, arguments, word) for word in arguments.args]
    if arguments.force:
        confirm(
            session,
            arguments,
            "This command will remove offers and the relations that use them: " + ", ".join(urls),
        )
    session.call("remove_offer", urls=urls, force=arguments.force)
    return 0


def _address(session: Session, arguments: argparse.Namespace, word: str) -> str:
    """An offer's address; a bare name is one of the model that is worked in."""
    return word if "." in word else f"{session.model(arguments.model)}.{word}"


def remove_saas(session: Session, arguments: argparse.Namespace) -> int:
    """Consume offers no longer."""
    if arguments.no_wait and not arguments.force:
        raise CommandError("--no-wait without --force not valid")
    session.call(
        "remove_saas",
        model=session.model(arguments.model),
        names=arguments.args,
        force=arguments.force,
    )
    for name in arguments.args:
        session.say(f"removing SAAS application {name}")
    return 0


def suspend_relation(session: Session, arguments: argparse.Namespace) -> int:
    """Suspend relations that use an offer."""
    return _suspended(session, arguments, message=arguments.message or "")


def resume_relation(session: Session, arguments: argparse.Namespace) -> int:
    """Resume relations that are suspended."""
    return _suspended(session, arguments, suspended=False)


def _suspended(
    session: Session, arguments: argparse.Namespace, *, suspended: bool = True, message: str = ""
) -> int:
    ids = []
    for word in (part for text in arguments.args for part in text.split(",")):
        if not re.fullmatch(r"[0-9]{1,9}", word):
            raise UsageError(f'relation ID "{word}" not valid')
        ids.append(int(word))
    session.call(
        "suspend_relation",
        model=session.model(arguments.model),
        ids=ids,
        suspended=suspended,
        message=message,
    )
    return 0


def _remove_saas(parser: Parser) -> None:
    parser.add_argument("--force", action="store_true", help="whatever state its relations are in")
    parser.add_argument(
        "--no-wait", action="store_true", help="with --force: nothing is waited for on the way"
    )


def _message(parser: Parser) -> None:
    parser.add_argument("--message", metavar="TEXT", help="why, as the status says it")


def _controller(parser: Parser) -> None:
    parser.add_argument(
        "-c", "--controller", choices=(CONTROLLER,), help=f"{CONTROLLER}, the only one"
    )


def _offers(parser: Parser) -> None:
    parser.add_argument("--interface", metavar="NAME", help="only with this interface")
    parser.add_argument("--application", metavar="NAME", help="only of this application")
    parser.add_argument("--active-only", action="store_true", help="only those that are in use")
    parser.add_argument("--connected-user", metavar="USER", help="only those that this one uses")
    parser.add_argument("--allowed-consumer", metavar="USER", help="only what this one may use")


def _find(parser: Parser) -> None:
    parser.add_argument("--interface", metavar="NAME", help="only with this interface")
    parser.add_argument("--offer", metavar="NAME", help="only of this name")
    parser.add_argument("--url", metavar="URL", help="only at this address")


def _remove(parser: Parser) -> None:
    parser.add_argument("--force", action="store_true", help="with the relations that use it")
    parser.add_argument("-y", "--yes", "--no-prompt", action="store_true", dest="no_prompt")


VERBS = (
    Verb(
        name="offer",
        arguments="[<model>.]<application>:<endpoint>[,<endpoint> ...] [<offer>]",
        summary="Offer endpoints of an application to other models.",
        example=("offer database:db", "offer prod.database:db,admin storage"),
        run=offer,
        options=_controller,
        minimum=1,
        maximum=2,
    ),
    Verb(
        name="offers",
        arguments="[<offer> ...]",
        summary="List the offers of a model, and who uses them.",
        example=("offers", "offers --format summary"),
        run=offers,
        options=_offers,
        maximum=None,
        formats=("tabular", "summary", "json", "yaml"),
    ),
    Verb(
        name="find-offers",
        arguments="[<model>]",
        summary="List the offers of all models, or of one.",
        example=("find-offers --interface pgsql",),
        run=find_offers,
        options=_find,
        maximum=1,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="show-offer",
        arguments="<offer's address>",
        summary="Show an offer.",
        example=("show-offer admin/prod.storage",),
        run=show_offer,
        minimum=1,
        maximum=1,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="consume",
        arguments="<offer's address> [<name>]",
        summary="Add an offer of another model to this one, to be integrated with.",
        example=("consume admin/prod.storage", "consume prod.storage db"),
        run=consume,
        minimum=1,
        maximum=2,
    ),
    Verb(
        name="remove-offer",
        arguments="<offer's address> ...",
        summary="Offer endpoints no longer.",
        example=("remove-offer admin/prod.storage --force --yes",),
        run=remove_offer,
        options=_remove,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="suspend-relation",
        arguments="<relation's number>[,<relation's number> ...]",
        summary="Suspend relations that use an offer of this model, until they are resumed.",
        details="The units at both sides leave the relation, and join it again when it is resumed;"
        " `offers` prints the numbers.",
        example=("suspend-relation 3", 'suspend-relation 3 4 --message "reconfiguring"'),
        run=suspend_relation,
        options=_message,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="resume-relation",
        arguments="<relation's number>[,<relation's number> ...]",
        summary="Resume relations that are suspended.",
        example=("resume-relation 3",),
        run=resume_relation,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="remove-saas",
        arguments="<name> ...",
        summary="Consume offers no longer; relations with them go.",
        example=("remove-saas storage",),
        run=remove_saas,
        options=_remove_saas,
        minimum=1,
        maximum=None,
    ),
)
