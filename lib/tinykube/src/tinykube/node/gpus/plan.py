"""What of the GPUs is offered, under the names that NVIDIA's device plugin and its labels have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tinykube.node.gpus.inventory import Gpu, Inventory

WHOLE, SHARED, MEMORY = "nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/gpumem"
_STRATEGIES = ("mixed", "single", "none")
_KEYS = ("strategy", "sharing", "replicas", "foreign")
# How many pods may share a GPU where nothing else is said.
_REPLICAS = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """The `gpus` of the config file.

    Attributes:
        strategy: how divided GPUs are offered: `mixed` (each profile as a resource of its own),
            `single` (instances as `nvidia.com/gpu`) or `none` (the whole GPU).
        sharing: `none`, `replicas` (`nvidia.com/gpu.shared`) or `memory` (`nvidia.com/gpumem`, in
            MiB). Nothing enforces either.
        replicas: how many pods share a GPU by `replicas`.
        foreign: what to do about a GPU that is computed on by others: `warn`, or `exclude` it.
    """

    strategy: Literal["mixed", "single", "none"] = "mixed"
    sharing: Literal["none", "replicas", "memory"] = "none"
    replicas: int = _REPLICAS
    foreign: Literal["warn", "exclude"] = "warn"

    @classmethod
    def read(cls, data: Any) -> Settings:
        """Check what the config file has. Raises ValueError."""
        if data is None:
            return cls()
        if not isinstance(data, dict):
            raise ValueError(f"gpus must be a mapping with the keys {', '.join(_KEYS)}")
        for key in data:
            if key not in _KEYS:
                raise ValueError(f"gpus: unknown key {key!r}; the keys are {', '.join(_KEYS)}")
        for key, allowed in (
            ("strategy", _STRATEGIES),
            ("sharing", ("none", "replicas", "memory")),
            ("foreign", ("warn", "exclude")),
        ):
            if key in data and data[key] not in allowed:
                raise ValueError(f"gpus.{key} is {data[key]!r}, none of {', '.join(allowed)}")
        number = data.get("replicas", _REPLICAS)
        if not isinstance(number, int) or isinstance(number, bool) or not 2 <= number <= 64:
            raise ValueError(f"gpus.replicas is {number!r}; it must be a number from 2 to 64")
        if "replicas" in data and data.get("sharing") != "replicas":
            raise ValueError("gpus.replicas is for sharing: replicas alone")
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that pods can hold.

    Attributes:
        uuid: what programs call it.
        resource: the name under which it is offered.
        units: how many of the resource it is.
        paths: the device nodes that a program needs.
        gpu: the GPU that it is, or is a part of.
        split: True if several pods may hold some of it.
    """

    uuid: str
    resource: str
    units: int
    paths: tuple[str, ...]
    gpu: str
    split: bool = False


def devices(inventory: Inventory, settings: Settings) -> tuple[Device, ...]:
    """What is offered of an inventory."""
    return tuple(item for gpu in inventory.gpus for item in _devices(gpu, settings))


def _devices(gpu: Gpu, settings: Settings) -> Iterable[Device]:
    if gpu.mig and settings.strategy != "none":
        for part in gpu.instances:
            name = f"nvidia.com/mig-{part.profile.replace('+', '.')}"
            resource = WHOLE if settings.strategy == "single" else name
            yield Device(part.uuid, resource, 1, part.paths, gpu.uuid)
    elif settings.sharing == "replicas":
        yield Device(gpu.uuid, SHARED, settings.replicas, gpu.paths, gpu.uuid, split=True)
    elif settings.sharing == "memory":
        yield Device(gpu.uuid, MEMORY, gpu.memory, gpu.paths, gpu.uuid, split=True)
    else:
        yield Device(gpu.uuid, WHOLE, 1, gpu.paths, gpu.uuid)


def resources(offered: Iterable[Device]) -> dict[str, str]:
    """How much of each resource there is, as quantities."""
    total: Counter[str] = Counter()
    for device in offered:
        total[device.resource] += device.units
    return {name: str(amount) for name, amount in total.items()}


def labels(inventory: Inventory, settings: Settings) -> Mapping[str, str]:
    """The node's labels, as NVIDIA's GPU feature discovery names them."""
    gpus = inventory.gpus
    if not gpus:
        return {}
    first = gpus[0]
    product = re.sub(r"[^A-Za-z0-9._-]+", "-", first.product).strip("-._")[:63].strip("-._")
    shared = settings.sharing != "none" and not first.mig
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(len(gpus)),
        "nvidia.com/gpu.product": f"{product[:56]}-SHARED" if shared else product,
        "nvidia.com/gpu.memory": str(first.memory),
        "nvidia.com/gpu.compute.major": str(first.compute[0]),
        "nvidia.com/gpu.compute.minor": str(first.compute[1]),
        "nvidia.com/cuda.driver-version.full": inventory.driver,
        "nvidia.com/mig.capable": str(any(gpu.mig for gpu in gpus)).lower(),
        "nvidia.com/mig.strategy": settings.strategy,
    }
