"""What a charm assumes of the model: `assumes` in its metadata, read and held against it.

The grammar is Juju's: a list of features (`k8s-api`, `juju >= 3.6`) and of `any-of` and `all-of`
lists of the same; all of the outermost list must hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_FEATURE = re.compile(r"([a-z][a-z0-9-]*?[a-z0-9]+)(?:\s*(>=|<)\s*(\S+))?")
_VERSION = re.compile(r"(\d{1,9})(?:\.(\d{1,9})(?:(?:\.|-[a-z]+)(\d{1,9}))?)?(?:\.\d{1,9})?")
_MAX_DEPTH = 16

Version = tuple[int, int, int]


class AssumesError(ValueError):
    """An `assumes` block that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature; the constraint is `>=`, `<` or nothing, and then any version will do."""

    name: str
    constraint: str = ""
    version: Version = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Composite:
    """Several of which all, or at least one, must hold."""

    kind: Literal["all-of", "any-of"]
    parts: tuple[Feature | Composite, ...]


Expression = Feature | Composite


def parse(items: Sequence[Any]) -> Composite:
    """Read the block.

    Raises:
        AssumesError: with Juju's words.
    """
    return Composite("all-of", tuple(_expression(item, 0) for item in items))


def _expression(item: Any, depth: int) -> Expression:
    if depth > _MAX_DEPTH:
        raise AssumesError(f"nested more than {_MAX_DEPTH} levels deep")
    if isinstance(item, str):
        return _feature(item.strip())
    if not isinstance(item, dict):
        raise AssumesError('expected a feature, "any-of" or "all-of" expression')
    if len(item) != 1:
        raise AssumesError("malformed composite expression")
    ((kind, parts),) = item.items()
    if kind not in ("any-of", "all-of"):
        raise AssumesError(
            f'malformed composite expression; expected an "any-of" or "all-of" block, got {kind!r}'
        )
    if not isinstance(parts, list):
        raise AssumesError(f'malformed "{kind}" expression; expected a list of sub-expressions')
    return Composite(kind, tuple(_expression(part, depth + 1) for part in parts))


def _feature(text: str) -> Feature:
    match = _FEATURE.fullmatch(text)
    if not match:
        raise AssumesError(f'malformed feature expression "{text}"')
    name, constraint, version = match.groups(default="")
    if not constraint:
        return Feature(name)
    found = _VERSION.fullmatch(version)
    if not found:
        raise AssumesError(f'malformed feature expression "{text}": invalid version "{version}"')
    return Feature(name, constraint, _numbers(found))


def _numbers(match: re.Match[str]) -> Version:
    major, minor, patch = (int(part) for part in match.groups(default="0"))
    return major, minor, patch


def version(text: str) -> Version:
    """A version such as `3.6.12` as numbers.

    Raises:
        AssumesError: it is none.
    """
    match = _VERSION.fullmatch(text)
    if not match:
        raise AssumesError(f'invalid version "{text}"')
    return _numbers(match)


def unmet(assumed: Composite, features: Mapping[str, Version | None]) -> list[str]:
    """What does not hold, a line each, as Juju lists it; empty if all does.

    Args:
        assumed: What `parse` gave.
        features: What the model has; a version of None is not known, and fits every constraint.
    """
    return [line for part in assumed.parts for line in _unmet(part, features)]


def _unmet(expression: Expression, features: Mapping[str, Version | None]) -> list[str]:
    if isinstance(expression, Feature):
        problem = _lacking(expression, features)
        return [f"- {problem}"] if problem else []
    failed = [_unmet(part, features) for part in expression.parts]
    if expression.kind == "any-of":
        if not failed or not all(failed):
            return []
        head = "- charm requires at least one of the following:"
    else:
        if not any(failed):
            return []
        head = "- charm requires all of the following:"
    return [head, *(f"  {line}" for lines in failed for line in lines)]


def _lacking(feature: Feature, features: Mapping[str, Version | None]) -> str:
    if feature.name not in features:
        return f'charm requires feature "{feature.name}" but model does not support it'
    has = features[feature.name]
    if not feature.constraint or has is None:
        return ""
    if (has >= feature.version) == (feature.constraint == ">="):
        return ""
    wanted = f"{feature.constraint} {_dotted(feature.version)}"
    if feature.name == "juju":
        return f"charm requires Juju version {wanted}, model has version {_dotted(has)}"
    return (
        f'charm requires feature "{feature.name}" (version {wanted}) but model currently '
        f"supports version {_dotted(has)}"
    )


def _dotted(numbers: Version) -> str:
    return ".".join(map(str, numbers))
