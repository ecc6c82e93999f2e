"""Relations, units and the end of applications."""

from __future__ import annotations

import argparse
import ipaddress
import re

from .prompt import confirm
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb, count

_UNIT = re.compile(r"[a-z][a-z0-9-]*/(0|[1-9][0-9]*)")


def integrate(session: Session, arguments: argparse.Namespace) -> int:
    """Relate two applications."""
    if arguments.via:
        _check_via(arguments)
    session.call("integrate", model=session.model(arguments.model), endpoints=arguments.args)
    return 0


def _check_via(arguments: argparse.Namespace) -> None:
    """See that `--via` names subnets, for an offer; on one machine nothing comes of them."""
    for subnet in (text.strip() for text in arguments.via.split(",")):
        try:
            ipaddress.ip_network(subnet)
        except ValueError:
            raise UsageError(f"invalid CIDR address: {subnet}") from None
    if not any("." in word.partition(":")[0] for word in arguments.args):
        raise UsageError(
            "the --via option can only be used when integrating to offers in a different model"
        )


def remove_relation(session: Session, arguments: argparse.Namespace) -> int:
    """Remove the relation of two applications, or that of a number."""
    if len(arguments.args) == 1 and not re.fullmatch(r"[0-9]{1,9}", arguments.args[0]):
        raise UsageError("a relation must involve two applications")
    session.call(
        "remove_relation",
        model=session.model(arguments.model),
        endpoints=arguments.args,
        force=arguments.force,
    )
    return 0


def add_unit(session: Session, arguments: argparse.Namespace) -> int:
    """Add units to an application."""
    if arguments.num_units < 1:
        raise CommandError("must add at least one unit")
    session.call(
        "add_unit",
        model=session.model(arguments.model),
        application=arguments.args[0],
        count=arguments.num_units,
    )
    return 0


def remove_unit(session: Session, arguments: argparse.Namespace) -> int:
    """Remove units: as many as asked for, the highest first."""
    model = session.model(arguments.model)
    units = [word for word in arguments.args if "/" in word]
    _check_wait(arguments)
    common = {
        "model": model,
        "destroy_storage": arguments.destroy_storage,
        "force": arguments.force,
    }
    if units:
        raise CommandError(
            "Kubernetes models only support --num-units: their units are not removed by name "
            f"(try: {session.program} remove-unit {units[0].partition('/')[0]} --num-units 1)"
        )
    if len(arguments.args) > 1:
        raise CommandError("only a single application is accepted")
    if arguments.num_units is not None and arguments.num_units < 1:
        raise CommandError("--num-units must be at least 1")
    wanted = arguments.num_units or 1
    application = arguments.args[0]
    if arguments.dry_run:
        members = _units_of(session, model, application)
        for unit in sorted(members, key=lambda name: -int(name.rpartition("/")[2]))[:wanted]:
            session.say(f"will remove unit {unit}")
        return 0
    confirm(
        session,
        arguments,
        f"This command will remove {wanted} unit{'s' if wanted > 1 else ''} of {application}",
    )
    session.call("remove_unit", application=application, count=wanted, **common)
    return 0


def _check_wait(arguments: argparse.Namespace) -> None:
    if arguments.no_wait and not arguments.force:
        raise CommandError("--no-wait without --force not valid")


def _units_of(session: Session, model: str, application: str) -> list[str]:
    applications = session.call("status", model=model).get("applications") or {}
    if application not in applications:
        raise CommandError(f'application "{application}" not found')
    return list(applications[application].get("units") or {})


def scale_application(session: Session, arguments: argparse.Namespace) -> int:
    """Set how many units an application has."""
    application, scale = arguments.args
    if not re.fullmatch(r"[0-9]{1,6}", scale):
        raise CommandError(f'invalid scale "{scale}": expected a whole number, zero or more')
    model = session.model(arguments.model)
    session.call("scale_application", model=model, application=application, scale=int(scale))
    session.say(f"{application} scaled to {int(scale)} units")
    return 0


