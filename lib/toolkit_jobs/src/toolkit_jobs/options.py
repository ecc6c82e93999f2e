"""The operator's options for pods, as a settings file has them.

    gpu: {mode: extended, resource: nvidia.com/gpu, count: 1, memory: 16Gi, device_class: ""}
    node_selector: {pool: ml}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    affinity: {nodeAffinity: {...}}
    runtime_class: nvidia
    priority_class: batch
    queue: ml
    shm_size: 2Gi
    service_account: steps

Everything may be left out. Tolerations and affinity are Kubernetes' own and are not looked into.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from .gpus import GpuMode, GpuOptions
from .placement import Placement
from .pod import PodOptions
from .quantities import mebibytes

_FIELDS: Final = (
    "gpu",
    "node_selector",
    "tolerations",
    "affinity",
    "runtime_class",
    "priority_class",
    "queue",
    "shm_size",
    "service_account",
)
_GPU_FIELDS: Final = ("mode", "resource", "count", "memory", "device_class")


class PodOptionsError(ValueError):
    """An option cannot be used; the message names it and says what is wanted."""


def read(data: Mapping[str, Any], base: PodOptions) -> PodOptions:
    """Add options that were read to those of the workload itself.

    Raises:
        PodOptionsError: one of them is unknown or wrong.
    """
    _known(data, _FIELDS, "")
    shared = _text(data, "shm_size")
    if shared:
        _bytes(shared, "shm_size")
    placement = Placement(
        node_selector=_labels(data.get("node_selector")),
        tolerations=_maps(data.get("tolerations")),
        affinity=_map(data.get("affinity"), "affinity"),
        runtime_class=_text(data, "runtime_class"),
        priority_class=_text(data, "priority_class"),
    )
    return dataclasses.replace(
        base,
        gpus=_gpus(data.get("gpu")),
        placement=placement,
        queue=_text(data, "queue"),
        shm_size=shared,
        service_account=_text(data, "service_account"),
    )


def _gpus(value: object) -> GpuOptions:
    data = _map(value, "gpu")
    _known(data, _GPU_FIELDS, "gpu.")
    default = GpuOptions()
    try:
        mode = GpuMode(data.get("mode", default.mode))
    except ValueError as error:
        raise PodOptionsError(f"gpu.mode must be one of {', '.join(GpuMode)}") from error
    count = data.get("count", default.count)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise PodOptionsError(f"gpu.count must be a whole number from 0, not {count!r}")
    found = GpuOptions(
        mode=mode,
        resource=_text(data, "resource", "gpu.") or default.resource,
        count=count,
        memory=_text(data, "memory", "gpu."),
        device_class=_text(data, "device_class", "gpu."),
    )
    if found.memory:
        _bytes(found.memory, "gpu.memory")
    if mode is GpuMode.DRA and not found.device_class:
        raise PodOptionsError("gpu.device_class must be given with gpu.mode dra")
    return found


def _known(data: Mapping[str, Any], fields: tuple[str, ...], prefix: str) -> None:
    unknown = sorted(str(name) for name in data if name not in fields)
    if unknown:
        raise PodOptionsError(
            f"unknown option {prefix}{unknown[0][:60]}; known are {', '.join(fields)}"
        )


def _text(data: Mapping[str, Any], name: str, prefix: str = "") -> str:
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise PodOptionsError(f"{prefix}{name} must be a line of text, not {value!r}")
    return value


def _bytes(value: str, name: str) -> None:
    try:
        found = mebibytes(value)
    except ValueError as error:
        raise PodOptionsError(f"{name}: {error}") from error
    if found < 1:
        raise PodOptionsError(f"{name} must be at least 1Mi, not {value!r}")


def _map(value: object, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise PodOptionsError(f"{name} must be a map, not {value!r}")
    return value


def _labels(value: object) -> Mapping[str, str]:
    found = _map(value, "node_selector")
    if not all(isinstance(each, str) for each in found.values()):
        raise PodOptionsError("node_selector must be a map of labels to texts")
    return found


def _maps(value: object) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise PodOptionsError(f"tolerations must be a list, not {value!r}")
    return tuple(_map(each, f"tolerations[{number}]") for number, each in enumerate(value))
