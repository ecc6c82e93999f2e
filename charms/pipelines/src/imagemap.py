"""The option `image-map`: which images steps have in place of those that pipelines name.

The rules are the workload's (`toolkit_pipelines.imagemap`); a wrong map is told here, before it
gets there.
"""

from __future__ import annotations

from toolkit_charm import documents

_EXAMPLE = '{"docker.io/*": "mirror.example.com/*"}'
_STAR = "*"
_SHOWN = 60  # characters of a name that a message repeats


def read(text: object) -> dict[str, str]:
    """Give the map, {} if the option is empty; ValueError names the entry that is wrong."""
    found = documents.read(text, _EXAMPLE)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"write a map of images such as {_EXAMPLE}")
    for name, target in found.items():
        if problem := _problem(name, target):
            raise ValueError(f"{str(name)[:_SHOWN]!r}: {str(target)[:_SHOWN]!r}: {problem}")
    return found


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
