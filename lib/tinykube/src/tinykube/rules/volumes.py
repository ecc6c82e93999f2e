"""The rules of persistent volumes and their claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinykube import kinds, names, objects, podspec, quantity
from tinykube.admission import ranges
from tinykube.objects import JSON
from tinykube.rbac import Caller
from tinykube.rules.base import Rules, add_finalizer
from tinykube.status import Cause, forbidden_field, quote, required, unsupported, wrong

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
        size = _size(new)
        if size is None:
            yield required("spec.resources[storage]")
        elif quantity.parse(size) <= 0:
            yield wrong("spec.resources[storage]", size, "must be greater than zero")
        klass = spec.get("storageClassName")
        if klass and (fault := names.subdomain_fault(klass)):
            yield wrong("spec.storageClassName", klass, fault)
        if spec["volumeMode"] not in ("Block", "Filesystem"):
            yield unsupported("spec.volumeMode", spec["volumeMode"], ("Block", "Filesystem"))
        if old:
            yield from _claim_changed(new, old)

    def lacking(self, new: JSON) -> Iterator[Cause]:
        """See Rules."""
        if new["spec"]["volumeMode"] == "Block":
            yield forbidden_field("spec.volumeMode", "block volumes are not known here")

    def warnings(self, new: JSON, old: JSON | None) -> Iterator[str]:
        """See Rules."""
        del old
        given = new["spec"].get("resources") or {}
        for group in ("requests", "limits"):
            amount = (given.get(group) or {}).get("storage")
            if amount is not None and quantity.parse(amount).denominator != 1:
                yield (
                    f"spec.resources.{group}[storage]: fractional byte value {quote(amount)} is "
                    "invalid, must be an integer"
                )

    def complete(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del caller
        if old is not None:
            return
        # A claim that names its volume takes that volume's class, whatever it is.
        if "storageClassName" not in new["spec"] and not new["spec"].get("volumeName"):
            name = default_class(registry)
            if name:
                new["spec"]["storageClassName"] = name

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del caller
        if old is None:
            ranges.check_claim(registry, new)


def _size(claim: JSON) -> str | None:
    resources = claim["spec"].get("resources") or {}
    size: str | None = (resources.get("requests") or {}).get("storage")
    return size


def _claim_changed(new: JSON, old: JSON) -> Iterator[Cause]:
    """What of a claim may not change: nearly all; a bound one may ask for more."""
    before, after = objects.copy(old["spec"]), objects.copy(new["spec"])
    if not before.get("volumeName") and "volumeName" in after:
        before["volumeName"] = after["volumeName"]
    sizes = [_size(item) for item in (old, new)]
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if bound and None not in sizes:
        after["resources"]["requests"]["storage"] = sizes[0]
    if before != after:
        yield forbidden_field(
            "spec",
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims",
        )
    amounts = [quantity.parse(size or "0") for size in sizes]
    have = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if amounts[1] < amounts[0] and amounts[1] <= quantity.parse(have):
        why = "field can not be less than status.capacity"
        yield forbidden_field("spec.resources.requests.storage", why)
    mode = new["spec"]["volumeMode"]
    if mode != old["spec"]["volumeMode"]:
        yield wrong("volumeMode", mode, "field is immutable")


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
    known = set(modes or ()) & set(_MODES)
    if "ReadWriteOncePod" in known and len(known) > 1:
        yield forbidden_field(path, "may not use ReadWriteOncePod with other access modes")
