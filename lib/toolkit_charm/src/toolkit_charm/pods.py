"""The options of charms that run pods for their users: GPUs, placement, queues.

`pods.yaml` beside this file has their text, once: charmcraft.yaml repeats it, and a test of the
house compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

from . import documents
from .options import Options
from .quantities import Size

_RESOURCE = re.compile(
    r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_TOLERATION = {"key", "operator", "value", "effect", "tolerationSeconds"}
_OPERATORS = {"Exists", "Equal", "Lt", "Gt"}
_EFFECTS = {"NoSchedule", "PreferNoSchedule", "NoExecute", ""}
_AFFINITY: dict[str, dict[str, type]] = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": dict,
        "preferredDuringSchedulingIgnoredDuringExecution": list,
    },
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": list,
        "preferredDuringSchedulingIgnoredDuringExecution": list,
    },
}
_AFFINITY["podAntiAffinity"] = _AFFINITY["podAffinity"]


def _node_selector(text: object) -> dict[str, str]:
    example = "{pool: gpu}"
    found = documents.read(text, example)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"write a map of labels such as {example}")
    for name, value in found.items():
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            raise ValueError(f"{str(name)[:60]!r} is not the name of a label")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(
                f"{value!r:.60} is not the value of the label {name}; quote numbers and true"
            )
    return found


def _tolerations(text: object) -> tuple[dict[str, Any], ...]:
    example = "[{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]"
    found = documents.read(text, example)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"write a list such as {example}")
    for each in found:
        unknown = sorted(str(name) for name in set(each) - _TOLERATION)
        if unknown:
            raise ValueError(f"a toleration has no {unknown[0][:60]!r}; write such as {example}")
        if each.get("operator", "Equal") not in _OPERATORS:
            raise ValueError(f"the operator is one of Exists and Equal; write such as {example}")
        if each.get("effect", "") not in _EFFECTS:
            raise ValueError("the effect is one of NoSchedule, PreferNoSchedule and NoExecute")
        if not each.get("key") and each.get("operator") != "Exists":
            raise ValueError(f"a toleration without a key needs operator: Exists, as in {example}")
        if each.get("operator") == "Exists" and each.get("value"):
            raise ValueError("a toleration with operator: Exists has no value")
        for name in ("key", "value"):
            if not isinstance(each.get(name, ""), str):
                raise ValueError(f"the {name} of a toleration is text: quote numbers and true")
    return tuple(found)


def _affinity(text: object) -> dict[str, Any]:
    example = "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: ...}}"
    found = documents.read(text, example)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"write a map such as {example}")
    for kind, parts in found.items():
        if kind not in _AFFINITY:
            raise ValueError(f"{str(kind)[:60]!r} is none of {', '.join(_AFFINITY)}")
        if not isinstance(parts, dict):
            raise ValueError(f"{kind} is a map, as in {example}")
        for name, value in parts.items():
            wanted = _AFFINITY[kind].get(name)
            if wanted is None:
                raise ValueError(f"{kind} has no {str(name)[:60]!r}")
            if not isinstance(value, wanted):
                shape = "a map with nodeSelectorTerms" if wanted is dict else "a list"
                raise ValueError(f"{kind}.{name} is {shape}")
    return found


def _name(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise ValueError("write the name of an object in Kubernetes, or nothing")
    return text


def _queue(text: str) -> str:
    # It becomes the value of a label.
    if len(_name(text)) > 63:
        raise ValueError("write a name of at most 63 characters")
    return text


def _resource(text: str) -> str:
    if not _RESOURCE.fullmatch(text):
        raise ValueError(
            "write the name of a resource such as nvidia.com/gpu, nvidia.com/mig-1g.10gb or "
            "amd.com/gpu"
        )
    return text


Name = Annotated[str, pydantic.AfterValidator(_name)]


class PodOptions(Options):
    """The options of `pods.yaml`; the class of a charm that runs pods derives from it."""

    gpu_mode: Literal["none", "extended", "dra"]
    gpu_resource: Annotated[str, pydantic.AfterValidator(_resource)]
    gpu_count: Annotated[int, pydantic.Field(ge=0, le=1024)]
    gpu_memory: Size
    device_class: Name
    node_selector: Annotated[Mapping[str, str], pydantic.BeforeValidator(_node_selector)]
    tolerations: Annotated[tuple[Mapping[str, Any], ...], pydantic.BeforeValidator(_tolerations)]
    affinity: Annotated[Mapping[str, Any], pydantic.BeforeValidator(_affinity)]
    runtime_class: Name
    priority_class: Name
    queue: Annotated[str, pydantic.AfterValidator(_queue)]
    shm_size: Size
    priority: Annotated[int, pydantic.Field(ge=-1_000_000_000, le=1_000_000_000)]
    quota_gpu: Annotated[int, pydantic.Field(ge=-1, le=100_000)]

    @pydantic.field_validator("gpu_memory")
    @classmethod
    def _memory_that_is_known(cls, memory: str, info: pydantic.ValidationInfo) -> str:
        resource = info.data.get("gpu_resource", "nvidia.com/")
        known = info.data.get("gpu_mode") == "dra" or resource.startswith("nvidia.com/")
        if memory and not known:
            raise ValueError(
                f"nothing tells Kubernetes how much memory {resource} has; leave it empty, or use "
                "gpu-mode=dra"
            )
        return memory

    @pydantic.field_validator("device_class")
    @classmethod
    def _class_of_devices(cls, name: str, info: pydantic.ValidationInfo) -> str:
        if not name and info.data.get("gpu_mode") == "dra":
            raise ValueError("gpu-mode=dra needs one, such as gpu.nvidia.com")
        return name

    def quota(self) -> dict[str, str]:
        """Give what a ResourceQuota of the namespace allows, {} for no quota."""
        if self.quota_gpu < 0:
            return {}
        if self.gpu_mode == "dra":
            name = f"{self.device_class}.deviceclass.resource.k8s.io/devices"
        else:
            name = f"requests.{self.gpu_resource}"
        return {name: str(self.quota_gpu)}

    def pods(self, *, service_account: str, priority_class: str) -> dict[str, Any]:
        """Give the options as plain data, for the settings of a workload that runs pods.

        What is empty is left out. The shape is `toolkit_jobs.options`'.

        Args:
            service_account: the account of the pods.
            priority_class: the name of the class that the charm made for `priority`.
        """
        found: dict[str, Any] = {
            "gpu": {
                "mode": self.gpu_mode,
                "resource": self.gpu_resource,
                "count": self.gpu_count,
                "memory": self.gpu_memory,
                "device_class": self.device_class,
            },
            "node_selector": dict(self.node_selector),
            "tolerations": [dict(each) for each in self.tolerations],
            "affinity": dict(self.affinity),
            "runtime_class": self.runtime_class,
            "priority_class": self.priority_class or (priority_class if self.priority else ""),
            "queue": self.queue,
            "shm_size": self.shm_size,
            "service_account": service_account,
        }
        return {name: value for name, value in found.items() if value}