def remove_application(session: Session, arguments: argparse.Namespace) -> int:
    """Remove applications with their units."""
    model = session.model(arguments.model)
    _check_wait(arguments)
    if arguments.dry_run:
        for name in arguments.args:
            session.say(f"will remove application {name}")
            for unit in _units_of(session, model, name):
                session.say(f"- will remove unit {unit}")
        return 0
    confirm(session, arguments, f"This command will remove {', '.join(arguments.args)}")
    session.call(
        "remove_application",
        model=model,
        applications=arguments.args,
        destroy_storage=arguments.destroy_storage,
        force=arguments.force,
    )
    for name in arguments.args:
        session.say(f"will remove application {name}")
    return 0


def resolved(session: Session, arguments: argparse.Namespace) -> int:
    """Let units whose hook failed go on."""
    model = session.model(arguments.model)
    units = list(arguments.args)
    if arguments.all == bool(units):
        raise CommandError("name the units, or say --all")
    if arguments.all:
        applications = session.call("status", model=model).get("applications") or {}
        units = [
            name
            for application in applications.values()
            for name, unit in (application.get("units") or {}).items()
            if (unit.get("workload-status") or {}).get("current") == "error"
        ]
        if not units:
            session.say("No unit is in error.")
            return 0
    for unit in units:
        if not _UNIT.fullmatch(unit):
            raise CommandError(f'invalid unit name "{unit}"')
    session.call("resolved", model=model, units=units, retry=not arguments.no_retry)
    return 0


def _via(parser: Parser) -> None:
    parser.add_argument(
        "--via", metavar="CIDR,...", help="where an offer's traffic comes from; it changes nothing"
    )


def _force(parser: Parser) -> None:
    parser.add_argument("--force", action="store_true", help="whatever state it is in")


def _removal(parser: Parser) -> None:
    _force(parser)
    parser.add_argument("--no-prompt", action="store_true", help="do not ask")
    parser.add_argument("--destroy-storage", action="store_true", help="destroy its storage too")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, change nothing")
    parser.add_argument(
        "--no-wait", action="store_true", help="with --force: nothing is waited for on the way"
    )


def _units(parser: Parser) -> None:
    parser.add_argument("-n", "--num-units", type=count, default=1, metavar="N", help="how many")


def _remove_units(parser: Parser) -> None:
    _removal(parser)
    parser.add_argument("--num-units", type=count, metavar="N", help="how many (default: 1)")


def _resolved(parser: Parser) -> None:
    parser.add_argument("--no-retry", action="store_true", help="skip the hook that failed")
    parser.add_argument("--all", action="store_true", help="every unit in error")


VERBS = (
    Verb(
        name="integrate",
        arguments="<application>[:<endpoint>] <application>[:<endpoint>]",
        summary="Integrate two applications: make a relation between them.",
        example=("integrate pipelines:metadata metadata",),
        run=integrate,
        minimum=2,
        maximum=2,
        options=_via,
    ),
    Verb(
        name="remove-relation",
        arguments="<application>[:<endpoint>] <application>[:<endpoint>] | <relation's number>",
        summary="Remove the relation between two applications.",
        example=("remove-relation pipelines metadata", "remove-relation 4"),
        run=remove_relation,
        options=_force,
        minimum=1,
        maximum=2,
    ),
    Verb(
        name="add-unit",
        arguments="<application>",
        summary="Add one or more units to an application.",
        example=("add-unit metadata -n 2",),
        run=add_unit,
        options=_units,
        minimum=1,
        maximum=1,
        refused=(
            ("--attach-storage", "Kubernetes models only support --num-units"),
            ("--to", "Kubernetes models only support --num-units"),
        ),
    ),
    Verb(
        name="remove-unit",
        arguments="<application>",
        summary="Remove units of an application, the highest numbers first.",
        example=("remove-unit metadata --num-units 2 --no-prompt",),
        run=remove_unit,
        options=_remove_units,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="scale-application",
        arguments="<application> <scale>",
        summary="Set how many units an application has.",
        example=("scale-application metadata 3",),
        run=scale_application,
        minimum=2,
        maximum=2,
    ),
    Verb(
        name="remove-application",
        arguments="<application> ...",
        summary="Remove applications with their units and relations.",
        example=("remove-application metadata --destroy-storage --no-prompt",),
        run=remove_application,
        options=_removal,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="resolved",
        arguments="[<unit> ...]",
        summary="Run a failed hook again now, or skip it.",
        example=("resolved metadata/0", "resolved --all --no-retry"),
        run=resolved,
        options=_resolved,
        maximum=None,
    ),
)
