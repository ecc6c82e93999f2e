"""A store of charms in a folder: what `juju deploy NAME --channel CHANNEL` finds without Charmhub.

A charm is either one thing, whatever the channel (`NAME.charm` or a charm's folder `NAME`), or has
a folder `NAME` with an `index.yaml`:

    default-track: "14"                  # where a channel has no track; latest if it is not given
    channels:
      14/stable: {revision: 281, resources: {postgresql-image: 149}}
      14/edge: 300                       # resources: the latest revision of each
    revisions:
      281: postgresql-k8s_r281.charm     # relative to this folder
      300: ./source
    resources:
      postgresql-image:
        149: ./image                     # a path, or the reference of an image

A channel that has nothing of its own gets what the next more stable one has, as on Charmhub; `*`
is every channel that is not named.

An `images.yaml` beside the charms says which process images stand in for images of registries,
wherever one is named (here, with `--resource`, in a bundle):

    ghcr.io/example/db:14: ./images/db   # relative to the store's folder
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from . import channels, documents
from .channels import RISKS, Channel
from .charm import CHARM_NAME
from .errors import BadRequestError, NotFoundError

INDEX = "index.yaml"
IMAGES = "images.yaml"
_KEYS = frozenset(["default-track", "channels", "revisions", "resources"])


class StoreError(BadRequestError):
    """A store's index that makes no sense: which file, which key, why."""


@dataclass(frozen=True)
class Release:
    """A revision of a charm, as a channel has it.

    Attributes:
        resources: by name, the revision and where it is: an absolute path or an image.
    """

    name: str
    channel: str
    revision: int
    path: Path
    resources: Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class Entry:
    """Everything that the store has of one charm.

    Attributes:
        channels: by channel, the revision and the revisions of its resources.
        revisions: by revision, where the charm is.
        resources: by name and revision, where it is.
    """

    name: str
    source: Path
    default_track: str
    channels: Mapping[str, tuple[int, Mapping[str, int]]]
    revisions: Mapping[int, Path]
    resources: Mapping[str, Mapping[int, str]]

    def release(self, channel: str | None, revision: int | None = None) -> Release:
        """The revision that a channel has, or the one that is named.

        Raises:
            ChannelError: the channel is none.
            NotFoundError: there is no such channel or revision.
        """
        wanted = channels.parse(channel or "stable")
        if not wanted.track:
            wanted = Channel(self.default_track, wanted.risk, wanted.branch)
        found = self._at(wanted)
        if revision is not None:
            if revision not in self.revisions:
                known = ", ".join(map(str, sorted(self.revisions)))
                raise NotFoundError(
                    f'charm "{self.name}" has no revision {revision} in {self.source} '
                    f"(it has: {known})"
                )
            pinned = found[1] if found and found[0] == revision else {}
            return self._release(wanted, revision, pinned)
        if found is None:
            known = ", ".join(self.channels) or "none"
            raise NotFoundError(
                f'charm "{self.name}" has nothing in channel {wanted} of {self.source} '
                f"(channels: {known})"
            )
        return self._release(wanted, *found)

    def _at(self, wanted: Channel) -> tuple[int, Mapping[str, int]] | None:
        if wanted.branch and str(wanted) in self.channels:
            return self.channels[str(wanted)]
        for risk in RISKS[RISKS.index(wanted.risk) :]:
            if (name := f"{wanted.track}/{risk}") in self.channels:
                return self.channels[name]
        return self.channels.get("*")

    def _release(self, channel: Channel, revision: int, pinned: Mapping[str, int]) -> Release:
        resources = {
            name: (number, known[number])
            for name, known in self.resources.items()
            for number in [pinned.get(name, max(known))]
        }
        return Release(self.name, str(channel), revision, self.revisions[revision], resources)

    def resource(self, name: str, revision: int) -> str:
        """Where a revision of a resource is.

        Raises:
            NotFoundError: there is none.
        """
        known = self.resources.get(name, {})
        if revision not in known:
            listed = ", ".join(map(str, sorted(known))) or "none"
            raise NotFoundError(
                f'charm "{self.name}" has no revision {revision} of the resource "{name}" in '
                f"{self.source} (it has: {listed})"
            )
        return known[revision]


