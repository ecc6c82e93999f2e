"""End what runs, and delete what it left."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import minijuju.daemon
import sandbox.images
import tinykube.daemon
from toolkit_cli.errors import ToolkitError
from toolkit_cli.progress import Reporter, task
from toolkit_cli.source import Source
from toolkit_cli.tokens import folder as tokens_folder


def down(report: Reporter) -> None:
    """End minijuju with all units, and tinykube with all pods; their data stays.

    Raises:
        ToolkitError: something would not end.
    """
    with task(report, "minijuju") as said, _told():
        said.append("stopped" if minijuju.daemon.stop() else "was not running")
    with task(report, "tinykube") as said, _told():
        said.append("stopped" if tinykube.daemon.stop(pods=True) else "was not running")


def purge(report: Reporter, source: Source) -> None:
    """Delete data, builds, caches and packed charms."""
    folders = [
        minijuju.daemon.data_folder(),
        tinykube.daemon.data_folder(),
        sandbox.images.store_folder(),
        tokens_folder(),
    ]
    with task(report, "purge") as said:
        for folder in folders:
            _remove(folder)
        for charm in source.charms():
            (charm / f"{charm.name}.charm").unlink(missing_ok=True)
        said.append(", ".join(map(str, folders)))


def _remove(folder: Path) -> None:
    """Delete a tree, folders without write permission (Go's module cache has them) included."""
    if not folder.exists():
        return
    for below in [folder, *folder.rglob("*")]:
        if below.is_dir() and not below.is_symlink():
            below.chmod(0o700)
    shutil.rmtree(folder)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise ToolkitError(str(error)) from error
