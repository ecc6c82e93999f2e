"""The rules of leases."""

from __future__ import annotations

from collections.abc import Iterator

from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.status import Cause, wrong


class LeaseRules(Rules):
    """Leases: their times make sense."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del old
        new.setdefault("spec", {})

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        spec = new["spec"]
        if (seconds := spec.get("leaseDurationSeconds", 1)) <= 0:
            yield wrong("spec.leaseDurationSeconds", seconds, "must be greater than 0")
        if (transitions := spec.get("leaseTransitions", 0)) < 0:
            why = "must be greater than or equal to 0"
            yield wrong("spec.leaseTransitions", transitions, why)
