"""The rules of persistent volumes and their claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinykube import kinds, objects, podspec, quantity
from tinykube.admission import ranges
from tinykube.objects import JSON
from tinykube.rbac import Caller
from tinykube.rules.base import Rules, add_finalizer
from tinykube.status import Cause, forbidden_field, required, unsupported, wrong

if TYPE_CHECKING:
    from tinykube.registry import Registry

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
_IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"
# The class that is there from the start, and who makes its volumes.
DEFAULT_CLASS = "standard"
PROVISIONER = "tinykube/folder"
_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


class VolumeRules(Rules):
    """Persistent volumes: folders of the machine."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec = new.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        if "hostPath" in spec:
            spec["hostPath"].setdefault("type", "")
        if old is None:
            new["status"] = {"phase": "Pending"}
            add_finalizer(new, VOLUME_FINALIZER)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        yield from _access("spec.accessModes", spec.get("accessModes"))
        if "storage" not in (spec.get("capacity") or {}):
            yield required("spec.capacity[storage]")
        elif quantity.parse(spec["capacity"]["storage"]) <= 0:
            yield wrong(
                "spec.capacity[storage]", spec["capacity"]["storage"], "must be greater than zero"
            )
        if spec["persistentVolumeReclaimPolicy"] not in ("Retain", "Delete"):
            yield unsupported(
                "spec.persistentVolumeReclaimPolicy",
                spec["persistentVolumeReclaimPolicy"],
                ("Retain", "Delete"),
            )
        if spec["volumeMode"] != "Filesystem":
            yield unsupported("spec.volumeMode", spec["volumeMode"], ("Filesystem",))
        if "hostPath" not in spec:
            yield required("spec", "must specify a volume type: hostPath")
        else:
            yield from podspec.host_path("spec.hostPath", spec["hostPath"])
        if old and spec.get("hostPath") != old["spec"].get("hostPath"):
            yield forbidden_field(
                "spec.persistentvolumesource",
                "spec.persistentvolumesource is immutable after creation",
            )


class ClaimRules(Rules):
    """Persistent volume claims."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec = new.setdefault("spec", {})
        spec.setdefault("volumeMode", "Filesystem")
        if old is None:
            new["status"] = {"phase": "Pending"}
            add_finalizer(new, CLAIM_FINALIZER)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        yield from _access("spec.accessModes", spec.get("accessModes"))
        requests = (spec.get("resources") or {}).get("requests") or {}
        if "storage" not in requests:
            yield required("spec.resources[storage]")
        elif quantity.parse(requests["storage"]) <= 0:
            yield wrong(
                "spec.resources[storage]", requests["storage"], "must be greater than zero"
            )
        if spec["volumeMode"] != "Filesystem":
            yield unsupported("spec.volumeMode", spec["volumeMode"], ("Filesystem",))
        if old:
            free = {"resources"} if old["spec"].get("volumeName") else {"resources", "volumeName"}
            before = {key: value for key, value in old["spec"].items() if key not in free}
            if before != {key: value for key, value in spec.items() if key not in free}:
                yield forbidden_field(
                    "spec",
                    "spec is immutable after creation except resources.requests and volumeName "
                    "for unbound claims",
                )

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del caller
        if old is not None:
            return
        # A claim that names its volume takes that volume's class, whatever it is.
        if "storageClassName" not in new["spec"] and not new["spec"].get("volumeName"):
            name = default_class(registry)
            if name:
                new["spec"]["storageClassName"] = name
        ranges.check_claim(registry, new)


def default_class(registry: Registry) -> str:
    """The storage class of claims that name none, the newest where several say so; or empty."""
    found = [
        (item["metadata"]["creationTimestamp"], objects.name(item))
        for row in registry.store.rows(kinds.STORAGE_CLASSES.key)
        if _IS_DEFAULT in row.data
        and (item := objects.load(row.data))["metadata"]["annotations"].get(_IS_DEFAULT) == "true"
    ]
    return max(found)[1] if found else ""


def _access(path: str, modes: list[str] | None) -> Iterator[Cause]:
    if not modes:
        yield required(path, "at least 1 access mode is required")
    for mode in modes or ():
        if mode not in _MODES:
            yield unsupported(path, mode, _MODES)
