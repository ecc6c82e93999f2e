"""The GPUs as the node's agent sees them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sandbox.spec import Mount
from tinykube import objects
from tinykube.node import restarts
from tinykube.node.gpus import inventory, plan
from tinykube.node.gpus.inventory import Inventory
from tinykube.node.gpus.leases import Leases
from tinykube.node.gpus.plan import Device, Settings

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
Tell = Callable[[str | None, Literal["Normal", "Warning"], str, str], None]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a container gets of the GPUs: variables, and device nodes of the machine."""

    env: Mapping[str, str]
    mounts: tuple[Mount, ...] = ()


class Gpus:
    """Finds, offers and lends GPUs.

    Args:
        folder: the node's `pods` folder; leases lie in it.
        settings: the config's `gpus`.
        nvml: the binding to NVIDIA's library; None where there is no driver.
        tell: records an Event about a pod (by its uid) or the node (None): type, reason, message.
        changed: called when what is offered is no longer what it was.
        driver: the driver's folder in /proc.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        nvml: Any | None,
        tell: Tell,
        changed: Callable[[], None],
        driver: Path = inventory.DRIVER,
    ) -> None:
        self._settings = settings
        self._nvml = nvml
        self._driver = driver
        self._tell = tell
        self._changed = changed
        self._leases = Leases(folder)
        self._found = Inventory()
        self._devices: tuple[Device, ...] = ()
        self._foreign: frozenset[str] = frozenset()
        self._names: dict[str, str] = {}
        if nvml is not None:
            self._take(inventory.read(nvml, driver))
            if settings.sharing != "none":
                log.warning("GPUs are shared by %s: nothing enforces it", settings.sharing)

    async def run(self) -> None:
        """Look at the GPUs now and then, until cancelled."""
        while self._nvml is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            self._take(await asyncio.to_thread(inventory.read, self._nvml, self._driver))

    def resources(self) -> dict[str, str]:
        """What is offered now, quantities by resource: 0 of what was offered once."""
        found = plan.resources(self._devices)
        self._names |= dict.fromkeys(found, "0")
        return {**self._names, **found}

    def labels(self) -> Mapping[str, str]:
        """The node's labels."""
        return plan.labels(self._found, self._settings)

    def admit(self, pod: Mapping[str, Any]) -> None:
        """Take what a pod asks for. Raises ShortageError; safe to call again."""
        spec = pod["spec"]
        first = [
            {**item, "initialises": not restarts.sidecar(item)}
            for item in spec.get("initContainers") or ()
        ]
        beside = [item for item in first if not item["initialises"]]
        alone = [item for item in first if item["initialises"]]
        self._leases.take(objects.uid(pod), [*spec["containers"], *beside, *alone], self._devices)

    def release(self, uid: str) -> None:
        """Give back all that a pod holds."""
        self._leases.release(uid)

    def grant(self, uid: str, container: str) -> Grant:
        """What a container of a pod gets; it sees no other GPU."""
        leases = self._leases.of(uid, container)
        if not leases:
            if self._nvml is None:
                return Grant({})
            return Grant({"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"})
        uuids = list(dict.fromkeys(lease.device for lease in leases))
        known = {device.uuid: device for device in self._devices}
        paths: dict[str, None] = {}
        for uuid in uuids:
            # One that is gone has no device nodes any more: the program is told so by CUDA.
            device = known.get(uuid)
            paths |= dict.fromkeys(device.paths if device else ())
        listed = ",".join(uuids)
        return Grant(
            {"CUDA_VISIBLE_DEVICES": listed, "NVIDIA_VISIBLE_DEVICES": listed},
            tuple(Mount(Path(path), path) for path in paths if Path(path).exists()),
        )

    def _take(self, found: Inventory) -> None:
        """Note what there is now, and tell what is new about it."""
        gone = {gpu.uuid for gpu in self._found.gpus} - {gpu.uuid for gpu in found.gpus}
        back = {gpu.uuid for gpu in found.gpus} - {gpu.uuid for gpu in self._found.gpus}
        if self._found.gpus:
            for uuid in sorted(back):
                self._tell(None, "Normal", "GPUFound", f"GPU {uuid} is there")
        for uuid in sorted(gone):
            self._tell(None, "Warning", "GPULost", f"GPU {uuid} does not answer any more")
        for device in self._devices:
            if device.gpu in gone:
                for uid in self._leases.holders(device.uuid):
                    self._tell(uid, "Warning", "GPULost", f"GPU {device.uuid} is gone")
        before = (self._devices, self._found.driver, len(self._found.gpus))
        self._found = found
        offered = plan.devices(found, self._settings)
        self._foreign = self._strangers(offered, self._foreign)
        if self._settings.foreign == "exclude":
            offered = tuple(item for item in offered if item.gpu not in self._foreign)
        self._devices = offered
        if before != (offered, found.driver, len(found.gpus)):
            self._changed()

    def _strangers(self, offered: tuple[Device, ...], before: frozenset[str]) -> frozenset[str]:
        """The GPUs that are computed on although no pod holds any of them."""
        lent = {item.gpu for item in offered if self._leases.holders(item.uuid)}
        busy = {gpu.uuid: gpu.busy for gpu in self._found.gpus if gpu.busy}
        strangers = frozenset(busy.keys() - lent)
        for uuid in sorted(strangers - before):
            listed = ", ".join(map(str, busy[uuid]))
            said = "not offered" if self._settings.foreign == "exclude" else "offered all the same"
            message = f"GPU {uuid} is used by processes that no pod owns ({listed}): it is {said}"
            self._tell(None, "Warning", "GPUInUse", message)
        return strangers
