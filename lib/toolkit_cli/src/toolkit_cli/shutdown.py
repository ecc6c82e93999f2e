"""End what runs, and delete what it left."""

from __future__ import annotations

import shutil
from pathlib import Path

import sandbox.images
from toolkit_cli import elsewhere, tokens
from toolkit_cli.progress import Reporter, task
from toolkit_cli.source import Source
from toolkit_cli.substrate import Juju, Kube


def down(report: Reporter) -> None:
    """End minijuju with all units, and tinykube with all pods; their data stays.

    Raises:
        ToolkitError: something would not end.
    """
    with task(report, "minijuju") as said:
        said.append("stopped" if Juju().stop() else "was not running")
    for cluster, outcome in elsewhere.forget():
        with task(report, f"steps in {cluster}") as said:
            said.append(outcome)
    with task(report, "tinykube") as said:
        said.append("stopped" if Kube().stop() else "was not running")


def purge(report: Reporter, source: Source) -> None:
    """Delete data, builds, caches and packed charms."""
    folders = [Juju().folder, Kube().folder.root, sandbox.images.store_root()]
    folders += [tokens.folder().parent, source.cache]
    with task(report, "purge") as said:
        for folder in folders:
            _remove(folder)
        for charm in source.charms():
            (charm / f"{charm.name}.charm").unlink(missing_ok=True)
        said.append(", ".join(map(str, folders)))


def _remove(folder: Path) -> None:
    """Delete a tree, folders without write permission included."""
    if not folder.exists():
        return
    for below in [folder, *folder.rglob("*")]:
        if below.is_dir() and not below.is_symlink():
            below.chmod(0o700)
    shutil.rmtree(folder)
