"""The rules of stateful sets: Kubernetes' own, and that somebody must keep each of them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinykube import objects, podspec
from tinykube.objects import JSON
from tinykube.rbac import Caller
from tinykube.rules.base import Rules
from tinykube.status import Cause, forbidden, forbidden_field, required, unsupported, wrong

if TYPE_CHECKING:
    from tinykube.registry import Registry

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "juju"
_CHANGEABLE = (
    "replicas",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_POLICIES = ("OrderedReady", "Parallel")
_STRATEGIES = ("RollingUpdate", "OnDelete")


class StatefulSetRules(Rules):
    """Stateful sets."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec: JSON = new.setdefault("spec", {})
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy: JSON = spec.setdefault("updateStrategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        retention: JSON = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        for moment in ("whenDeleted", "whenScaled"):
            retention.setdefault(moment, "Retain")
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        podspec.default_template(spec.setdefault("template", {}))
        if old is None:
            new["status"] = {"availableReplicas": 0, "replicas": 0}

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        if spec["replicas"] < 0:
            why = "must be greater than or equal to 0"
            yield wrong("spec.replicas", spec["replicas"], why)
        if spec["podManagementPolicy"] not in _POLICIES:
            yield unsupported("spec.podManagementPolicy", spec["podManagementPolicy"], _POLICIES)
        if spec["updateStrategy"]["type"] not in _STRATEGIES:
            kind = spec["updateStrategy"]["type"]
            yield unsupported("spec.updateStrategy.type", kind, _STRATEGIES)
        yield from podspec.template_faults(spec["template"], "spec.template")
        if spec["template"]["spec"]["restartPolicy"] != "Always":
            policy = spec["template"]["spec"]["restartPolicy"]
            yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
        if old is not None:
            was = old["spec"]
            if any(spec.get(k) != was.get(k) for k in {*spec, *was} - {*_CHANGEABLE}):
                yield forbidden_field(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                    "'template', 'updateStrategy', 'revisionHistoryLimit', "
                    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                )
            return
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        wanted = (spec.get("selector") or {}).get("matchLabels") or {}
        if not wanted:
            yield required("spec.selector", "empty selector is invalid for statefulset")
        elif any(labels.get(key) != value for key, value in wanted.items()):
            why = "`selector` does not match template `labels`"
            yield wrong("spec.template.metadata.labels", labels, why)

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del registry, caller
        if old is None and (new["metadata"].get("labels") or {}).get(MANAGED_BY) != MANAGER:
            raise forbidden(
                "statefulsets",
                "apps",
                objects.name(new),
                "tinykube makes no pods of stateful sets; it shows those that Juju keeps up "
                f"(labelled {MANAGED_BY}={MANAGER}). Deploy a charm, or create a Job or a Pod",
            )
