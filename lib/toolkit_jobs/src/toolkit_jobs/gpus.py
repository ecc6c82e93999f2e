"""GPUs: what a pod asks for, what the operator's options make of it, and how a manifest says it.

As extended resources (`nvidia.com/gpu: 2` among the limits) they are given by a device plugin; as
devices of a class, by a driver for dynamic resource allocation (DRA, `resource.k8s.io/v1`, in
Kubernetes since 1.34): then the pod names a ResourceClaimTemplate, and Kubernetes makes a claim of
it with the pod and deletes it with the pod.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .quantities import mebibytes

CLAIM: Final = "gpu"
"""The name of a pod's claim for GPUs, among its `resourceClaims`."""
_NVIDIA: Final = "nvidia.com/"


class GpuMode(enum.StrEnum):
    """How pods ask for GPUs."""

    NONE = "none"
    EXTENDED = "extended"
    DRA = "dra"


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """What a pod says itself.

    Attributes:
        count: how many; 0 for none, None to leave it to the operator.
        resource: `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb`, `amd.com/gpu`, ...; "" likewise.
        memory: the least that each must have, a quantity; "" likewise.
    """

    count: int | None = None
    resource: str = ""
    memory: str = ""


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """The operator's defaults.

    Attributes:
        mode: with `none` no pod gets a GPU that does not ask for it; with `dra` GPUs of
            `resource` are asked for as devices of `device_class`.
        resource: of a pod that names none.
        count: for a pod that names neither a number nor a resource.
        memory: the least that each GPU must have, a quantity; "" for any. Known to Kubernetes for
            NVIDIA's resources (the labels of GPU feature discovery) and for devices.
        device_class: of the devices, with mode `dra`.
    """

    mode: GpuMode = GpuMode.EXTENDED
    resource: str = "nvidia.com/gpu"
    count: int = 0
    memory: str = ""
    device_class: str = ""


@dataclass(frozen=True, slots=True)
class Gpus:
    """What a pod gets asked for in its name; `device_class` is "" for an extended resource."""

    count: int = 0
    resource: str = ""
    memory: str = ""
    device_class: str = ""

    @property
    def limits(self) -> dict[str, str]:
        """What goes among the container's limits."""
        if not self.count or self.device_class:
            return {}
        return {self.resource: str(self.count)}

    @property
    def node_requirement(self) -> dict[str, Any] | None:
        """What a node's labels must say of its GPUs' memory, as a node affinity has it.

        GPU feature discovery writes MiB into `nvidia.com/gpu.memory`, and for a MIG profile into
        `nvidia.com/mig-1g.10gb.memory`. None if nothing is asked, or nothing says it.
        """
        if not self.limits or not self.memory or not self.resource.startswith(_NVIDIA):
            return None
        name = self.resource.removeprefix(_NVIDIA)
        label = f"{self.resource if name.startswith('mig-') else 'nvidia.com/gpu'}.memory"
        return {"key": label, "operator": "Gt", "values": [str(mebibytes(self.memory) - 1)]}

    def template(self, labels: Mapping[str, str]) -> dict[str, Any] | None:
        """Give the ResourceClaimTemplate that the pod names, without a namespace; or None.

        One serves all pods that ask for the same: its name tells what is in it.
        """
        if not self.count or not self.device_class:
            return None
        device: dict[str, Any] = {
            "deviceClassName": self.device_class,
            "allocationMode": "ExactCount",
            "count": self.count,
        }
        if self.memory:
            # CEL; whatever the driver, it publishes capacities under its own name.
            expression = (
                f'device.capacity[device.driver].memory.compareTo(quantity("{self.memory}")) >= 0'
            )
            device["selectors"] = [{"cel": {"expression": expression}}]
        spec = {"devices": {"requests": [{"name": CLAIM, "exactly": device}]}}
        content = json.dumps([spec, sorted(labels.items())], sort_keys=True)
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {
                "name": f"gpu-{hashlib.sha256(content.encode()).hexdigest()[:16]}",
                "labels": dict(labels),
            },
            "spec": {"spec": spec},
        }


def resolve(request: GpuRequest, options: GpuOptions) -> Gpus:
    """Give what a pod asks for, field by field: its own word, else the operator's.

    A pod that names a resource and no number gets the operator's number, at least one. What the
    operator says of memory and devices is said of the operator's own resource.
    """
    resource = request.resource or options.resource
    default = 0 if options.mode is GpuMode.NONE else options.count
    if request.count is not None:
        count = request.count
    else:
        count = max(default, 1) if request.resource else default
    if not count:
        return Gpus()
    same = resource == options.resource
    return Gpus(
        count,
        resource,
        request.memory or (options.memory if same else ""),
        options.device_class if same and options.mode is GpuMode.DRA else "",
    )
