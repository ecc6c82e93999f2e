"""The controller itself: version, bootstrap, show, stop, destroy, the folder for `juju`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from minijuju import documents
from minijuju.applications import architecture
from minijuju.charm_store import CharmStore
from minijuju.models import DEFAULTS
from minijuju.rpc_names import LOCK, SOCKET
from minijuju.shim import shim_folder
from sandbox import lock

from .models import RELEASE
from .output import emit, emit_table, structured
from .prompt import confirm
from .session import CLOUD, CONTROLLER, USER, Session
from .verb import CommandError, Parser, Verb, duration


def version_text() -> str:
    """The version of Juju that minijuju behaves as, in Juju's form."""
    return f"{DEFAULTS['agent-version']}-ubuntu-{architecture()}"


def version(session: Session, arguments: argparse.Namespace) -> int:
    """Print the version."""
    if arguments.format == "plain" and not arguments.all:
        text = f"{version_text()}\n"
    elif arguments.all:
        document = {"version": version_text(), "implementation": "minijuju"}
        text = structured(document, "json" if arguments.format == "json" else "yaml")
    else:
        text = structured(version_text(), arguments.format)
    emit(text, session.stdout, arguments.output)
    return 0


def bootstrap(session: Session, arguments: argparse.Namespace) -> int:
    """Say which Kubernetes the controller works with, and start it."""
    cloud, name, *_ = [*arguments.args, CLOUD, CONTROLLER][: max(2, len(arguments.args))]
    if arguments.args and cloud != CLOUD:
        raise CommandError(
            f"cloud {cloud} not found: the controller is always on this machine, the cloud {CLOUD}"
            " (--kubeconfig names the cluster that its charms see)"
        )
    if len(arguments.args) > 1 and name != CONTROLLER:
        raise CommandError(f"the controller is always called {CONTROLLER}, not {name}")
    settings: dict[str, str] = {}
    if arguments.kubeconfig:
        kubeconfig = Path(os.path.normpath(Path.cwd() / arguments.kubeconfig))
        document = documents.read(kubeconfig)
        if not isinstance(document, dict) or not document.get("clusters"):
            raise CommandError(f"{kubeconfig} is not a kubeconfig: it names no clusters")
        settings["kubeconfig"] = str(kubeconfig)
    if arguments.charm_store:
        settings["charm-store"] = str(CharmStore(Path(arguments.charm_store).absolute()).root)
    _configure(session, settings)
    session.call("ping")
    session.say(f"The controller {CONTROLLER} runs; its state is in {session.data}")
    return 0


def _configure(session: Session, settings: dict[str, str]) -> None:
    """Write the configuration; a running controller reads its own when it starts again."""
    file = session.data / "config.yaml"
    data = documents.read(file) if file.exists() else {}
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise CommandError(f"{file}: expected a mapping")
    if all(data.get(key) == value for key, value in settings.items()):
        return
    again = "kubeconfig" in settings and data.get("kubeconfig") != settings["kubeconfig"]
    data.update(settings)
    session.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(documents.dump(data))
    temporary.replace(file)
    if again and session.running():
        session.stop()


def controllers(session: Session, arguments: argparse.Namespace) -> int:
    """List the one controller."""
    model = session.current_model()
    entry: dict[str, Any] = {
        "current-model": f"{USER}/{model}" if model else "",
        "user": USER,
        "access": "superuser",
        "cloud": CLOUD,
        "agent-version": DEFAULTS["agent-version"],
        "running": session.running(),
        "data": str(session.data),
    }
    # Asking would start it.
    count = "-"
    if entry["running"]:
        info = session.call("controller_info")
        entry |= {"controller-uuid": info["uuid"], "model-count": len(info["models"])}
        count = str(len(info["models"]))
    rows = [["Controller", "Model", "User", "Access", "Cloud/Region", "Models", "Version"]]
    rows.append(
        [
            f"{CONTROLLER}*",
            model or "-",
            USER,
            "superuser",
            CLOUD,
            count,
            DEFAULTS["agent-version"],
        ]
    )
    document = {"controllers": {CONTROLLER: entry}, "current-controller": CONTROLLER}
    emit_table(rows, document, arguments, session.stdout)
    return 0


def show_controller(session: Session, arguments: argparse.Namespace) -> int:
    """Show the one controller with its models."""
    _check_name(arguments.args)
    info = session.call("controller_info")
    model = session.current_model()
    document = {
        CONTROLLER: {
            "details": {
                "controller-uuid": info["uuid"],
                "api-endpoints": [str(session.data / SOCKET)],
                "cloud": CLOUD,
                "agent-version": info["version"],
                "created": info["created"],
                "backup": {key: text for key, text in info["backup"].items() if text},
            },
            "models": info["models"],
            "current-model": f"{USER}/{model}" if model else "",
            "account": {"user": USER, "access": "superuser"},
        }
    }
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def _check_name(words: list[str]) -> None:
    if words not in ([], [CONTROLLER]):
        raise CommandError(f"controller {words[0]} not found")


