"""What every kind's rules are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tinykube.objects import JSON
from tinykube.rbac import Caller
from tinykube.status import Cause

if TYPE_CHECKING:
    from tinykube.registry import Registry


class Rules:
    """The rules of kinds that have no more than the common ones."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """Fill in defaults; `old` is None for a new object."""

    def validate(self, new: JSON, old: JSON | None) -> Iterable[Cause]:
        """The faults of an object, beyond its metadata."""
        del new, old
        return ()

    def validate_status(self, new: JSON, old: JSON) -> Iterable[Cause]:
        """The faults of an object whose status alone is written."""
        del new, old
        return ()

    def deleting(self, obj: JSON) -> None:
        """Note in an object that its deletion was asked for, beyond its metadata."""

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """Refuse (ApiError) what depends on the caller or on other objects, or complete it."""


def add_finalizer(obj: JSON, name: str) -> None:
    """Put a finalizer on an object unless it is there."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if name not in finalizers:
        finalizers.append(name)
