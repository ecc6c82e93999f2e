"""Taints of nodes and what pods tolerate (`k8s.io/api/core/v1`, Taint and Toleration)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "PreferNoSchedule", "NoExecute"
EFFECTS = (NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE)
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True, slots=True)
class Taint:
    """One taint; `added` is when a NoExecute one was put on, as the API writes times."""

    key: str
    effect: str
    value: str = ""
    added: str = ""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Taint:
        """A taint of a node's spec."""
        return cls(
            body["key"], body["effect"], body.get("value") or "", body.get("timeAdded") or ""
        )


@dataclass(frozen=True, slots=True)
class Toleration:
    """One toleration; `seconds` is None where it tolerates for ever."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    seconds: int | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Toleration:
        """A toleration of a pod's spec."""
        return cls(
            body.get("key") or "",
            body.get("operator") or "Equal",
            body.get("value") or "",
            body.get("effect") or "",
            body.get("tolerationSeconds"),
        )

    def tolerates(self, taint: Taint) -> bool:
        """True if it covers the taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator == "Exists" or self.value == taint.value


def untolerated(
    taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: Iterable[str]
) -> list[Taint]:
    """The taints of these effects that none of the tolerations covers."""
    return [
        taint
        for taint in taints
        if taint.effect in effects and not any(item.tolerates(taint) for item in tolerations)
    ]
