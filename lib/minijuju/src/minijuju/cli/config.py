"""Settings: configuration, constraints, trust and exposing."""

from __future__ import annotations

import argparse
from typing import Any

from minijuju.constraints import parse, render

from .output import emit, emit_table, plain, structured, table
from .session import CLOUD, Session
from .settings import read_config
from .verb import CommandError, Parser, Verb, names


def _options(parser: Parser) -> None:
    parser.add_argument(
        "--reset",
        action="append",
        default=[],
        type=names,
        metavar="KEY,...",
        help="back to the default (repeatable)",
    )
    parser.add_argument("--file", metavar="FILE", help="a YAML file of settings")


def config(session: Session, arguments: argparse.Namespace) -> int:
    """Show or change an application's configuration."""
    application, *words = arguments.args
    model = session.model(arguments.model)
    reset = [key for group in arguments.reset for key in group]
    sets = [word for word in words if "=" in word]
    keys = [word for word in words if "=" not in word]
    if arguments.file:
        sets.insert(0, arguments.file)
    if keys and (sets or reset):
        raise CommandError("cannot get and set, or get and reset, configuration together")
    if sets or reset:
        settings = read_config(sets, application)
        both = sorted(set(settings) & set(reset))
        if both:
            raise CommandError(f'key "{both[0]}" cannot be both set and reset')
        session.call(
            "config_set", model=model, application=application, settings=settings, reset=reset
        )
        return 0
    document = session.call("config_get", model=model, application=application)
    if len(keys) > 1:
        raise CommandError("can only retrieve a single value, or all values")
    if keys:
        return _one(session, arguments, document, keys[0], application)
    emit(_config(document, arguments.format), session.stdout, arguments.output)
    return 0


def _config(document: dict[str, Any], form: str) -> str:
    return structured(document, form)


def _one(
    session: Session,
    arguments: argparse.Namespace,
    document: dict[str, Any],
    key: str,
    application: str,
) -> int:
    found = document.get("settings", {}).get(key) or document.get("application-config", {}).get(
        key
    )
    if found is None:
        raise CommandError(
            f'key "{key}" not found in "{application}" application config or charm settings'
        )
    value = found.get("value", found.get("default"))
    if arguments.format == "json":
        text = structured(value, "json")
    else:
        shown = "true" if value is True else "false" if value is False else value
        text = "" if value is None else f"{shown}\n"
    emit(text, session.stdout, arguments.output)
    return 0


