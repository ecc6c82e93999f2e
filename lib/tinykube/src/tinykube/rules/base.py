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
    """The rules of kinds that have no more than the common ones.

    Attributes:
        apart: True if the metadata is judged only of what has no other fault.
    """

    apart = False

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """Fill in defaults; `old` is None for a new object."""

    def complete(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """Refuse (ApiError) or complete, before it is judged, what depends on other objects."""

    def validate(self, new: JSON, old: JSON | None) -> Iterable[Cause]:
        """The faults of an object, beyond its metadata."""
        del new, old
        return ()

    def lacking(self, new: JSON) -> Iterable[Cause]:
        """What a valid object asks for and Kubernetes has, but not this control plane."""
        del new
        return ()

    def validate_status(self, new: JSON, old: JSON) -> Iterable[Cause]:
        """The faults of an object whose status alone is written."""
        del new, old
        return ()

    def warnings(self, new: JSON, old: JSON | None) -> Iterable[str]:
        """What the client of an object that is taken is warned of."""
        del new, old
        return ()

    def deleting(self, obj: JSON) -> None:
        """Note in an object that its deletion was asked for, beyond its metadata."""

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """Refuse (ApiError) a valid object for its caller's or other objects' sake."""


def add_finalizer(obj: JSON, name: str) -> None:
    """Put a finalizer on an object unless it is there."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if name not in finalizers:
        finalizers.append(name)
