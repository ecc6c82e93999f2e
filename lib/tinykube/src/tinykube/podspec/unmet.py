"""What a new pod asks for and does not get here, though it is taken: warned of, field by field.

What would be wrong without it is refused instead (see `shape`). A warning of Kubernetes' own never
reads like these, so that whoever makes pods can tell them by `MARK`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tinykube.podspec.defaults import containers, pulls_always

MARK: Final = "has no effect here"
_MOST: Final = 20
_UNBOUNDED: Final = {
    "cpu": "a container has as much of the machine's processors as is free",
    "ephemeral-storage": "nothing bounds what a container writes to the disk",
}
_PROFILES: Final = {"seccompProfile": "seccomp", "appArmorProfile": "AppArmor"}
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"


def unmet(pod: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What of a pod, or of a template of pods at `path` of its object, changes nothing.

    Each is `FIELD: has no effect here: WHY`; twenty at most.
    """
    prefix = f"{path}." if path else ""
    found = (f"{prefix}{field}: {MARK}: {why}" for field, why in _unmet(pod))
    yield from itertools.islice(found, _MOST)


def in_memory(pod: Mapping[str, Any], volume: Mapping[str, Any]) -> bool:
    """True if an empty-dir can be one in memory: one container alone mounts all of it, once."""
    if (volume.get("emptyDir") or {}).get("medium") != "Memory":
        return False
    uses = [
        mount
        for _, container in containers(pod)
        for mount in container.get("volumeMounts") or ()
        if mount["name"] == volume["name"]
    ]
    plain = all(not use.get("subPath") and not use.get("subPathExpr") for use in uses)
    return len(uses) == 1 and plain and not uses[0].get("readOnly")


def _unmet(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    spec = pod["spec"]
    for name, value in ((pod.get("metadata") or {}).get("annotations") or {}).items():
        if name.startswith(_APP_ARMOR) and value not in ("", "unconfined"):
            yield f"metadata.annotations[{name}]", "no AppArmor profile is set"
    if spec.get("imagePullSecrets"):
        yield "spec.imagePullSecrets", "no image is pulled"
    if spec.get("runtimeClassName"):
        yield (
            "spec.runtimeClassName",
            "a node has one way to run containers; the class chooses nodes and no more",
        )
    yield from _security("spec.securityContext", spec.get("securityContext") or {})
    for where, container in containers(pod):
        yield from _container(where, container)
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _empty(f"spec.volumes[{index}].emptyDir", pod, volume)


def _security(where: str, security: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("fsGroup", "fsGroupChangePolicy"):
        if security.get(field) is not None:
            yield f"{where}.{field}", "a container owns every file of its volumes"
    for field, name in _PROFILES.items():
        if (security.get(field) or {}).get("type", "Unconfined") != "Unconfined":
            yield f"{where}.{field}", f"no {name} profile is set"


def _container(where: str, container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if container.get("imagePullPolicy") == "Always" and not pulls_always(container):
        yield f"{where}.imagePullPolicy", "no image is pulled"
    limits = (container.get("resources") or {}).get("limits") or {}
    for name, why in _UNBOUNDED.items():
        if name in limits:
            yield f"{where}.resources.limits[{name}]", why
    yield from _security(f"{where}.securityContext", container.get("securityContext") or {})


def _empty(
    where: str, pod: Mapping[str, Any], volume: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    source = volume.get("emptyDir") or {}
    if in_memory(pod, volume):
        return
    if source.get("medium") == "Memory":
        yield (
            f"{where}.medium",
            "it is on the disk unless one container mounts it, once, whole and to write",
        )
    if source.get("sizeLimit"):
        yield f"{where}.sizeLimit", "nothing bounds a folder on the disk"
