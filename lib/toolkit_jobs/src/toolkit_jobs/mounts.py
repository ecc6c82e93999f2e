"""What a container sees of volumes, and the volumes that its pod needs for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the path that programs know


@dataclass(frozen=True, slots=True)
class ClaimMount:
    """A folder of a persistent volume claim."""

    path: str
    claim: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ImageMount:
    """A folder of an image, read-only (Kubernetes' image volumes)."""

    path: str
    image: str
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class EmptyMount:
    """An empty folder that lives as long as the pod.

    Attributes:
        medium: "Memory" for one that lies in memory, or "".
        size: its limit, a quantity; "" for none.
    """

    path: str
    medium: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A secret's values as files."""

    path: str
    secret: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ConfigMapMount:
    """A config map's values as files."""

    path: str
    config_map: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class EphemeralMount:
    """A volume that is made for the pod and deleted with it.

    Attributes:
        size: a quantity.
        access_modes: as a claim has them (`ReadWriteOnce`).
        storage_class: its name, or None for the cluster's default.
        labels, annotations: of the claim.
    """

    path: str
    size: str
    access_modes: tuple[str, ...]
    storage_class: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


Mount: TypeAlias = (
    ClaimMount | ImageMount | EmptyMount | SecretMount | ConfigMapMount | EphemeralMount
)


def volumes(mounts: Iterable[Mount]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give a pod's `volumes` and its container's `volumeMounts`; a claim is one volume."""
    names: dict[tuple[str, ...], str] = {}
    found: list[dict[str, Any]] = []
    placed: list[dict[str, Any]] = []
    for mount in mounts:
        key, source = _source(mount)
        if key not in names:
            names[key] = f"volume-{len(names)}"
            found.append({"name": names[key], **source})
        entry: dict[str, Any] = {"name": names[key], "mountPath": mount.path}
        if isinstance(mount, ClaimMount | ImageMount) and mount.sub_path:
            entry["subPath"] = mount.sub_path
        if isinstance(mount, ImageMount) or (isinstance(mount, ClaimMount) and mount.read_only):
            entry["readOnly"] = True
        placed.append(entry)
    return found, placed


def _source(mount: Mount) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Give what tells a volume from others, and where it comes from."""
    match mount:
        case ClaimMount(claim=claim):
            return ("claim", claim), {"persistentVolumeClaim": {"claimName": claim}}
        case ImageMount(image=image):
            return ("image", image), {"image": {"reference": image}}
        case EmptyMount(path, medium, size):
            empty = {"medium": medium, "sizeLimit": size}
            return ("empty", path), {"emptyDir": {k: v for k, v in empty.items() if v}}
        case SecretMount(path, secret, optional):
            return ("secret", path), {"secret": {"secretName": secret, "optional": optional}}
        case ConfigMapMount(path, name, optional):
            return ("config map", path), {"configMap": {"name": name, "optional": optional}}
        case EphemeralMount(path):
            return ("ephemeral", path), {"ephemeral": {"volumeClaimTemplate": _template(mount)}}


def _template(mount: EphemeralMount) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": list(mount.access_modes),
        "resources": {"requests": {"storage": mount.size}},
    }
    if mount.storage_class is not None:
        spec["storageClassName"] = mount.storage_class
    metadata = {"labels": dict(mount.labels), "annotations": dict(mount.annotations)}
    return {"metadata": {k: v for k, v in metadata.items() if v}, "spec": spec}
