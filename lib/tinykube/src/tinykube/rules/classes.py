"""The rules of classes: of priority, runtime and storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinykube import names, objects
from tinykube.admission import priorities
from tinykube.objects import JSON
from tinykube.rbac import Caller
from tinykube.rules.base import Rules
from tinykube.status import Cause, forbidden, forbidden_field, required, unsupported, wrong

if TYPE_CHECKING:
    from tinykube.registry import Registry

# What Kubernetes itself brings: name, value, description.
SYSTEM_PRIORITIES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another "
        "node if necessary.",
    ),
)
_HIGHEST = 1_000_000_000
_POLICIES = ("PreemptLowerPriority", "Never")


class PriorityClassRules(Rules):
    """Priority classes: a value for a name, for good."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        new.setdefault("preemptionPolicy", "PreemptLowerPriority")
        new.setdefault("value", 0)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        if old:
            if new["value"] != old["value"]:
                yield forbidden_field("value", "may not be changed in an update.")
            policy = new["preemptionPolicy"]
            if policy != old["preemptionPolicy"]:
                yield wrong("preemptionPolicy", policy, "field is immutable")
            return
        name = objects.name(new)
        known = {name: value for name, value, _ in SYSTEM_PRIORITIES}
        if name.startswith("system-"):
            if known.get(name) != new["value"]:
                why = f"{name} is not a known system priority class"
                yield forbidden_field(
                    "metadata.name",
                    "priority class names with 'system-' prefix are reserved for system use "
                    f"only. error: {why}",
                )
        elif new["value"] > _HIGHEST:
            yield forbidden_field(
                "value", f"maximum allowed value of a user defined priority is {_HIGHEST}"
            )
        policy = new["preemptionPolicy"]
        if policy not in _POLICIES:
            yield unsupported("preemptionPolicy", policy, _POLICIES, ordered=True)

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del caller, old
        known = priorities.default(registry) if new.get("globalDefault") else None
        if known is not None and objects.name(known) != objects.name(new):
            raise forbidden(
                "priorityclasses",
                "scheduling.k8s.io",
                objects.name(new),
                f"PriorityClass {objects.name(known)} is already marked as default. Only one "
                "default can exist",
            )


class RuntimeClassRules(Rules):
    """Runtime classes: the node has one way to run a container, whatever the handler's name."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        handler = new.get("handler", "")
        if not handler:
            yield required("handler")
        elif fault := names.label_fault(handler):
            yield wrong("handler", handler, fault)
        if old and handler != old["handler"]:
            yield wrong("handler", handler, "field is immutable")


class StorageClassRules(Rules):
    """Storage classes."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        new.setdefault("reclaimPolicy", "Delete")
        new.setdefault("volumeBindingMode", "Immediate")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        if not new.get("provisioner"):
            yield required("provisioner")
        for field, allowed in (
            ("reclaimPolicy", ("Delete", "Retain")),
            ("volumeBindingMode", ("Immediate", "WaitForFirstConsumer")),
        ):
            if new[field] not in allowed:
                yield unsupported(field, new[field], allowed)
        for field in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
            if old and new.get(field) != old.get(field):
                yield forbidden_field(field, "updates to this field are forbidden.")
