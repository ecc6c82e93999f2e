"""What a pod's image is on this machine: a process image, or the machine's own programs.

The table `images` of the config file comes first; then a few that every machine has.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox.images import ImageStore
from sandbox.spec import Image

# In the config's table: the machine's own /usr, no process image.
MACHINE = "machine"
_PYTHON = f"python:{sys.version_info.major}.{sys.version_info.minor}"
_DEFAULTS = (
    *("alpine*", "busybox*", "debian*", "ubuntu*", "registry.access.redhat.com/ubi*"),
    *("python", "python:3", "python:latest", "python:slim", "python:3-*"),
    *(_PYTHON, f"{_PYTHON}-*", f"{_PYTHON}.*"),
)
_MACHINE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class PullError(Exception):
    """An image cannot be had here; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What an image is here.

    Attributes:
        id: what to report as `imageID`.
        image: the process image; None for the machine's own programs.
        env: variables to set where there is no process image.
    """

    id: str
    image: Image | None
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """An image name pattern (as fnmatch has it) and the reference it stands for."""

    match: str
    image: str


def normalise(name: str) -> str:
    """An image's short name: Docker Hub's own prefixes away."""
    for prefix in ("index.docker.io/", "docker.io/", "library/"):
        name = name.removeprefix(prefix)
    return name


def read_rules(data: object, path: Path) -> tuple[Rule, ...]:
    """Check the config's `images`. Raises PullError with what is wrong and where."""
    if data is None:
        return ()
    if not isinstance(data, list):
        raise PullError(f"{path}: images is not a list of {{match, image}}")
    rules = []
    for index, item in enumerate(data):
        if not isinstance(item, dict) or set(item) != {"match", "image"}:
            raise PullError(f"{path}: images[{index}] is not {{match: PATTERN, image: REFERENCE}}")
        if not all(isinstance(value, str) and value for value in item.values()):
            raise PullError(f"{path}: images[{index}] holds something that is not a text")
        rules.append(Rule(normalise(item["match"]), item["image"]))
    return tuple(rules)


class ImageMap:
    """The images of this node.

    Args:
        config: the config file; read again whenever it has changed; it need not exist.
        store: where process images are.
    """

    def __init__(self, config: Path, store: ImageStore) -> None:
        self._config = config
        self._store = store
        self._seen: tuple[int, int] | None = None
        self._rules: tuple[Rule, ...] = ()
        # Images that were found, and the inode and time of what describes each.
        self._found: dict[str, tuple[tuple[int, int], Resolved]] = {}

    def resolve(self, name: str) -> Resolved:
        """What the image `name` is here. Raises PullError."""
        if name.startswith("process.local/"):
            return self._process_image(name, asked=name)
        self._reload()
        short = normalise(name)
        for rule in self._rules:
            if _matches(short, rule.match):
                if rule.image == MACHINE:
                    return _machine()
                return self._process_image(rule.image, asked=name)
        if any(_matches(short, pattern) for pattern in _DEFAULTS):
            return _machine()
        raise PullError(
            f'image "{name}" is not on this machine, and images cannot be pulled: map it to a'
            f" process image by a line of `images` in {self._config}:"
            f' - {{match: "{short}", image: "process.local/NAME@sha256:..."}}'
        )

    def _process_image(self, reference: str, *, asked: str) -> Resolved:
        known = self._found.get(reference)
        if known is not None and known[0] == _described(known[1].image):
            return known[1]
        image = self._store.get(reference)
        if image is None:
            mapped = "" if asked == reference else f' (which {self._config} maps "{asked}" to)'
            raise PullError(
                f'image "{reference}"{mapped} is not built on this machine; build it from its'
                f" folder into the store {self._store.root}"
            )
        resolved = Resolved(image.reference, image, {})
        if (described := _described(image)) is not None:
            self._found[reference] = (described, resolved)
        return resolved

    def _reload(self) -> None:
        try:
            found = os.stat(self._config)
        except FileNotFoundError:
            self._seen, self._rules = None, ()
            return
        seen = (found.st_mtime_ns, found.st_ino)
        if seen == self._seen:
            return
        try:
            data = yaml.safe_load(self._config.read_text()) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise PullError(f"{self._config}: {error}") from error
        if not isinstance(data, dict):
            raise PullError(f"{self._config} is not a table of options")
        self._rules = read_rules(data.get("images"), self._config)
        self._seen = seen


def _described(image: Image | None) -> tuple[int, int] | None:
    """What tells whether an image is still the same; None if it is gone."""
    if image is None:
        return None
    try:
        found = os.stat(f"{image.path}/../image.json")
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _matches(name: str, pattern: str) -> bool:
    names: Sequence[str] = (name,)
    if ":" not in name.rpartition("/")[2] and "@" not in name:
        names = (name, f"{name}:latest")
    return any(fnmatch.fnmatchcase(candidate, pattern) for candidate in names)


def _machine() -> Resolved:
    """The machine's own programs, and the Python that this runs on."""
    python = Path(sys.base_prefix, "bin")
    path = _MACHINE_PATH if python == Path("/usr/bin") else f"{python}:{_MACHINE_PATH}"
    return Resolved(f"{MACHINE}://{sys.platform}", None, {"PATH": path})
