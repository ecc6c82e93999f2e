"""Where the repository, its charms and its images are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from toolkit_cli.errors import ToolkitError


@dataclass(frozen=True, slots=True)
class Source:
    """A checkout of the toolkit.

    Attributes:
        root: its top folder.
    """

    root: Path

    @classmethod
    def find(cls) -> Source:
        """The checkout that the `toolkit` script stands in.

        Raises:
            ToolkitError: neither TOOLKIT_SOURCE nor this package's own place is a checkout.
        """
        named = os.environ.get("TOOLKIT_SOURCE")
        root = Path(named) if named else Path(__file__).resolve().parents[4]
        if not (root / "bundle" / "bundle.yaml").is_file():
            raise ToolkitError(f"{root} is no checkout of the toolkit: no bundle/bundle.yaml")
        return cls(root)

    @property
    def bundle(self) -> Path:
        """The bundle that `up` deploys."""
        return self.root / "bundle" / "bundle.yaml"

    @property
    def desktop_overlay(self) -> Path:
        """What stands in for OCI images on one machine."""
        return self.root / "bundle" / "overlays" / "desktop.yaml"

    @property
    def cache(self) -> Path:
        """Where the `toolkit` script keeps what can be made again."""
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Path(cache) / "charmed-ml-toolkit"

    def charms(self) -> list[Path]:
        """The folders of all charms, by name."""
        return sorted(file.parent for file in self.root.glob("charms/*/charmcraft.yaml"))

    def charm(self, name: str) -> Path:
        """The folder of one charm.

        Raises:
            ToolkitError: there is none of that name.
        """
        folders = {folder.name: folder for folder in self.charms()}
        if name not in folders:
            raise ToolkitError(f"no charm {name!r} in charms/; there are: {', '.join(folders)}")
        return folders[name]

    def images(self) -> list[Path]:
        """The folders of all process images, by name."""
        return sorted(file.parent for file in self.root.glob("images/*/pyproject.toml"))
