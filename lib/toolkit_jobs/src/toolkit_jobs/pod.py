"""A pod as a workload asks for it, and the manifest that comes of it.

What the request leaves open the operator's options fill in: the request wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

CONTAINER: Final = "main"
"""The name of the one container that a pod has."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for: Kubernetes quantities (`500m`, `2Gi`), "" for nothing."""

    cpu_request: str = ""
    memory_request: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""

    def over(self, defaults: Resources) -> Resources:
        """Give these with what they leave open taken from `defaults`.

        A default request does not go beside a limit of the pod's own, which it may exceed: there
        Kubernetes takes the limit as the request.
        """
        return Resources(
            self.cpu_request or ("" if self.cpu_limit else defaults.cpu_request),
            self.memory_request or ("" if self.memory_limit else defaults.memory_request),
            self.cpu_limit or ("" if self.cpu_request else defaults.cpu_limit),
            self.memory_limit or ("" if self.memory_request else defaults.memory_limit),
        )

    def manifest(self) -> dict[str, dict[str, str]]:
        """Give the container's `resources`."""
        found: dict[str, dict[str, str]] = {}
        for group, cpu, memory in (
            ("requests", self.cpu_request, self.memory_request),
            ("limits", self.cpu_limit, self.memory_limit),
        ):
            values = {"cpu": cpu, "memory": memory}
            kept = {name: value for name, value in values.items() if value}
            if kept:
                found[group] = kept
        return found


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
    """An empty folder that lives as long as the pod."""

    path: str


Mount: TypeAlias = ClaimMount | ImageMount | EmptyMount


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One value of a secret."""

    secret: str
    key: str


@dataclass(frozen=True, slots=True)
class PodRequest:
    """A pod to run once.

    Attributes:
        name: deterministic, so that asking twice gives one pod.
        env: values, or the keys of secrets that hold them.
        deadline: seconds from the start until the pod is killed, or None.
    """

    name: str
    image: str
    command: tuple[str, ...]
    env: Mapping[str, str | SecretKey] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    resources: Resources = field(default_factory=Resources)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class PodOptions:
    """The operator's defaults for every pod of a workload.

    Attributes:
        namespace: where the pods go.
        labels: on every pod; they are also what pods are found by.
        resources: for what a request leaves open.
    """

    namespace: str
    labels: Mapping[str, str]
    resources: Resources = field(default_factory=Resources)

    @property
    def selector(self) -> str:
        """The label selector of these pods."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.labels.items()))


def manifest(request: PodRequest, options: PodOptions) -> dict[str, Any]:
    """Give the Pod object for a request."""
    volumes, mounts = _volumes(request.mounts)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": request.image,
        "command": list(request.command),
        "env": [_variable(name, value) for name, value in request.env.items()],
        "volumeMounts": mounts,
    }
    resources = request.resources.over(options.resources).manifest()
    if resources:
        container["resources"] = resources
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": volumes,
    }
    if request.deadline is not None:
        spec["activeDeadlineSeconds"] = request.deadline
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": request.name,
            "namespace": options.namespace,
            "labels": {**request.labels, **options.labels},
            "annotations": dict(request.annotations),
        },
        "spec": spec,
    }


def _variable(name: str, value: str | SecretKey) -> dict[str, Any]:
    if isinstance(value, SecretKey):
        reference = {"name": value.secret, "key": value.key}
        return {"name": name, "valueFrom": {"secretKeyRef": reference}}
    return {"name": name, "value": value}


def _volumes(mounts: tuple[Mount, ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    names: dict[tuple[str, str], str] = {}
    volumes: list[dict[str, Any]] = []
    placed: list[dict[str, Any]] = []
    for mount in mounts:
        source: dict[str, Any]
        if isinstance(mount, ClaimMount):
            key = ("claim", mount.claim)
            source = {"persistentVolumeClaim": {"claimName": mount.claim}}
        elif isinstance(mount, ImageMount):
            key = ("image", mount.image)
            source = {"image": {"reference": mount.image}}
        else:
            key = ("empty", mount.path)
            source = {"emptyDir": {}}
        if key not in names:
            names[key] = f"volume-{len(names)}"
            volumes.append({"name": names[key], **source})
        entry: dict[str, Any] = {"name": names[key], "mountPath": mount.path}
        if not isinstance(mount, EmptyMount) and mount.sub_path:
            entry["subPath"] = mount.sub_path
        if isinstance(mount, ImageMount) or (isinstance(mount, ClaimMount) and mount.read_only):
            entry["readOnly"] = True
        placed.append(entry)
    return volumes, placed