def model_config(session: Session, arguments: argparse.Namespace) -> int:
    """Show or change a model's configuration."""
    model = session.model(arguments.model)
    reset = [key for group in arguments.reset for key in group]
    sets = [word for word in arguments.args if "=" in word]
    keys = [word for word in arguments.args if "=" not in word]
    if arguments.file:
        sets.insert(0, arguments.file)
    if keys and (sets or reset):
        raise CommandError("cannot get and set, or get and reset, configuration together")
    if sets or reset:
        given = read_config(sets, model)
        if arguments.ignore_read_only_fields:
            from minijuju.models import FIXED

            given = {key: value for key, value in given.items() if key not in FIXED}
        session.call("model_config", model=model, set=given, reset=reset)
        return 0
    document = session.call("model_config", model=model)
    if len(keys) > 1:
        raise CommandError("can only retrieve a single value, or all values")
    if keys:
        if keys[0] not in document:
            raise CommandError(f'key "{keys[0]}" not found in "{model}" model')
        value = document[keys[0]].get("Value")
        shown = (
            {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
        )
        text = structured(value, "json") if arguments.format == "json" else f"{shown}\n"
        emit(text, session.stdout, arguments.output)
        return 0
    if arguments.format == "tabular":
        rows = [["Attribute", "From", "Value"]]
        rows += [
            [key, entry.get("Source", ""), plain(_scalar(entry.get("Value")))]
            for key, entry in sorted(document.items())
        ]
        emit(table(rows), session.stdout, arguments.output)
        return 0
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _trust_options(parser: Parser) -> None:
    parser.add_argument("--remove", action="store_true", help="take the trust away again")
    parser.add_argument("--scope", choices=("cluster",), help="what it is trusted with")


def trust(session: Session, arguments: argparse.Namespace) -> int:
    """Trust an application with the cluster, or no longer."""
    model = session.model(arguments.model)
    if not arguments.remove and arguments.scope is None:
        raise CommandError(
            "'cluster' scope must be provided: on Kubernetes, trust gives the charm full access "
            f"to the cluster; if that is meant: {session.program} trust {arguments.args[0]} "
            "--scope=cluster"
        )
    session.call("trust", model=model, application=arguments.args[0], remove=arguments.remove)
    return 0


def _defaults(parser: Parser) -> None:
    _options(parser)
    parser.add_argument("--cloud", choices=(CLOUD,), help=f"{CLOUD}, the only one")


def _colours(parser: Parser) -> None:
    _options(parser)
    # Nothing of it is coloured.
    parser.add_argument("--color", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--no-color", action="store_true", help=argparse.SUPPRESS)


def _model_options(parser: Parser) -> None:
    _colours(parser)
    parser.add_argument(
        "--ignore-read-only-fields",
        action="store_true",
        help="leave out what cannot be changed, as of a file that was printed",
    )


def model_defaults(session: Session, arguments: argparse.Namespace) -> int:
    """Show or change what models that are added get."""
    words = list(arguments.args)
    reset = [key for group in arguments.reset for key in group]
    sets = [word for word in words if "=" in word]
    keys = [word for word in words if "=" not in word]
    if arguments.file:
        sets.insert(0, arguments.file)
    if keys and (sets or reset):
        raise CommandError("cannot get and set, or get and reset, defaults together")
    values = read_config(sets, "") if sets else {}
    document = session.call("model_defaults", set=values, reset=reset)
    if sets or reset:
        return 0
    if keys:
        if len(keys) > 1:
            raise CommandError("can only retrieve defaults for one key or all")
        if keys[0] not in document:
            raise CommandError(f'there are no default model values for "{keys[0]}"')
        document = {keys[0]: document[keys[0]]}
    rows = [["Attribute", "Default", "Controller"]]
    rows += [
        [key, *(plain(_scalar(entry.get(source, "-"))) for source in ("default", "controller"))]
        for key, entry in document.items()
    ]
    emit_table(rows, document, arguments, session.stdout)
    return 0


def constraints(session: Session, arguments: argparse.Namespace) -> int:
    """Show an application's constraints."""
    application = arguments.args[0]
    shown = session.call(
        "show_application", model=session.model(arguments.model), applications=[application]
    )
    return _print_constraints(
        session, arguments, render(dict(shown[application].get("constraints") or {}))
    )


def model_constraints(session: Session, arguments: argparse.Namespace) -> int:
    """Show a model's constraints."""
    text = session.call("model_constraints", model=session.model(arguments.model))
    return _print_constraints(session, arguments, text)


def _print_constraints(session: Session, arguments: argparse.Namespace, text: str) -> int:
    if arguments.format != "constraints":
        emit(structured(parse(text), arguments.format), session.stdout, arguments.output)
    elif text:
        emit(f"{text}\n", session.stdout, arguments.output)
    return 0


def set_constraints(session: Session, arguments: argparse.Namespace) -> int:
    """Replace an application's constraints."""
    application, *words = arguments.args
    session.call(
        "set_constraints",
        model=session.model(arguments.model),
        application=application,
        constraints=render(parse(*words)),
    )
    return 0


def set_model_constraints(session: Session, arguments: argparse.Namespace) -> int:
    """Replace a model's constraints."""
    session.call(
        "set_model_constraints",
        model=session.model(arguments.model),
        constraints=render(parse(*arguments.args)),
    )
    return 0


def expose(session: Session, arguments: argparse.Namespace) -> int:
    """Note that an application shall be reachable from outside."""
    session.call("expose", model=session.model(arguments.model), application=arguments.args[0])
    return 0


def unexpose(session: Session, arguments: argparse.Namespace) -> int:
    """Take that back."""
    session.call("unexpose", model=session.model(arguments.model), application=arguments.args[0])
    return 0


_NO_FIREWALL = "an exposed application is no more than marked so: no firewall stands in between"
_CONSTRAINTS = "They are kept, shown and exported; nothing is limited by them on this machine."

VERBS = (
    Verb(
        name="config",
        arguments="<application> [<key>[=<value>] ...]",
        summary="Show or change an application's configuration.",
        details="key=@FILE reads the value from a file.",
        example=("config metadata log-level=debug", "config metadata --reset log-level"),
        run=config,
        options=_colours,
        minimum=1,
        maximum=None,
        formats=("yaml", "json"),
    ),
    Verb(
        name="model-config",
        arguments="[<key>[=<value>] ...]",
        summary="Show or change a model's configuration.",
        example=("model-config update-status-hook-interval=1m",),
        run=model_config,
        options=_model_options,
        maximum=None,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="trust",
        arguments="<application>",
        summary="Trust an application with full access to the cluster.",
        example=("trust pipelines --scope=cluster",),
        run=trust,
        options=_trust_options,
        minimum=1,
        maximum=1,
    ),
    Verb(
        name="model-defaults",
        arguments="[<key>[=<value>] ...]",
        summary="Show or change the configuration that models begin with.",
        details="Models that are there stay as they are.",
        example=(
            "model-defaults update-status-hook-interval=1m",
            "model-defaults --reset update-status-hook-interval",
        ),
        run=model_defaults,
        options=_defaults,
        maximum=None,
        model=False,
        formats=("tabular", "json", "yaml"),
        refused=(("--region", "the cloud of this machine has no regions"),),
    ),
    Verb(
        name="constraints",
        arguments="<application>",
        summary="Show the constraints of an application.",
        details=_CONSTRAINTS,
        example=("constraints metadata",),
        run=constraints,
        minimum=1,
        maximum=1,
        formats=("constraints", "json", "yaml"),
    ),
    Verb(
        name="set-constraints",
        arguments="<application> [<constraint>=<value> ...]",
        summary="Replace the constraints of an application.",
        details=_CONSTRAINTS,
        example=("set-constraints metadata mem=4G cores=2",),
        run=set_constraints,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="model-constraints",
        arguments="",
        summary="Show what constraints a model gives its applications.",
        details=_CONSTRAINTS,
        example=("model-constraints",),
        run=model_constraints,
        formats=("constraints", "json", "yaml"),
    ),
    Verb(
        name="set-model-constraints",
        arguments="[<constraint>=<value> ...]",
        summary="Replace what constraints a model gives applications that are deployed.",
        details=_CONSTRAINTS,
        example=("set-model-constraints mem=4G",),
        run=set_model_constraints,
        maximum=None,
    ),
    Verb(
        name="expose",
        arguments="<application>",
        summary="Mark an application as one to be reached from outside.",
        details="It needs its juju-external-hostname; there is no ingress that would be made.",
        example=("expose metadata",),
        run=expose,
        minimum=1,
        maximum=1,
        refused=tuple(
            (flag, _NO_FIREWALL) for flag in ("--endpoints", "--to-cidrs", "--to-spaces")
        ),
    ),
    Verb(
        name="unexpose",
        arguments="<application>",
        summary="Take that mark away.",
        example=("unexpose metadata",),
        run=unexpose,
        minimum=1,
        maximum=1,
        refused=(("--endpoints", _NO_FIREWALL),),
    ),
)