def destroy_controller(session: Session, arguments: argparse.Namespace) -> int:
    """Destroy all models, if told to, and stop the controller."""
    _check_name(arguments.args)
    models = [model["short-name"] for model in session.call("models")["models"]]
    if models and not arguments.destroy_all_models:
        listed = "\n".join(f"  {name}" for name in models)
        raise CommandError(
            f'cannot destroy controller "{CONTROLLER}"\n\n'
            "The controller has live hosted models. If you want\n"
            "to destroy all hosted models in the controller,\n"
            "run this command again with the --destroy-all-models\n"
            f"option.\n\nModels:\n{listed}"
        )
    confirm(
        session,
        arguments,
        f"This command will destroy the controller {CONTROLLER} and "
        f"{', '.join(models) or 'no models'}",
        answer=CONTROLLER,
        kind="controller",
    )
    if arguments.no_wait and not arguments.force:
        raise CommandError("--no-wait without --force not valid")
    return _destroy(
        session,
        models,
        force=arguments.force,
        storage=arguments.destroy_storage,
        timeout=arguments.timeout,
    )


def kill_controller(session: Session, arguments: argparse.Namespace) -> int:
    """Destroy all models whatever state they are in, and stop the controller."""
    _check_name(arguments.args)
    models = [model["short-name"] for model in session.call("models")["models"]]
    confirm(
        session,
        arguments,
        f"This command will kill the controller {CONTROLLER} and everything in "
        f"{', '.join(models) or 'no models'}",
        answer=CONTROLLER,
        kind="controller",
    )
    return _destroy(session, models, force=True, storage=True, timeout=arguments.timeout)


def _destroy(
    session: Session, models: list[str], *, force: bool, storage: bool, timeout: float | None
) -> int:
    for name in models:
        if not (storage or force):
            stored = (session.call("storage", model=name)).get("storage") or {}
            if stored:
                raise CommandError(
                    f"the model {name} has persistent storage: {', '.join(stored)}\n"
                    "run this command again with the --destroy-storage option"
                )
        session.say(f"Destroying model {name}")
        session.call(
            "destroy_model",
            model=name,
            force=force,
            destroy_storage=storage or force,
            timeout=timeout,
        )
    session.set_current_model(None)
    session.stop()
    session.say("All models are destroyed, and the controller has stopped.")
    return 0


def shutdown(session: Session, arguments: argparse.Namespace) -> int:
    """Stop the controller and what it runs; the next command starts all of it again."""
    if not session.running():
        session.say("The controller does not run.")
        return 0
    session.stop()
    session.say("The controller and what it ran have stopped; their state is kept.")
    return 0


def backup(session: Session, arguments: argparse.Namespace) -> int:
    """Copy the controller's database now, whether the controller runs or not."""
    from minijuju import backup as backups

    wanted = Path(arguments.args[0]).absolute() if arguments.args else None
    try:
        written = backups.write(session.data, wanted)
    except backups.BackupError as error:
        raise CommandError(str(error)) from None
    session.say(f"copied to {written}")
    return 0


def restore(session: Session, arguments: argparse.Namespace) -> int:
    """Put a copy of the database in the place of what is there."""
    from minijuju import backup as backups

    source = Path(arguments.args[0]).absolute() if arguments.args else None
    session.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        held = lock.hold(session.data / LOCK)
    except lock.HeldError as error:
        raise CommandError(
            f"the controller (process {error.pid}) works on {session.data}; end it first:"
            f" {session.program} shutdown"
        ) from None
    try:
        done = backups.restore(session.data, source)
    except backups.BackupError as error:
        raise CommandError(str(error)) from None
    finally:
        os.close(held)
    session.say(f"put back {done.source}, of {done.written}")
    if done.database:
        session.say(f"what was there is kept as {done.database}")
    if done.storage:
        session.say(f"storage that was made since is kept in {done.storage}")
    session.say("units that were made since end when the controller starts")
    return 0


def shim_path(session: Session, arguments: argparse.Namespace) -> int:
    """Print the folder that holds this command under the name `juju`."""
    print(shim_folder(session.data), file=session.stdout)
    return 0


