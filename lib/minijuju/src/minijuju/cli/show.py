"""`show-unit`, `show-application`, `secrets`, `show-secret`: details as documents."""

from __future__ import annotations

import argparse
from typing import Any

from minijuju.text import valid

from .output import emit, plain, structured, table
from .session import Session
from .verb import CommandError, Parser, Verb, count


def show_unit(session: Session, arguments: argparse.Namespace) -> int:
    """Show units with the data of their relations."""
    document = session.call(
        "show_unit", model=session.model(arguments.model), units=arguments.args
    )
    if arguments.app:
        for unit in document.values():
            for relation in unit.get("relation-info") or []:
                relation.pop("local-unit", None)
                relation.pop("related-units", None)
    if arguments.endpoint:
        for unit in document.values():
            unit["relation-info"] = [
                relation
                for relation in unit.get("relation-info") or []
                if relation.get("endpoint") == arguments.endpoint
            ]
    if arguments.related_unit:
        for unit in document.values():
            unit["relation-info"] = [
                {**relation, "related-units": {arguments.related_unit: related}}
                for relation in unit.get("relation-info") or []
                if (related := (relation.get("related-units") or {}).get(arguments.related_unit))
            ]
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def show_application(session: Session, arguments: argparse.Namespace) -> int:
    """Show applications."""
    document = session.call(
        "show_application", model=session.model(arguments.model), applications=arguments.args
    )
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def secrets(session: Session, arguments: argparse.Namespace) -> int:
    """List secrets, never their content."""
    document: dict[str, Any] = session.call(
        "secrets", model=session.model(arguments.model), owner=arguments.owner
    )
    if arguments.format != "tabular":
        text = structured(document, arguments.format)
    else:
        rows = [["ID", "Name", "Owner", "Rotation", "Revision", "Last updated"]]
        rows += [
            [
                identifier,
                plain(entry.get("name") or entry.get("label") or "-"),
                entry.get("owner", ""),
                entry.get("rotation", "never"),
                str(entry.get("revision", "")),
                entry.get("updated", ""),
            ]
            for identifier, entry in document.items()
        ]
        text = table(rows) if document else ""
        if not document:
            session.say("No secrets to display.")
    emit(text, session.stdout, arguments.output)
    return 0


def show_secret(session: Session, arguments: argparse.Namespace) -> int:
    """Show a secret; its content only when asked to."""
    if arguments.revisions and (arguments.reveal or arguments.revision is not None):
        raise CommandError("specify either --revisions or --reveal and --revision, not both")
    document = session.call(
        "show_secret",
        model=session.model(arguments.model),
        secret=arguments.args[0],
        reveal=arguments.reveal,
        revision=arguments.revision,
        revisions=arguments.revisions,
    )
    for secret in document.values():
        if data := secret.get("content", {}).get("Data"):
            # JSON and YAML alike mark what is no text.
            secret["content"]["Data"] = {key: valid(value) for key, value in data.items()}
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def _unit(parser: Parser) -> None:
    parser.add_argument("--app", action="store_true", help="only the applications' data")
    parser.add_argument("--endpoint", metavar="NAME", help="only relations of this endpoint")
    parser.add_argument("--related-unit", metavar="UNIT", help="only relations with this unit")


def _secrets(parser: Parser) -> None:
    parser.add_argument("--owner", metavar="OWNER", help="only those of this owner")


def _secret(parser: Parser) -> None:
    parser.add_argument("--reveal", action="store_true", help="show the content")
    parser.add_argument("-r", "--revision", type=count, metavar="N", help="this revision")
    parser.add_argument("--revisions", action="store_true", help="list the revisions")


VERBS = (
    Verb(
        name="show-unit",
        arguments="<unit> ...",
        summary="Show units, with the data of their relations.",
        example=("show-unit metadata/0",),
        run=show_unit,
        options=_unit,
        minimum=1,
        maximum=None,
        formats=("yaml", "json"),
    ),
    Verb(
        name="show-application",
        arguments="<application> ...",
        summary="Show applications.",
        example=("show-application metadata",),
        run=show_application,
        minimum=1,
        maximum=None,
        formats=("yaml", "json"),
    ),
    Verb(
        name="secrets",
        arguments="",
        summary="List the secrets of a model.",
        example=("secrets --owner metadata",),
        run=secrets,
        options=_secrets,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="show-secret",
        arguments="<secret>",
        summary="Show a secret's details and, if told to, its content.",
        example=("show-secret secret:9m4e2mr0ui3e8a215n4g --reveal",),
        run=show_secret,
        options=_secret,
        minimum=1,
        maximum=1,
        formats=("yaml", "json"),
    ),
)
