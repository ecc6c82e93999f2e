"""Where pods may run, in Kubernetes' own words, and how a pod's own word joins the operator's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a pod may run.

    Attributes:
        node_selector: labels that the node must have.
        tolerations: taints that do not keep the pod away, as a pod's spec has them.
        affinity: likewise.
        runtime_class, priority_class: their names, or "".
    """

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)
    runtime_class: str = ""
    priority_class: str = ""

    def over(self, defaults: Placement) -> Placement:
        """Give this with what it leaves open taken from `defaults`.

        Labels are compared one by one, and kinds of affinity (node, pod, anti) too. Tolerations
        only ever permit, so both sides' hold.
        """
        own = [dict(each) for each in self.tolerations]
        more = [each for each in defaults.tolerations if dict(each) not in own]
        return Placement(
            {**defaults.node_selector, **self.node_selector},
            (*self.tolerations, *more),
            {**defaults.affinity, **self.affinity},
            self.runtime_class or defaults.runtime_class,
            self.priority_class or defaults.priority_class,
        )

    def requiring(self, requirement: Mapping[str, Any] | None) -> Placement:
        """Give this with one more expression that a node's labels must match."""
        if requirement is None:
            return self
        affinity: dict[str, Any] = copy.deepcopy(dict(self.affinity))
        node = affinity.setdefault("nodeAffinity", {})
        # One of the terms has to match, so each of them gets the expression.
        terms = node.setdefault(_REQUIRED, {}).setdefault("nodeSelectorTerms", [])
        if not terms:
            terms.append({})
        for term in terms:
            term.setdefault("matchExpressions", []).append(dict(requirement))
        return Placement(
            self.node_selector, self.tolerations, affinity, self.runtime_class, self.priority_class
        )

    def manifest(self) -> dict[str, Any]:
        """Give what a pod's spec says of it."""
        found: dict[str, Any] = {
            "nodeSelector": dict(self.node_selector),
            "tolerations": [dict(each) for each in self.tolerations],
            "affinity": dict(self.affinity),
            "runtimeClassName": self.runtime_class,
            "priorityClassName": self.priority_class,
        }
        return {name: value for name, value in found.items() if value}
