"""`deploy` and `refresh`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minijuju import bundle, changes, constraints, documents, options
from minijuju.charm import CHARM_NAME, Charm

from .session import Session
from .verb import CommandError, Parser, UsageError, Verb, count

_BUNDLE_REFUSES = (
    ("num_units", "-n"),
    ("config", "--config"),
    ("constraints", "--constraints"),
    ("resource", "--resource"),
    ("storage", "--storage"),
    ("base", "--base"),
    ("channel", "--channel"),
    ("revision", "--revision"),
)


def _charm_options(parser: Parser) -> None:
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="KEY=VALUE|FILE",
        help="an option's value, or a YAML file of them; KEY=@FILE reads the value (repeatable)",
    )
    parser.add_argument(
        "--resource",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a file, an OCI image, or the folder of a process image (repeatable)",
    )
    parser.add_argument(
        "--storage",
        action="append",
        default=[],
        metavar="NAME=[POOL,][SIZE,][COUNT]",
        help="where a storage comes from (repeatable)",
    )
    parser.add_argument("--base", metavar="BASE", help="one of the charm's bases")
    parser.add_argument("--channel", help="Charmhub only: refused for local charms")
    parser.add_argument("--revision", help="Charmhub only: refused for local charms")
    parser.add_argument("--trust", action="store_true", help="give it access to the cluster")
    parser.add_argument("--force", action="store_true", help="let go of checks such as bases")


def _deploy_options(parser: Parser) -> None:
    _charm_options(parser)
    parser.add_argument(
        "-n", "--num-units", type=count, metavar="N", help="how many units (default: 1)"
    )
    parser.add_argument(
        "--constraints", action="append", default=[], metavar="K=V", help="such as mem=4G"
    )
    parser.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="FILE",
        help="a bundle laid over the bundle (repeatable, in order)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what a bundle would change, change nothing"
    )


def deploy(session: Session, arguments: argparse.Namespace) -> int:
    """Deploy a charm or a bundle."""
    target, *rest = arguments.args
    path = local_path(session, target)
    if bundle.is_bundle(path):
        if rest:
            raise UsageError(f"a bundle has no application name: {rest[0]!r}")
        return _deploy_bundle(session, arguments, path)
    refused = [
        flag
        for flag, given in (("--overlay", arguments.overlay), ("--dry-run", arguments.dry_run))
        if given
    ]
    if refused:
        raise CommandError(
            "flags provided but not supported when deploying a charm: " + ", ".join(refused)
        )
    return _deploy_charm(session, arguments, path, rest[0] if rest else None)


def local_path(session: Session, target: str) -> Path:
    """The folder or file that a charm or bundle argument means.

    Raises:
        CommandError: It is not local, or not there.
    """
    if not target.startswith((".", "/")):
        if os.path.exists(target):
            raise CommandError(
                f'The charm or bundle "{target}" is ambiguous.\n'
                f"To deploy a local charm or bundle, run `{session.program} deploy ./{target}`."
            )
        raise CommandError(
            f'"{target}" is on Charmhub, which minijuju does not fetch from; '
            f"deploy a local charm or bundle by its path, such as ./{target}.charm"
        )
    path = Path(os.path.normpath(Path.cwd() / target)) if "\0" not in target else Path()
    if "\0" in target or not path.exists():
        raise CommandError(f'no charm or bundle was found at "{target}"')
    return path


def _deploy_charm(
    session: Session, arguments: argparse.Namespace, path: Path, name: str | None
) -> int:
    model = session.model(arguments.model)
    charm = Charm.load(path)
    application = name or charm.name
    if not CHARM_NAME.fullmatch(application):
        raise CommandError(f'invalid application name "{application}"')
    if charm.subordinate:
        raise CommandError("subordinate charms are not valid on Kubernetes")
    base = check_base(arguments, charm)
    settings = read_config(arguments.config, application)
    values = {key: _coerce(charm, key, value) for key, value in settings.items()}
    trust = arguments.trust
    params = {
        "application": application,
        "charm": str(path),
        "config": values,
        "resources": read_resources(arguments.resource, charm),
        "num_units": 1 if arguments.num_units is None else arguments.num_units,
        "trust": trust,
        "storage": read_storage(arguments.storage, charm),
        "constraints": constraints.render(constraints.parse(*arguments.constraints)),
    }
    session.say(f'Located local charm "{charm.name}" at {path}')
    session.say(f'Deploying "{application}" from local charm "{charm.name}" on {base}')
    session.call("deploy", model=model, **params)
    return 0


def check_base(arguments: argparse.Namespace, charm: Charm) -> str:
    """The base to say, after refusing what a local charm cannot have."""
    for flag in ("channel", "revision"):
        if getattr(arguments, flag) is not None:
            raise CommandError(f"--{flag} is Charmhub's: a local charm has none")
    supported = [str(base) for base in charm.bases]
    if arguments.base is None:
        return supported[0] if supported else "any base"
    wanted = arguments.base.partition("/")[0]
    if supported and wanted not in supported and not arguments.force:
        raise CommandError(
            f'base "{arguments.base}" not supported by charm "{charm.name}", the charm supported '
            f"bases are: {', '.join(supported)}"
        )
    return str(wanted)


def _coerce(charm: Charm, key: str, value: Any) -> Any:
    try:
        return options.coerce(options.find(charm.options, key), value)
    except options.OptionError as error:
        raise CommandError(str(error)) from None


def read_config(words: Sequence[str], application: str) -> dict[str, Any]:
    """Settings from `--config`: `key=value`, `key=@file`, or a YAML file.

    A file maps options to values, or applications to such mappings.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key:
            if value.startswith("@"):
                value = _text(Path(value[1:]))
            found[key] = value
            continue
        data = documents.read(Path(word))
        if not isinstance(data, dict):
            raise CommandError(f"{word}: expected a mapping of options to values")
        section = data.get(application, data)
        if not isinstance(section, dict):
            raise CommandError(f"{word}: {application}: expected a mapping of options to values")
        found.update(section)
    return found


