"""What a step ran in, as far as its outputs depend on it: its image, and its packages.

The packages are a lock: each that the step could import, with its version, as its launcher or the
build of its environment listed them. A run has each lock once, in the event of the first task that
ran in it; the others have its digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .events import Event, TaskSucceeded
from .runstate import RunState

_MOST = 10_000
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a step ran in.

    Attributes:
        image: the reference of its image, as Kubernetes was given it.
        packages: the lock, sorted; () if the step installed nothing, so that the image alone says
            what it had, or if nobody has listed them.
    """

    image: str = ""
    packages: tuple[str, ...] = ()


def lock(packages: Sequence[str]) -> str:
    """Give the digest that a lock is known by; "" if there is none."""
    if not packages:
        return ""
    return hashlib.sha256("\n".join(packages).encode()).hexdigest()


def listed(data: Any) -> tuple[str, ...]:
    """Read a lock as a launcher wrote it; () if it wrote none, as those of before do.

    Raises:
        ValueError: it is no list of packages.
    """
    if data is None:
        return ()
    good = isinstance(data, list) and len(data) <= _MOST
    if not good or not all(_is_package(each) for each in data):
        raise ValueError(f"the list of packages is none: {json.dumps(data)[:200]}")
    return tuple(data)


def _is_package(data: Any) -> bool:
    return isinstance(data, str) and 0 < len(data) <= _LONGEST and data.isprintable()


def once(event: Event, state: RunState) -> Event:
    """Leave the lock out of an event if its run has it already."""
    if isinstance(event, TaskSucceeded) and event.lock in state.locks:
        return dataclasses.replace(event, packages=())
    return event


def changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Tell how two locks differ, a package a text: `numpy==1.26.4 is numpy==2.3.5`."""
    old, new = _by_name(before), _by_name(after)
    return [
        f"{old.get(name, f'no {name}')} is {new.get(name, f'no {name}')} now"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _by_name(packages: Sequence[str]) -> dict[str, str]:
    return {each.partition(" @ ")[0].partition("==")[0]: each for each in packages}
