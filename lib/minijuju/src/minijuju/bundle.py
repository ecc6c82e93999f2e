"""Bundles: several applications and their relations in one file, with overlays on top.

`load` reads a `bundle.yaml` (one document or more, or a folder that holds it) with overlays in
order, merges them as Juju does (`bundle_parts`) and holds the whole against the charms
(`bundle_check`), so that a bundle that is wrong anywhere changes nothing. All problems are told at
once, each by its path in the document. Deploying one is `changes.plan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import bundle_check, bundle_parts
from .bundle_check import Application, Bundle, BundleError
from .charm_store import CharmStore

__all__ = ["Application", "Bundle", "BundleError", "is_bundle", "load"]


def is_bundle(path: Path) -> bool:
    """Whether to deploy this as a bundle: a YAML file, or a folder with a bundle.yaml."""
    if path.is_dir():
        return (path / "bundle.yaml").is_file()
    return path.suffix in (".yaml", ".yml")


def load(path: Path, overlays: Iterable[Path] = (), *, store: CharmStore | None = None) -> Bundle:
    """Read and check a bundle with its overlays.

    Args:
        path: A bundle file, or a folder that holds `bundle.yaml`.
        overlays: Files laid over it, in this order.
        store: Has the charms that are named without a path.

    Raises:
        BundleError: Anything is wrong, in any of the files or charms.
    """
    file = path / "bundle.yaml" if path.is_dir() else path
    problems: list[str] = []
    parts = [part for source in (file, *overlays) for part in bundle_parts.read(source, problems)]
    if problems:
        raise BundleError(problems)
    if not parts:
        raise BundleError([f"{file}: the bundle is empty"])
    for index, part in enumerate(parts):
        part.check(problems, overlay=index > 0)
    if problems:
        raise BundleError(problems)
    ignored = tuple(text for part in parts for text in part.unknown())
    merged = parts[0].known(problems)
    for part in parts[1:]:
        bundle_parts.merge(merged, part.known(problems))
    if problems:
        raise BundleError(problems)
    return bundle_check.check(merged, store, ignored)
