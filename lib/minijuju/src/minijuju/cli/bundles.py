"""Bundles: deploy one, compare one with a model, write a model as one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minijuju import bundle, bundle_diff, bundle_export, changes, documents

from .output import emit
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb

_REFUSED = (
    ("num_units", "-n"),
    ("config", "--config"),
    ("constraints", "--constraints"),
    ("resource", "--resource"),
    ("storage", "--storage"),
    ("base", "--base"),
    ("channel", "--channel"),
    ("revision", "--revision"),
)
_LOCAL = "it chooses a bundle of Charmhub; bundles are files here"
_NO_MACHINES = "--map-machines: a Kubernetes model has no machines"

Documents = Mapping[str, Mapping[str, Any]]


def deploy(session: Session, arguments: argparse.Namespace, path: Path) -> int:
    """Bring a model to what a bundle says."""
    refused = [
        flag for name, flag in _REFUSED if getattr(arguments, name) not in (None, [], False)
    ]
    if refused:
        raise CommandError(
            "flags provided but not supported when deploying a bundle: " + ", ".join(refused)
        )
    if arguments.map_machines is not None:
        raise CommandError(_NO_MACHINES)
    wanted = _load(session, arguments, path, "cannot deploy bundle: ")
    if wanted.untrusting and not arguments.trust and not arguments.force:
        listed = "\n".join(f"  - {name}" for name in wanted.untrusting)
        raise CommandError(
            "Bundle cannot be deployed without trusting applications with your cloud "
            "credentials.\n"
            "Please repeat the deploy command with the --trust argument if you consent to trust "
            f"the following application(s):\n{listed}"
        )
    model = session.model(arguments.model)
    status = session.call("status", model=model)
    existing = [name for name in wanted.applications if name in status.get("applications", {})]
    config, shown = _details(session, model, existing)
    plan = changes.plan(wanted, status, config, shown)
    _apply(session, model, wanted, plan, dry_run=arguments.dry_run)
    return 0


def _load(
    session: Session, arguments: argparse.Namespace, path: Path, problem: str
) -> bundle.Bundle:
    overlays = [Path(os.path.normpath(Path.cwd() / overlay)) for overlay in arguments.overlay]
    store = session.charm_store(arguments.charm_store)
    try:
        wanted = bundle.load(path, overlays, store=store)
    except bundle.BundleError as error:
        raise CommandError(f"{problem}{error}") from None
    if wanted.ignored:
        listed = "\n".join(f"  {text}" for text in wanted.ignored)
        session.say(f"WARNING These fields will be ignored during deployment:\n{listed}")
    return wanted


def _details(
    session: Session, model: str, applications: Sequence[str]
) -> tuple[dict[str, Any], Documents]:
    """Configuration and details of applications, by name."""
    config = {
        name: session.call("config_get", model=model, application=name) for name in applications
    }
    if not applications:
        return config, {}
    shown: Documents = session.call(
        "show_application", model=model, applications=list(applications)
    )
    return config, shown


def _apply(
    session: Session,
    model: str,
    wanted: bundle.Bundle,
    plan: Sequence[changes.Change],
    *,
    dry_run: bool,
) -> None:
    for name, application in wanted.applications.items():
        if application.release:
            session.say(
                f'Located charm "{application.charm.name}" in charm-hub, channel '
                f"{application.release.channel}"
            )
        else:
            session.say(f'Located local charm "{application.charm.name}" for {name}')
    if not plan:
        session.say("No changes to apply.")
        return
    session.say("Changes to deploy bundle:" if dry_run else "Executing changes:")
    for change in plan:
        session.say(f"- {change.line}")
        if not dry_run:
            session.call(change.method, model=model, **change.params)
    if not dry_run:
        session.say("Deploy of bundle completed.")


def diff_bundle(session: Session, arguments: argparse.Namespace) -> int:
    """Print how a bundle and a model differ."""
    if arguments.map_machines is not None:
        raise CommandError(_NO_MACHINES)
    target = arguments.args[0]
    path = Path(os.path.normpath(Path.cwd() / target))
    if not path.exists():
        raise CommandError(f'couldn\'t interpret "{target}" as a local bundle: no such file')
    if not bundle.is_bundle(path):
        raise UsageError(f"{target} is no bundle: a .yaml file, or a folder with a bundle.yaml")
    wanted = _load(session, arguments, path, "")
    model = session.model(arguments.model)
    status = session.call("status", model=model)
    config, shown = _details(session, model, list(status.get("applications") or {}))
    document = bundle_diff.diff(wanted, status, config, shown, annotations=arguments.annotations)
    emit(documents.dump(document), session.stdout, None)
    return 0


def export_bundle(session: Session, arguments: argparse.Namespace) -> int:
    """Write a model as a bundle."""
    model = session.model(arguments.model)
    status = session.call("status", model=model)
    names = list(status.get("applications") or {})
    if not names:
        raise CommandError("nothing to export as there are no applications")
    config, shown = _details(session, model, names)
    document = bundle_export.export(
        status, config, shown, defaults=arguments.include_charm_defaults
    )
    text = documents.dump(document)
    if overlay := bundle_export.overlay(status):
        text += f"--- # overlay.yaml\n{documents.dump(overlay)}"
    emit(text, session.stdout, arguments.filename)
    if arguments.filename:
        session.stdout.write(f"Bundle successfully exported to {arguments.filename}\n")
    return 0


def _diff_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--overlay", action="append", default=[], metavar="FILE", help="laid over it (repeatable)")
    add("--annotations", action="store_true", help="compare annotations too")
    add("--charm-store", metavar="FOLDER", help="where charms that are named by no path are")
    add("--map-machines", metavar="MAP", help=argparse.SUPPRESS)


def _export_options(parser: Parser) -> None:
    parser.add_argument("--filename", metavar="FILE", help="write to this file")
    parser.add_argument(
        "--include-charm-defaults",
        action="store_true",
        help="write options that have their default too",
    )


VERBS = (
    Verb(
        name="diff-bundle",
        arguments="<bundle file>",
        summary="Compare a bundle with a model and print how they differ.",
        example=("diff-bundle ./bundle.yaml --overlay ./desktop.yaml",),
        run=diff_bundle,
        options=_diff_options,
        minimum=1,
        maximum=1,
        refused=tuple((flag, _LOCAL) for flag in ("--arch", "--base", "--channel", "--revision")),
    ),
    Verb(
        name="export-bundle",
        arguments="",
        summary="Print a model as a bundle that deploys the same again.",
        details="Local charms are named by the path that they were deployed from.",
        example=("export-bundle --filename ./mymodel.yaml",),
        run=export_bundle,
        options=_export_options,
    ),
)