def _destroy_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--no-prompt", action="store_true", help="do not ask")
    add("--destroy-all-models", action="store_true", help="destroy the models too")
    add("--destroy-storage", action="store_true", help="destroy their storage too")
    add("--force", action="store_true", help="ignore errors")
    add("--no-wait", action="store_true", help="with --force: nothing is waited for on the way")
    add("--model-timeout", type=duration, dest="timeout", metavar="TIME", help=_EACH)


def _kill_options(parser: Parser) -> None:
    parser.add_argument("--no-prompt", action="store_true", help="do not ask")
    parser.add_argument("-t", "--timeout", type=duration, metavar="TIME", help=_EACH)


_EACH = "how long to wait for each model to go (default: 2m)"


def _version(parser: Parser) -> None:
    parser.add_argument("--all", action="store_true", help="print all there is")


def _bootstrap(parser: Parser) -> None:
    parser.add_argument("--kubeconfig", metavar="FILE", help="the cluster that charms work with")
    parser.add_argument(
        "--charm-store", metavar="FOLDER", help="where charms that are named by no path are"
    )
    parser.add_argument("--no-switch", action="store_true", help=argparse.SUPPRESS)


_PROCESS = "the controller is a process of this machine's, and is given nothing"
_OF_MACHINES = (
    "--agent-version",
    "--bootstrap-base",
    "--bootstrap-constraints",
    "--constraints",
    "--credential",
    "--force",
    "--metadata-source",
    "--storage-pool",
    "--to",
)

VERBS = (
    Verb(
        name="version",
        arguments="",
        summary="Print the version of Juju that is behaved as.",
        example=("version", "version --format json --all"),
        run=version,
        options=_version,
        model=False,
        formats=("plain", "json", "yaml"),
    ),
    Verb(
        name="bootstrap",
        arguments="[<cloud> [<controller>]]",
        summary="Start the controller, and say which Kubernetes its charms work with.",
        details="Every command starts the controller if need be; this is for --kubeconfig.",
        example=("bootstrap --kubeconfig ~/.local/share/tinykube/kubeconfig",),
        run=bootstrap,
        options=_bootstrap,
        maximum=2,
        model=False,
        refused=(
            ("--config", "the controller has no settings but those of bootstrap --help"),
            ("--model-default", "see model-defaults"),
            *((flag, _PROCESS) for flag in _OF_MACHINES),
        ),
    ),
    Verb(
        name="controllers",
        arguments="",
        summary="List controllers: there is one on this machine.",
        example=("controllers",),
        run=controllers,
        model=False,
        formats=("tabular", "json", "yaml"),
    ),
    Verb(
        name="show-controller",
        arguments="[<controller>]",
        summary="Show the controller with its models.",
        example=("show-controller --format json",),
        run=show_controller,
        maximum=1,
        model=False,
        formats=("yaml", "json"),
    ),
    Verb(
        name="destroy-controller",
        arguments="[<controller>]",
        summary="Destroy the models, if told to, and stop the controller.",
        example=("destroy-controller --destroy-all-models --destroy-storage --no-prompt",),
        run=destroy_controller,
        options=_destroy_options,
        maximum=1,
        model=False,
        refused=(("--release-storage", RELEASE),),
    ),
    Verb(
        name="kill-controller",
        arguments="[<controller>]",
        summary="Destroy all models with their storage, and stop the controller.",
        details="Nothing that fails keeps it from going on.",
        example=("kill-controller --no-prompt",),
        run=kill_controller,
        options=_kill_options,
        maximum=1,
        model=False,
    ),
    Verb(
        name="shutdown",
        arguments="",
        summary="Stop the controller and all that it runs, and keep its state.",
        details="Juju has no such verb: there, a controller is not yours to stop.",
        example=("shutdown",),
        run=shutdown,
        model=False,
    ),
    Verb(
        name="backup",
        arguments="[<file>]",
        summary="Copy the controller's database, by default to state.backup.db in its folder.",
        details="The controller does so by itself: a minute after its start, every hour in which"
        " something changed, and when it ends.",
        example=("backup", "backup ~/before-the-upgrade.db"),
        run=backup,
        maximum=1,
        model=False,
    ),
    Verb(
        name="restore",
        arguments="[<file>]",
        summary="Put a copy of the controller's database in the place of a damaged one.",
        details="What was there is kept beside it, and so is storage that the copy does not know.",
        example=("restore", "restore ~/before-the-upgrade.db"),
        run=restore,
        maximum=1,
        model=False,
    ),
    Verb(
        name="shim-path",
        arguments="",
        summary="Print a folder that holds this command under the name juju.",
        details="Put it on PATH, and what calls juju (jubilant, scripts) calls minijuju.",
        example=("shim-path",),
        run=shim_path,
        model=False,
    ),
)
