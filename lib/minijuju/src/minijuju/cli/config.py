"""`config`, `model-config` and `trust`."""

from __future__ import annotations

import argparse
from typing import Any

from .deploy import read_config
from .output import emit, plain, structured, table
from .session import Session
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
        session.call("model_config", model=model, set=read_config(sets, model), reset=reset)
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


VERBS = (
    Verb(
        name="config",
        arguments="<application> [<key>[=<value>] ...]",
        summary="Show or change an application's configuration.",
        details="key=@FILE reads the value from a file.",
        example=("config metadata log-level=debug", "config metadata --reset log-level"),
        run=config,
        options=_options,
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
        options=_options,
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
)
