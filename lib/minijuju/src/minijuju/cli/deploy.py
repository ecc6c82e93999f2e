"""`deploy` and `refresh`."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minijuju import bundle, constraints, options
from minijuju.applications import APPLICATION_KEYS
from minijuju.changes import release_params
from minijuju.charm import CHARM_NAME, Charm
from minijuju.charm_store import CharmStore, Release

from . import bundles
from .session import Session
from .settings import read_config
from .verb import CommandError, Parser, UsageError, Verb, count

NO_STORE = (
    '"{target}" is on Charmhub, which minijuju does not fetch from; deploy a local charm by its '
    "path, such as ./{target}.charm, or name a folder of charms by --charm-store"
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
        help="a file, an OCI image, the folder of a process image, or a revision (repeatable)",
    )
    parser.add_argument(
        "--storage",
        action="append",
        default=[],
        metavar="NAME=[POOL,][SIZE,][COUNT]",
        help="where a storage comes from (repeatable)",
    )
    parser.add_argument("--base", metavar="BASE", help="one of the charm's bases")
    parser.add_argument("--channel", help="of the charm store; local charms have none")
    parser.add_argument(
        "--revision", type=count, metavar="N", help="of the charm store; local charms have none"
    )
    store_option(parser)
    parser.add_argument("--trust", action="store_true", help="give it access to the cluster")
    parser.add_argument("--force", action="store_true", help="let go of checks such as bases")


def store_option(parser: Parser) -> None:
    """The option that names the charm store."""
    parser.add_argument(
        "--charm-store", metavar="FOLDER", help="where charms that are named by no path are"
    )


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
        "--dry-run", action="store_true", help="say what would change, change nothing"
    )
    parser.add_argument("--map-machines", metavar="MAP", help=argparse.SUPPRESS)


def deploy(session: Session, arguments: argparse.Namespace) -> int:
    """Deploy a charm or a bundle."""
    target, *rest = arguments.args
    if not target.startswith((".", "/")):
        return _deploy_stored(session, arguments, target, rest)
    path = local_path(session, target)
    if bundle.is_bundle(path):
        if rest:
            raise UsageError(f"a bundle has no application name: {rest[0]!r}")
        return bundles.deploy(session, arguments, path)
    for flag in ("channel", "revision"):
        if getattr(arguments, flag) is not None:
            raise CommandError(f"--{flag} is a charm store's: a local charm has none")
    return _deploy_charm(session, arguments, path, None, rest)


def _deploy_stored(
    session: Session, arguments: argparse.Namespace, target: str, rest: Sequence[str]
) -> int:
    store = session.charm_store(arguments.charm_store)
    if store is None:
        if os.path.exists(target):
            raise CommandError(
                f'The charm or bundle "{target}" is ambiguous.\n'
                f"To deploy a local charm or bundle, run `{session.program} deploy ./{target}`."
            )
        raise CommandError(NO_STORE.format(target=target))
    if arguments.revision is not None and arguments.channel is None:
        raise CommandError(
            "specifying a revision requires a channel for future upgrades. Please use --channel"
        )
    release = store.release(charm_name(target), arguments.channel, arguments.revision)
    return _deploy_charm(session, arguments, release.path, release, rest)


def charm_name(target: str) -> str:
    """The name in `[ch:]name`.

    Raises:
        CommandError: It is none.
    """
    found = re.fullmatch(r"(?:ch:)?([a-z][a-z0-9-]*)", target)
    if not found:
        raise CommandError(f'cannot parse "{target}" as the name of a charm')
    return found[1]


def local_path(session: Session, target: str) -> Path:
    """The folder or file that a charm or bundle argument means.

    Raises:
        CommandError: It is not there.
    """
    path = Path(os.path.normpath(Path.cwd() / target)) if "\0" not in target else Path()
    if "\0" in target or not path.exists():
        raise CommandError(f'no charm or bundle was found at "{target}"')
    if not (path.is_file() or path.is_dir()):
        raise CommandError(f'"{target}" is neither a file nor a folder')
    return path


def _deploy_charm(
    session: Session,
    arguments: argparse.Namespace,
    path: Path,
    release: Release | None,
    rest: Sequence[str],
) -> int:
    refused = [
        flag
        for flag, given in (
            ("--overlay", arguments.overlay),
            ("--map-machines", arguments.map_machines is not None),
        )
        if given
    ]
    if refused:
        raise CommandError(
            "flags provided but not supported when deploying a charm: " + ", ".join(refused)
        )
    charm = Charm.load(path)
    application = rest[0] if rest else charm.name
    if not CHARM_NAME.fullmatch(application):
        raise CommandError(f'invalid application name "{application}"')
    if charm.subordinate:
        raise CommandError("subordinate charms are not valid on Kubernetes")
    base = check_base(arguments, charm)
    settings = read_config(arguments.config, application)
    trust = arguments.trust
    params = {
        "application": application,
        "charm": str(path),
        "config": {key: coerce(charm, key, value) for key, value in settings.items()},
        "resources": _resources(session, arguments, charm, release),
        "num_units": 1 if arguments.num_units is None else arguments.num_units,
        "trust": trust,
        "storage": read_storage(arguments.storage, charm),
        "constraints": constraints.render(constraints.parse(*arguments.constraints)),
        **release_params(release),
    }
    if arguments.force:
        params["force"] = True
    if release:
        line = (
            f'"{application}" from charm-hub charm "{charm.name}", revision {release.revision} '
            f"in channel {release.channel} on {base}"
        )
    else:
        session.say(f'Located local charm "{charm.name}" at {path}')
        line = f'"{application}" from local charm "{charm.name}" on {base}'
    if arguments.dry_run:
        session.say(f"{line} would be deployed")
        return 0
    model = session.model(arguments.model)
    if not release:
        session.say(f"Deploying {line}")
    session.call("deploy", model=model, **params)
    if release:
        session.say(f"Deployed {line}")
    return 0


def _resources(
    session: Session, arguments: argparse.Namespace, charm: Charm, release: Release | None
) -> dict[str, str]:
    """The resources that are named, over those that the store has for the release."""
    store = session.charm_store(arguments.charm_store)
    given = read_resources(arguments.resource, store, charm, stored=release is not None)
    stored = release.resources.items() if release else ()
    own = {name: place for name, (_, place) in stored if name in charm.resources}
    return {**own, **given}


def check_base(arguments: argparse.Namespace, charm: Charm) -> str:
    """The base to say.

    Raises:
        CommandError: The charm has no such base.
    """
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


def coerce(charm: Charm, key: str, value: Any) -> Any:
    """A setting as its option's type wants it.

    Raises:
        CommandError: There is no such option, or the value does not fit.
    """
    if key in APPLICATION_KEYS and key not in charm.options:
        return value
    try:
        return options.coerce(options.find(charm.options, key), value)
    except options.OptionError as error:
        raise CommandError(str(error)) from None


def read_resources(
    words: Sequence[str],
    store: CharmStore | None,
    charm: Charm | None = None,
    *,
    stored: bool = False,
) -> dict[str, str]:
    """Resources from `--resource name=value`: paths made absolute, images as they are.

    A store says what stands in for an image; of a charm that is stored there a number is a
    revision of the resource.
    """
    found = constraints.pairs(words, "--resource")
    for name, value in found.items():
        if charm is not None and name not in charm.resources:
            known = ", ".join(charm.resources) or "none"
            raise CommandError(f'charm "{charm.name}" has no resource "{name}" (has: {known})')
        is_file = charm is not None and charm.resources[name].type == "file"
        if stored and store is not None and charm is not None and value.isdecimal():
            found[name] = store.entry(charm.name).resource(name, int(value))
            continue
        if not value:
            raise CommandError(f'resource "{name}": expected a path or an image')
        if value.startswith((".", "/")) or is_file:
            path = os.path.normpath(Path.cwd() / value)
            if not os.path.exists(path):
                raise CommandError(f'resource "{name}": {value} does not exist')
            found[name] = path
        elif store is not None:
            found[name] = store.image(value)
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


def refresh(session: Session, arguments: argparse.Namespace) -> int:
    """Bring a new version of a charm, its resources or its configuration."""
    application = arguments.args[0]
    model = session.model(arguments.model)
    if arguments.path and arguments.switch:
        raise CommandError("--path and --switch are mutually exclusive")
    if arguments.switch and arguments.switch.startswith((".", "/")):
        arguments.path, arguments.switch = arguments.switch, None
    params: dict[str, Any] = {"application": application}
    release: Release | None = None
    if arguments.path:
        for flag in ("channel", "revision"):
            if getattr(arguments, flag) is not None:
                raise CommandError(f"--{flag} is a charm store's: a local charm has none")
        path = local_path(session, arguments.path)
        charm = Charm.load(path)
        params["path"] = str(path)
        session.say(f'Located local charm "{charm.name}" at {path}')
    else:
        shown = session.call("show_application", model=model, applications=[application])
        release = _newer(session, arguments, application, shown[application])
        if release is None:
            return 0 if not arguments.resource else _refresh_resources(session, arguments, model)
        charm = Charm.load(release.path)
        if not _same(shown[application], release):
            params["path"] = str(release.path)
    check_base(arguments, charm)
    params["resources"] = _resources(
        session, arguments, charm, release if "path" in params else None
    )
    settings = read_config(arguments.config, application)
    params["config"] = {key: coerce(charm, key, value) for key, value in settings.items()}
    storage = read_storage(arguments.storage, charm)
    if storage:
        params["storage"] = storage
    if arguments.trust:
        params["trust"] = True
    if arguments.force:
        params["force"] = True
    session.call("refresh", model=model, **params, **release_params(release))
    if release:
        session.say(
            f'Added charm-hub charm "{charm.name}", revision {release.revision} in channel '
            f"{release.channel}, to the model"
        )
    return 0


def _refresh_resources(session: Session, arguments: argparse.Namespace, model: str) -> int:
    """New resources, or settings, for the charm that is there."""
    params: dict[str, Any] = {
        "application": arguments.args[0],
        "resources": read_resources(
            arguments.resource, session.charm_store(arguments.charm_store)
        ),
        "config": read_config(arguments.config, arguments.args[0]),
    }
    if arguments.trust:
        params["trust"] = True
    session.call("refresh", model=model, **params)
    return 0


def _same(shown: dict[str, Any], release: Release) -> bool:
    """Whether the application runs that very charm."""
    return bool(shown["channel"]) and (shown["charm"], shown["charm-rev"]) == (
        release.name,
        release.revision,
    )


def _newer(
    session: Session, arguments: argparse.Namespace, application: str, shown: dict[str, Any]
) -> Release | None:
    """What the store has for the application; None if it has all of it already."""
    if not shown["channel"] and not arguments.switch:
        for flag in ("channel", "revision", "base"):
            if getattr(arguments, flag) is not None:
                raise CommandError(
                    f"--{flag} is a charm store's; refresh a local charm with --path"
                )
        if not arguments.resource:
            raise CommandError(
                f'"{application}" runs a local charm: name the new one with --path, '
                "or new resources with --resource"
            )
        return None
    store = session.charm_store(arguments.charm_store)
    name = charm_name(arguments.switch) if arguments.switch else shown["charm"]
    if store is None:
        raise CommandError(NO_STORE.format(target=name))
    channel = arguments.channel or shown["channel"] or None
    release = store.release(name, channel, arguments.revision)
    if _same(shown, release) and shown["channel"] == release.channel:
        if not arguments.resource:
            session.say(f'charm "{name}": already up-to-date')
        return None
    return release


def _refresh_options(parser: Parser) -> None:
    _charm_options(parser)
    parser.add_argument("--path", metavar="PATH", help="the new charm: a folder or .charm file")
    parser.add_argument("--switch", metavar="CHARM", help="another place of the charm")
    parser.add_argument("--force-base", action="store_true", dest="force")
    parser.add_argument("--force-units", action="store_true", dest="force")


VERBS = (
    Verb(
        name="deploy",
        arguments="<charm or bundle> [<application name>]",
        summary="Deploy a charm (a folder or .charm file) or a bundle (a .yaml file).",
        details=(
            "A path starts with . or /; another name is looked up in the charm store, which is\n"
            "--charm-store, $MINIJUJU_CHARM_STORE, or what bootstrap was told.\n"
            "A bundle is checked as a whole, with its overlays and its charms, before anything\n"
            "changes; deployed again, it changes only what differs. An application that exists\n"
            "keeps its local charm: use refresh."
        ),
        example=(
            "deploy ./metadata.charm -n 2 --config log-level=debug",
            "deploy ./bundle.yaml --overlay ./desktop.yaml --trust",
            "deploy postgresql-k8s db --channel 14/stable --charm-store ./charms",
        ),
        run=deploy,
        options=_deploy_options,
        minimum=1,
        maximum=2,
        refused=(
            ("--device", "this machine shares out no devices"),
            ("--attach-storage", "storage comes with its unit's number on Kubernetes"),
            ("--bind", "every endpoint is in the one space, alpha"),
            ("--to", "there is one node, this machine"),
        ),
    ),
    Verb(
        name="refresh",
        arguments="<application>",
        summary="Refresh an application's charm, resources or configuration.",
        details="Every unit stops, gets the new charm and runs upgrade-charm.",
        example=("refresh metadata --path ./metadata.charm", "refresh db --channel 14/edge"),
        run=refresh,
        options=_refresh_options,
        minimum=1,
        maximum=1,
        refused=(("--bind", "every endpoint is in the one space, alpha"),),
    ),
)
