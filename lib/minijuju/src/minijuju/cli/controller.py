"""The controller itself: version, bootstrap, who and where, shut down, the folder for `juju`."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import Any

from minijuju import documents
from minijuju.models import DEFAULTS
from minijuju.shim import shim_folder

from .output import emit, structured
from .session import CONTROLLER, USER, Session
from .verb import CommandError, Parser, UsageError, Verb

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_text() -> str:
    """The version of Juju that minijuju behaves as, in Juju's form."""
    machine = platform.machine()
    return f"{DEFAULTS['agent-version']}-ubuntu-{_ARCHITECTURES.get(machine, machine)}"


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
    if arguments.args:
        raise UsageError(
            f"{session.program} bootstrap <cloud>: not built in minijuju yet; the controller "
            "starts by itself on this machine (--kubeconfig names the cluster its charms see)"
        )
    if arguments.kubeconfig:
        kubeconfig = Path(os.path.normpath(Path.cwd() / arguments.kubeconfig))
        document = documents.read(kubeconfig)
        if not isinstance(document, dict) or not document.get("clusters"):
            raise CommandError(f"{kubeconfig} is not a kubeconfig: it names no clusters")
        _configure(session, kubeconfig)
    session.call("ping")
    session.say(f"The controller {CONTROLLER} runs; its state is in {session.data}")
    return 0


def _configure(session: Session, kubeconfig: Path) -> None:
    """Write the controller's configuration; a running controller reads it when it starts again."""
    file = session.data / "config.yaml"
    data = documents.read(file) if file.exists() else {}
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise CommandError(f"{file}: expected a mapping")
    if data.get("kubeconfig") == str(kubeconfig):
        return
    data["kubeconfig"] = str(kubeconfig)
    session.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(documents.dump(data))
    temporary.replace(file)
    if session.running():
        session.stop()


def controllers(session: Session, arguments: argparse.Namespace) -> int:
    """List the one controller."""
    model = session.current_model()
    document: dict[str, Any] = {
        "controllers": {
            CONTROLLER: {
                "current-model": f"{USER}/{model}" if model else "",
                "user": USER,
                "access": "superuser",
                "cloud": "localhost",
                "agent-version": DEFAULTS["agent-version"],
                "running": session.running(),
                "data": str(session.data),
            }
        },
        "current-controller": CONTROLLER,
    }
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def whoami(session: Session, arguments: argparse.Namespace) -> int:
    """Print controller, model and user."""
    model = session.current_model()
    document = {
        "controller": CONTROLLER,
        "model": f"{USER}/{model}" if model else "",
        "user": USER,
    }
    emit(structured(document, arguments.format), session.stdout, arguments.output)
    return 0


def shutdown(session: Session, arguments: argparse.Namespace) -> int:
    """Stop the controller and what it runs; the next command starts all of it again."""
    if not session.running():
        session.say("The controller does not run.")
        return 0
    session.stop()
    session.say("The controller and what it ran have stopped; their state is kept.")
    return 0


def shim_path(session: Session, arguments: argparse.Namespace) -> int:
    """Print the folder that holds this command under the name `juju`."""
    print(shim_folder(session.data), file=session.stdout)
    return 0


def _version(parser: Parser) -> None:
    parser.add_argument("--all", action="store_true", help="print all there is")


def _bootstrap(parser: Parser) -> None:
    parser.add_argument("--kubeconfig", metavar="FILE", help="the cluster that charms work with")
    parser.add_argument("--no-switch", action="store_true", help=argparse.SUPPRESS)


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
        arguments="",
        summary="Start the controller, and say which Kubernetes its charms work with.",
        details="Every command starts the controller if need be; this is for --kubeconfig.",
        example=("bootstrap --kubeconfig ~/.local/share/tinykube/kubeconfig",),
        run=bootstrap,
        options=_bootstrap,
        maximum=None,
        model=False,
        unbuilt=(
            "--config",
            "--constraints",
            "--bootstrap-base",
            "--bootstrap-constraints",
            "--credential",
            "--force",
            "--model-default",
            "--storage-pool",
            "--to",
            "--metadata-source",
        ),
    ),
    Verb(
        name="controllers",
        arguments="",
        summary="List controllers: there is one on this machine.",
        example=("controllers",),
        run=controllers,
        model=False,
        formats=("yaml", "json"),
    ),
    Verb(
        name="whoami",
        arguments="",
        summary="Print the controller, model and user.",
        example=("whoami",),
        run=whoami,
        model=False,
        formats=("yaml", "json"),
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
        name="shim-path",
        arguments="",
        summary="Print a folder that holds this command under the name juju.",
        details="Put it on PATH, and what calls juju (jubilant, scripts) calls minijuju.",
        example=("shim-path",),
        run=shim_path,
        model=False,
    ),
)
