"""`python -m toolkit_pipelines.upkeep`: backups of the service's state, written and restored.

What was done is told as JSON on standard output; what went wrong, on standard error, with exit
code 2. `backup` and `prepare` may run beside the service, `swap` and `undo` may not.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from . import backup, timestamps
from .app import DATABASE, InUseError, locked, root_of
from .archive import About
from .backup import BackupError
from .restoration import Restoration, RestoreError
from .settings import Settings, SettingsError, load

BACKUPS: Final = "backups"
"""The folder in the state's that backups go to if nothing else is said."""


def _backup(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    target = arguments.to or settings.state / BACKUPS
    if target.is_dir() or arguments.to is None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = target / f"{settings.name}-{stamp}.tar"
    written = backup.write(
        settings.state / DATABASE,
        root_of(settings),
        target,
        name=settings.name,
        store=settings.artifact_store.partition("?")[0],
    )
    told = {"path": str(written.path), "size": written.size, "files": written.files}
    return {**told, **_about(written.about)}


def _prepare(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    about = _restoration(settings).prepare(arguments.archive)
    return {"path": str(arguments.archive), **_about(about)}


def _swap(settings: Settings, _: argparse.Namespace) -> dict[str, Any]:
    with locked(settings.state):
        _restoration(settings).swap()
    return {}


def _undo(settings: Settings, _: argparse.Namespace) -> dict[str, Any]:
    with locked(settings.state):
        _restoration(settings).undo()
    return {}


_VERBS: Mapping[str, Callable[[Settings, argparse.Namespace], dict[str, Any]]] = {
    "backup": _backup,
    "prepare": _prepare,
    "swap": _swap,
    "undo": _undo,
}


def _restoration(settings: Settings) -> Restoration:
    return Restoration(settings.state / DATABASE, root_of(settings))


def _about(about: About) -> dict[str, Any]:
    return {**dataclasses.asdict(about), "created": timestamps.format(about.created)}


def _absolute(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise argparse.ArgumentTypeError(f"write an absolute path, not {text!r}")
    return Path(text)


def main(words: list[str]) -> int:
    """Do what is asked for; 2 means that it cannot be done."""
    parser = argparse.ArgumentParser(prog="toolkit_pipelines.upkeep", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the settings")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("backup", help="write a backup")
    verb.add_argument("--to", type=_absolute, help="a file that is not there, or a folder")
    verb = verbs.add_parser("prepare", help="check a backup and unpack it")
    verb.add_argument("archive", type=_absolute, help="the file that `backup` wrote")
    verbs.add_parser("swap", help="put what was prepared in the place of what is there")
    verbs.add_parser("undo", help="put back what was replaced")
    arguments = parser.parse_args(words)
    os.umask(0o077)
    try:
        settings = load(arguments.config)
        if settings.database_file is not None:
            raise BackupError(
                "the data are in PostgreSQL, whose own tools write and restore backups; the files "
                f"of runs are in {settings.artifact_store or settings.pipeline_root}"
            )
        done = _VERBS[arguments.verb](settings, arguments)
    except (SettingsError, BackupError, RestoreError, InUseError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{json.dumps(done)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
