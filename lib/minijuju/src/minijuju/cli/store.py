"""The charm store: what is in it, in detail, and a copy of it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from minijuju.charm import Charm, CharmError
from minijuju.charm_store import CharmStore, Entry

from .deploy import NO_STORE, charm_name, store_option
from .output import emit, emit_table, plain, structured, table
from .session import Session
from .verb import CommandError, Parser, Verb, count


def _store(session: Session, arguments: argparse.Namespace, target: str) -> CharmStore:
    store = session.charm_store(arguments.charm_store)
    if store is None:
        raise CommandError(NO_STORE.format(target=target))
    return store


def _charm(entry: Entry, channel: str | None) -> Charm:
    """The charm of a channel; without one, of the newest revision."""
    if channel:
        return Charm.load(entry.release(channel).path)
    return Charm.load(entry.revisions[max(entry.revisions)])


def find(session: Session, arguments: argparse.Namespace) -> int:
    """List the charms whose name or summary has the words."""
    words = " ".join(arguments.args)
    store = _store(session, arguments, words or "CHARM")
    found = []
    for name in store.names():
        try:
            charm = _charm(store.entry(name), None)
        except CharmError as error:
            session.say(f"WARNING {error}")
            continue
        if words.lower() in f"{name} {charm.summary} {charm.description}".lower():
            found.append(
                {
                    "type": "charm",
                    "name": name,
                    "publisher": "",
                    "summary": charm.summary,
                    "supports": [str(base) for base in charm.bases],
                }
            )
    if not found:
        raise CommandError(f'No matching charms or bundles for "{words}"')
    rows = [["Name", "Bundle", "Supports", "Summary"]]
    rows += [
        [str(one["name"]), "-", ",".join(one["supports"]), plain(one["summary"])] for one in found
    ]
    emit_table(rows, found, arguments, session.stdout)
    return 0


def info(session: Session, arguments: argparse.Namespace) -> int:
    """Show a charm of the store."""
    name = charm_name(arguments.args[0])
    entry = _store(session, arguments, name).entry(name)
    charm = _charm(entry, arguments.channel)
    document: dict[str, Any] = {
        "type": "charm",
        "name": name,
        "summary": charm.summary,
        "description": charm.description,
        "supports": [str(base) for base in charm.bases],
        "subordinate": charm.subordinate,
        "default-track": entry.default_track,
        "relations": {
            section: {end.name: end.interface for end in ends.values()}
            for section, ends in (("provides", charm.provides), ("requires", charm.requires))
            if ends
        },
        "channels": {
            channel: {"revision": revision, "resources": dict(resources)}
            for channel, (revision, resources) in entry.channels.items()
        },
        "resources": {resource: sorted(known) for resource, known in entry.resources.items()},
    }
    if arguments.format == "tabular":
        found = document["channels"].items()
        rows = [[f"{channel}:", str(one["revision"])] for channel, one in found]
        document["channels"] = table(rows).rstrip("\n")
        text = structured(document, "yaml")
    else:
        text = structured(document, arguments.format)
    emit(text, session.stdout, arguments.output)
    return 0


def charm_resources(session: Session, arguments: argparse.Namespace) -> int:
    """List the resources of a charm of the store."""
    name = charm_name(arguments.args[0])
    release = _store(session, arguments, name).release(name, arguments.channel)
    charm = Charm.load(release.path)
    found = [
        {
            "name": resource.name,
            "type": resource.type,
            "path": resource.filename,
            "description": resource.description,
            "revision": release.resources.get(resource.name, (None, ""))[0],
            "origin": "store",
        }
        for resource in charm.resources.values()
    ]
    if arguments.format == "tabular" and not found:
        session.say("No resources to display.")
        return 0
    rows = [["Resource", "Revision"]]
    rows += [[str(one["name"]), str(one["revision"] or "-")] for one in found]
    emit_table(rows, found, arguments, session.stdout)
    return 0


def download(session: Session, arguments: argparse.Namespace) -> int:
    """Copy a charm out of the store."""
    name = charm_name(arguments.args[0])
    store = _store(session, arguments, name)
    if arguments.revision is not None and arguments.channel:
        raise CommandError("--revision cannot be used with --channel")
    release = store.release(name, arguments.channel, arguments.revision)
    if release.path.is_dir():
        raise CommandError(
            f'"{name}" is the source folder {release.path} in the charm store; only a packed '
            "charm can be downloaded"
        )
    target = Path(arguments.filepath or f"{name}_r{release.revision}.charm")
    if target.exists():
        raise CommandError(f"{target} exists; name another file by --filepath")
    shutil.copyfile(release.path, target)
    session.say(
        f'Fetched charm "{name}", revision {release.revision} in channel {release.channel}\n'
        f'Install the "{name}" charm with:\n    {session.program} deploy ./{target}'
    )
    return 0


_CHARMHUBS = ("category", "channel", "publisher", "type")
_FOLDER = "the charm store is a folder of charms, without what this asks for"
_MACHINE = "the charm store has what was put there for this machine"


def _channel(parser: Parser) -> None:
    store_option(parser)
    parser.add_argument("--channel", help="such as 14/stable")


def _download(parser: Parser) -> None:
    _channel(parser)
    parser.add_argument("--revision", type=count, metavar="N", help="this revision")
    parser.add_argument("--filepath", metavar="FILE", help="write to this file")
    # Copying a file shows none.
    parser.add_argument("--no-progress", action="store_true", help=argparse.SUPPRESS)


VERBS = (
    Verb(
        name="find",
        arguments="[<word> ...]",
        summary="List charms of the charm store.",
        example=("find postgresql --charm-store ./charms",),
        run=find,
        options=store_option,
        maximum=None,
        model=False,
        formats=("tabular", "json", "yaml"),
        refused=tuple(
            (flag, _FOLDER) for flag in ("--category", "--channel", "--publisher", "--type")
        ),
    ),
    Verb(
        name="info",
        arguments="<charm>",
        summary="Show a charm of the charm store: its channels, relations and resources.",
        example=("info postgresql-k8s --charm-store ./charms",),
        run=info,
        refused=(("--arch", _MACHINE), ("--base", _MACHINE)),
        options=_channel,
        minimum=1,
        maximum=1,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="download",
        arguments="<charm>",
        summary="Copy a charm out of the charm store.",
        example=("download postgresql-k8s --channel 14/edge --charm-store ./charms",),
        run=download,
        refused=(("--arch", _MACHINE), ("--base", _MACHINE)),
        options=_download,
        minimum=1,
        maximum=1,
        model=False,
    ),
    Verb(
        name="charm-resources",
        arguments="<charm>",
        summary="List the resources of a charm of the charm store.",
        example=("charm-resources postgresql-k8s --charm-store ./charms",),
        run=charm_resources,
        options=_channel,
        minimum=1,
        maximum=1,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
)