def _text(path: Path) -> str:
    data = documents.read_bytes(path, options.MAX_LENGTH)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CommandError(f"{path}: not UTF-8 text") from None


def read_resources(words: Sequence[str], charm: Charm | None = None) -> dict[str, str]:
    """Resources from `--resource name=value`: paths made absolute, images as they are."""
    found = constraints.pairs(words, "--resource")
    for name, value in found.items():
        if charm is not None and name not in charm.resources:
            known = ", ".join(charm.resources) or "none"
            raise CommandError(f'charm "{charm.name}" has no resource "{name}" (has: {known})')
        is_file = charm is not None and charm.resources[name].type == "file"
        if not value:
            raise CommandError(f'resource "{name}": expected a path or an image')
        if value.startswith((".", "/")) or is_file:
            path = os.path.normpath(Path.cwd() / value)
            if not os.path.exists(path):
                raise CommandError(f'resource "{name}": {value} does not exist')
            found[name] = path
    return found


def read_storage(words: Sequence[str], charm: Charm) -> dict[str, str]:
    """Storage directives from `--storage name=directive`, checked against the charm."""
    found = constraints.pairs(words, "--storage")
    for name, text in found.items():
        directive = constraints.parse_storage(text)
        if name not in charm.storage:
            raise CommandError(f'charm "{charm.name}" has no store called "{name}"')
        constraints.check_storage(charm.storage[name], directive)
    return found


# Bundles.


def _deploy_bundle(session: Session, arguments: argparse.Namespace, path: Path) -> int:
    refused = [
        flag for name, flag in _BUNDLE_REFUSES if getattr(arguments, name) not in (None, [], False)
    ]
    if refused:
        raise CommandError(
            "flags provided but not supported when deploying a bundle: " + ", ".join(refused)
        )
    overlays = [Path(os.path.normpath(Path.cwd() / overlay)) for overlay in arguments.overlay]
    try:
        wanted = bundle.load(path, overlays, force=arguments.force)
    except bundle.BundleError as error:
        raise CommandError(f"cannot deploy bundle: {error}") from None
    if wanted.untrusting and not arguments.trust:
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
    config = {name: session.call("config_get", model=model, application=name) for name in existing}
    shown: Mapping[str, Any] = (
        session.call("show_application", model=model, applications=existing) if existing else {}
    )
    for warning in changes.unapplied(wanted, shown):
        session.say(f"WARNING {warning}")
    plan = changes.plan(wanted, status, config)
    _apply(session, model, wanted, plan, dry_run=arguments.dry_run)
    return 0


def _apply(
    session: Session,
    model: str,
    wanted: bundle.Bundle,
    plan: Sequence[changes.Change],
    *,
    dry_run: bool,
) -> None:
    for name, application in wanted.applications.items():
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


def refresh(session: Session, arguments: argparse.Namespace) -> int:
    """Bring a new version of a charm, its resources or its configuration."""
    application = arguments.args[0]
    model = session.model(arguments.model)
    path = local_path(session, arguments.path) if arguments.path else None
    charm = Charm.load(path) if path else None
    if charm is not None:
        check_base(arguments, charm)
    else:
        for flag in ("channel", "revision", "base"):
            if getattr(arguments, flag) is not None:
                raise CommandError(f"--{flag} is Charmhub's; refresh a local charm with --path")
        if not arguments.resource:
            raise CommandError(
                f'"{application}" runs a local charm: name the new one with --path, '
                "or new resources with --resource"
            )
    params: dict[str, Any] = {
        "application": application,
        "resources": read_resources(arguments.resource, charm),
        "config": read_config(arguments.config, application),
    }
    if charm is not None:
        params["config"] = {k: _coerce(charm, k, v) for k, v in params["config"].items()}
        params["path"] = str(path)
        session.say(f'Located local charm "{charm.name}" at {path}')
    if arguments.trust:
        params["trust"] = True
    if arguments.storage:
        raise UsageError(f"{session.program} refresh --storage: not built in minijuju yet")
    session.call("refresh", model=model, **params)
    return 0


def _refresh_options(parser: Parser) -> None:
    _charm_options(parser)
    parser.add_argument("--path", metavar="PATH", help="the new charm: a folder or .charm file")
    parser.add_argument("--force-base", action="store_true", dest="force")
    parser.add_argument("--force-units", action="store_true", dest="force")


VERBS = (
    Verb(
        name="deploy",
        arguments="<charm or bundle> [<application name>]",
        summary="Deploy a charm (a folder or .charm file) or a bundle (a .yaml file).",
        details=(
            "A path starts with . or /. A bundle is checked as a whole, with its overlays and\n"
            "its charms, before anything changes; deployed again, it changes only what differs.\n"
            "An application that exists keeps its charm: use refresh."
        ),
        example=(
            "deploy ./metadata.charm -n 2 --config log-level=debug",
            "deploy ./bundle.yaml --overlay ./desktop.yaml --trust",
        ),
        run=deploy,
        options=_deploy_options,
        minimum=1,
        maximum=2,
        unbuilt=("--attach-storage", "--bind", "--to", "--device", "--map-machines"),
    ),
    Verb(
        name="refresh",
        arguments="<application>",
        summary="Refresh an application's charm, resources or configuration.",
        details="Every unit stops, gets the new charm and runs upgrade-charm.",
        example=("refresh metadata --path ./metadata.charm",),
        run=refresh,
        options=_refresh_options,
        minimum=1,
        maximum=1,
        unbuilt=("--bind", "--switch"),
    ),
)
