"""Which image a step has in place of the one that its pipeline names.

    {"python:3.11": "registry.example.com/python:3.11", "docker.io/*": "mirror.example.com/*"}

An exact name comes first, then the longest pattern; what the star of a pattern stood for takes the
place of the star in its target. Names are compared as pipelines write them, and what was found is
not looked up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

_STAR: Final = "*"
_SHOWN: Final = 80


class ImageMapError(ValueError):
    """A map cannot be used; the message names the entry and says why."""


@dataclass(frozen=True, slots=True)
class ImageMap:
    """A map of images, checked.

    Attributes:
        exact: images by name.
        patterns: what names begin with, the longest first, and what they become.
    """

    exact: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, data: object) -> Self:
        """Check a map of texts to texts.

        Raises:
            ImageMapError: it is none, or an entry is wrong.
        """
        if not isinstance(data, Mapping):
            raise ImageMapError("it must be a map of images to images")
        exact, patterns = {}, {}
        for name, target in data.items():
            if problem := _problem(name, target):
                entry = f"{str(name)[:_SHOWN]!r}: {str(target)[:_SHOWN]!r}"
                raise ImageMapError(f"{entry}: {problem}")
            if name.endswith(_STAR):
                patterns[name.removesuffix(_STAR)] = target
            else:
                exact[name] = target
        return cls(exact, tuple(sorted(patterns.items(), key=lambda entry: -len(entry[0]))))

    def of(self, image: str) -> str:
        """Give what a step has for an image; the same if the map says nothing of it."""
        if image in self.exact:
            return self.exact[image]
        for start, target in self.patterns:
            if image.startswith(start):
                return target.replace(_STAR, image.removeprefix(start))
        return image


def _problem(name: object, target: object) -> str:
    """Give what is wrong with an entry, or ""."""
    if not isinstance(name, str) or not isinstance(target, str) or not name or not target:
        return "write the names of images, quoted if need be"
    if any(not each.isprintable() or " " in each for each in (name, target)):
        return "the name of an image has no blanks"
    if max(name.count(_STAR), target.count(_STAR)) > 1:
        return "only one * in a name"
    if _STAR in name.removesuffix(_STAR):
        return "* only at the end of the name to be replaced"
    if _STAR in target and _STAR not in name:
        return "there is nothing for the * to stand for"
    return ""