class CharmStore:
    """A folder of charms; read anew with every question."""

    def __init__(self, root: Path) -> None:
        """Take a folder.

        Raises:
            NotFoundError: it is none.
        """
        if not root.is_dir():
            raise NotFoundError(f"the charm store {root} is not a folder")
        self.root = root

    def names(self) -> list[str]:
        """The charms that there are."""
        found = set()
        for path in self.root.iterdir():
            name = path.name.removesuffix(".charm") if path.is_file() else path.name
            if CHARM_NAME.fullmatch(name) and self._place(name) is not None:
                found.add(name)
        return sorted(found)

    def entry(self, name: str) -> Entry:
        """What the store has of a charm.

        Raises:
            NotFoundError: it has none of that name.
            StoreError: its index makes no sense.
        """
        place = self._place(name) if CHARM_NAME.fullmatch(name) else None
        if place is None:
            listed = ", ".join(self.names()) or "nothing"
            raise NotFoundError(
                f'charm or bundle "{name}" not found in the charm store {self.root} '
                f"(it has: {listed})"
            )
        if place.name != INDEX:
            return Entry(name, place, "latest", {"*": (1, {})}, {1: place}, {})
        return _Index(name, self, place).entry()

    def release(self, name: str, channel: str | None, revision: int | None = None) -> Release:
        """A revision of a charm: the one that is named, or the channel's.

        Raises:
            JujuError: there is none, or the index makes no sense.
        """
        return self.entry(name).release(channel, revision)

    def image(self, reference: str) -> str:
        """The folder that stands in for an image of a registry; its reference if none does.

        Raises:
            StoreError: images.yaml makes no sense.
        """
        path = self.root / IMAGES
        if not path.is_file():
            return reference
        table = _Reader(path)
        if reference not in table.data:
            return reference
        return str(table.file(table.data[reference], reference))

    def _place(self, name: str) -> Path | None:
        folder = self.root / name
        for path in (folder / INDEX, self.root / f"{name}.charm"):
            if path.is_file():
                return path
        known = ("metadata.yaml", "charmcraft.yaml")
        return folder if any((folder / file).is_file() for file in known) else None


class _Reader:
    """A YAML file of a store; every complaint names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = self.mapping(documents.read(path), "")

    def file(self, value: Any, where: str) -> Path:
        if not isinstance(value, str) or not value:
            self.fail(where, f"expected a path, got {value!r}")
        path = Path(os.path.normpath(self.path.parent.absolute() / value))
        if not path.exists():
            self.fail(where, f"{path} does not exist")
        return path

    def number(self, value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.fail(where, f"expected a revision, a whole number, got {value!r}")
        return value

    def mapping(self, value: Any, where: str) -> dict[Any, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(where, f"expected a mapping, got {value!r}")
        return value

    def fail(self, where: str, why: str) -> NoReturn:
        raise StoreError(f"{self.path}: {where}: {why}" if where else f"{self.path}: {why}")


class _Index(_Reader):
    """An index.yaml: what there is of one charm."""

    def __init__(self, name: str, store: CharmStore, path: Path) -> None:
        super().__init__(path)
        self.name = name
        self.store = store

    def entry(self) -> Entry:
        for key in self.data:
            if key not in _KEYS:
                self.fail(str(key), f"unknown key; expected {', '.join(sorted(_KEYS))}")
        revisions = {
            self.number(number, f"revisions.{number}"): self.file(path, f"revisions.{number}")
            for number, path in self.mapping(self.data.get("revisions"), "revisions").items()
        }
        resources = {
            str(name): self.resource(known, f"resources.{name}")
            for name, known in self.mapping(self.data.get("resources"), "resources").items()
        }
        track = self.data.get("default-track", "latest")
        if not isinstance(track, str) or not track or "/" in track:
            self.fail("default-track", f"expected a track, in quotes if a number, got {track!r}")
        listed = self.mapping(self.data.get("channels"), "channels")
        found = {
            self.channel(channel, track): self.at(value, f"channels.{channel}", revisions)
            for channel, value in listed.items()
        }
        for channel, (_, pinned) in found.items():
            for name, number in pinned.items():
                if number not in resources.get(name, {}):
                    at = f"channels.{channel}.resources.{name}"
                    self.fail(at, f"revision {number} is not under resources")
        if not found:
            self.fail("channels", "is missing")
        return Entry(
            self.name,
            self.path,
            track,
            MappingProxyType(found),
            MappingProxyType(revisions),
            MappingProxyType(resources),
        )

    def channel(self, text: Any, track: str) -> str:
        if text == "*":
            return "*"
        try:
            channel = channels.parse(str(text))
        except channels.ChannelError as error:
            self.fail("channels", str(error))
        return str(Channel(channel.track or track, channel.risk, channel.branch))

    def at(
        self, value: Any, where: str, revisions: Mapping[int, Path]
    ) -> tuple[int, Mapping[str, int]]:
        body = value if isinstance(value, dict) else {"revision": value}
        number = self.number(body.get("revision"), where)
        if number not in revisions:
            self.fail(where, f"revision {number} is not under revisions")
        resources = self.mapping(body.get("resources"), f"{where}.resources")
        return number, {
            str(name): self.number(revision, f"{where}.resources.{name}")
            for name, revision in resources.items()
        }

    def resource(self, value: Any, where: str) -> Mapping[int, str]:
        found = {}
        for number, text in self.mapping(value, where).items():
            at = f"{where}.{number}"
            if not isinstance(text, str) or not text:
                self.fail(at, f"expected a path or an image, got {text!r}")
            local = text.startswith((".", "/"))
            place = str(self.file(text, at)) if local else self.store.image(text)
            found[self.number(number, at)] = place
        if not found:
            self.fail(where, "has no revision")
        return MappingProxyType(found)
