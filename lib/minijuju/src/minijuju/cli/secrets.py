"""`add-secret` and its kin: the secrets that a user gives to applications."""

from __future__ import annotations

import argparse
import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

import yaml

from minijuju import documents, text

from .session import Session
from .verb import CommandError, Parser, Verb, count

_MOST = 2 * 1024 * 1024
"""Bytes of a file that are read: more than a secret may hold."""


def add_secret(session: Session, arguments: argparse.Namespace) -> int:
    """Add a secret and print its URI."""
    name, *items = arguments.args
    uri = session.call(
        "add_secret",
        model=session.model(arguments.model),
        name=name,
        content=content(items, arguments.file),
        info=arguments.info or "",
    )
    session.stdout.write(f"{uri}\n")
    return 0


def update_secret(session: Session, arguments: argparse.Namespace) -> int:
    """Change a secret."""
    secret, *items = arguments.args
    found = content(items, arguments.file)
    session.call(
        "update_secret",
        model=session.model(arguments.model),
        secret=secret,
        content=found or None,
        name=arguments.name,
        info=arguments.info,
        auto_prune=arguments.auto_prune,
    )
    return 0


def grant_secret(session: Session, arguments: argparse.Namespace) -> int:
    """Let applications read a secret."""
    return _access(session, arguments, "grant_secret")


def revoke_secret(session: Session, arguments: argparse.Namespace) -> int:
    """Take that back."""
    return _access(session, arguments, "revoke_secret")


def _access(session: Session, arguments: argparse.Namespace, method: str) -> int:
    secret, *words = arguments.args
    names = [name for word in words for name in word.split(",") if name]
    session.call(method, model=session.model(arguments.model), secret=secret, applications=names)
    return 0


def remove_secret(session: Session, arguments: argparse.Namespace) -> int:
    """Remove a secret or one of its revisions."""
    session.call(
        "remove_secret",
        model=session.model(arguments.model),
        secret=arguments.args[0],
        revision=arguments.revision,
    )
    return 0


def content(items: Sequence[str], file: str | None) -> dict[str, str]:
    """Read `key=value`, `key#base64=value` and `key#file=path`, and a file of YAML beside them.

    Raises:
        CommandError: one cannot be read; values are not quoted.
    """
    found: dict[str, str] = {}
    if file is not None:
        try:
            written = documents.read_bytes(Path(file), _MOST).decode()
            data = yaml.load(written, yaml.BaseLoader)  # noqa: S506 - only text
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise CommandError(f"cannot read {file}: {type(error).__name__}") from error
        if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
            raise CommandError(f"{file}: expected a mapping of keys to text")
        items = [*(f"{key}={value}" for key, value in data.items()), *items]
    for item in items:
        key, mark, value = item.partition("=")
        name, coded, coding = key.partition("#")
        if not mark or not name:
            raise CommandError(f"expected key=value, got {key!r}")
        try:
            if coding == "file":
                value = text.from_bytes(documents.read_bytes(Path(value), _MOST))
            elif coding == "base64":
                value = text.from_bytes(base64.b64decode(value, validate=True))
            elif coded:
                raise CommandError(f'key "{key}" not valid')
        except binascii.Error as error:
            raise CommandError(f'value of key "{name}" cannot be read: {error}') from error
        found[name] = value
    return {
        # What is no text goes as Juju writes such a value.
        name if text.is_valid(value) else f"{name}#base64": value
        if text.is_valid(value)
        else base64.b64encode(text.to_bytes(value)).decode()
        for name, value in found.items()
    }


def _content(parser: Parser) -> None:
    parser.add_argument("--file", metavar="FILE", help="a YAML file of keys and values")
    parser.add_argument("--info", metavar="TEXT", help="what it is for")


def _update(parser: Parser) -> None:
    _content(parser)
    parser.add_argument("--name", metavar="NAME", help="a new name")
    parser.add_argument(
        "--auto-prune",
        action="store_true",
        default=None,
        help="from now on, remove revisions that no unit follows any more; =false: keep them",
    )
    parser.add_argument(
        "--no-auto-prune", action="store_false", dest="auto_prune", help=argparse.SUPPRESS
    )


def _remove(parser: Parser) -> None:
    parser.add_argument("--revision", type=count, metavar="N", help="only this revision")


VERBS = (
    Verb(
        name="add-secret",
        arguments="<name> [key[#base64|#file]=value ...]",
        summary="Add a secret to a model and print its URI, for applications that are granted it.",
        example=("add-secret cluster kubeconfig#file=./kubeconfig",),
        details="A value on the command line is seen by other users of the machine: name a file.",
        run=add_secret,
        options=_content,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="update-secret",
        arguments="<secret> [key[#base64|#file]=value ...]",
        summary="Change a user's secret; new content is a new revision.",
        example=("update-secret cluster kubeconfig#file=./kubeconfig",),
        run=update_secret,
        options=_update,
        minimum=1,
        maximum=None,
    ),
    Verb(
        name="grant-secret",
        arguments="<secret> <application>[,<application> ...]",
        summary="Let applications read a user's secret.",
        example=("grant-secret cluster pipelines",),
        run=grant_secret,
        minimum=2,
        maximum=None,
    ),
    Verb(
        name="revoke-secret",
        arguments="<secret> <application>[,<application> ...]",
        summary="Let applications read a user's secret no longer.",
        example=("revoke-secret cluster pipelines",),
        run=revoke_secret,
        minimum=2,
        maximum=None,
    ),
    Verb(
        name="remove-secret",
        arguments="<secret>",
        summary="Remove a user's secret, or one revision of it.",
        example=("remove-secret cluster",),
        run=remove_secret,
        options=_remove,
        minimum=1,
        maximum=1,
    ),
)
