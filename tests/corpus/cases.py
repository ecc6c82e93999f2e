"""The corpus of bundles and charms, as folders that can be read, for whoever judges them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ACCEPTS = "accepts"


@dataclass(frozen=True)
class Case:
    """One case; `juju` and `minijuju` are `accepts` or words of an error."""

    name: str
    juju: str
    minijuju: str
    ignores: str
    why: str
    data: dict[str, Any]

    @property
    def differs(self) -> bool:
        """Whether the two verdicts are not the same."""
        return (self.juju == ACCEPTS) != (self.minijuju == ACCEPTS)


def _case(data: dict[str, Any]) -> Case:
    return Case(
        name=data["name"],
        juju=data["juju"],
        minijuju=data.get("minijuju", data["juju"]),
        ignores=data.get("ignores", ""),
        why=data.get("why", ""),
        data=data,
    )


def bundles() -> list[Case]:
    """The bundles."""
    return [_case(data) for data in yaml.safe_load((HERE / "bundles.yaml").read_text())]


def charms() -> list[Case]:
    """The charms."""
    found = yaml.safe_load((HERE / "charms.yaml").read_text())
    return [_case({**found["base"], **data}) for data in found["cases"]]


@dataclass(frozen=True)
class BundleFiles:
    """A bundle on disk; `store` maps the charms that a store has to their folders."""

    bundle: Path
    overlays: tuple[Path, ...]
    store: dict[str, Path]


def lay_out_bundle(case: Case, folder: Path) -> BundleFiles:
    """Write a case's files into an empty folder, the charms beside them."""
    for charm in (HERE / "charms").iterdir():
        shutil.copytree(charm, folder / charm.name)
    for name, text in case.data.get("files", {}).items():
        (folder / name).write_text(text)
    bundle = folder / "bundle.yaml"
    bundle.write_text(case.data["bundle"])
    overlays = []
    for number, text in enumerate(case.data.get("overlays", [])):
        overlays.append(folder / f"overlay-{number}.yaml")
        if text is not None:
            overlays[-1].write_text(text)
    store = {name: folder / name for name in case.data.get("store", [])}
    return BundleFiles(bundle, tuple(overlays), store)


def lay_out_charm(case: Case, folder: Path) -> Path:
    """Write a case's files into an empty folder."""
    for name in ("metadata.yaml", "manifest.yaml", "config.yaml", "actions.yaml"):
        if case.data.get(name) is not None:
            (folder / name).write_text(case.data[name])
    return folder
