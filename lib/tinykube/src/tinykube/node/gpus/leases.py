"""Who holds which device: one file with each pod, written before a container of it starts.

The files are the truth: a node that comes back after kill -9 reads them, and a pod's folder takes
its leases along when it goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinykube.node.gpus.plan import Device
from tinykube.pki import write_private

_FILE = "devices.json"


class ShortageError(Exception):
    """A pod's devices cannot be had, although the scheduler thought so."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Some units of a device, held by a container of a pod.

    `again` is True for one that initialises the pod on what the pod's others get afterwards.
    """

    container: str
    resource: str
    device: str
    amount: int
    again: bool = False


class Leases:
    """The leases of all pods of a node.

    Args:
        folder: holds a folder for each pod, named by its uid.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, tuple[Lease, ...]] = {}
        for file in folder.glob(f"*/{_FILE}"):
            data = json.loads(file.read_text(encoding="utf-8"))
            self._held[file.parent.name] = tuple(Lease(**item) for item in data)

    def of(self, uid: str, container: str) -> list[Lease]:
        """What a container holds."""
        return [lease for lease in self._held.get(uid, ()) if lease.container == container]

    def holders(self, device: str) -> list[str]:
        """The pods that hold some of a device."""
        return [
            uid
            for uid, leases in self._held.items()
            if any(lease.device == device for lease in leases)
        ]

    def take(
        self, uid: str, containers: Sequence[Mapping[str, Any]], offered: Sequence[Device]
    ) -> None:
        """Take what the containers of a pod ask for; those that initialise come last.

        What the pod holds already stays as it is.

        Raises:
            ShortageError: it is not there; nothing is taken.
        """
        if uid in self._held:
            return
        names = {device.resource for device in offered}
        taken: list[Lease] = []
        for container in containers:
            limits = (container.get("resources") or {}).get("limits") or {}
            for resource in sorted(names & limits.keys()):
                amount = int(limits[resource])
                if amount > 0:
                    own = [device for device in offered if device.resource == resource]
                    taken += self._pick(container, resource, amount, own, taken)
        if taken:
            place = self._folder / uid
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = json.dumps([asdict(lease) for lease in taken])
            write_private(place / _FILE, data.encode("utf-8"))
            self._held[uid] = tuple(taken)

    def release(self, uid: str) -> None:
        """Give back all that a pod holds."""
        if self._held.pop(uid, None) is not None:
            (self._folder / uid / _FILE).unlink(missing_ok=True)

    def _pick(
        self,
        container: Mapping[str, Any],
        resource: str,
        amount: int,
        devices: Sequence[Device],
        taken: Sequence[Lease],
    ) -> list[Lease]:
        name = container["name"]
        if devices[0].split:
            return [self._part(container, resource, amount, devices, taken)]
        picked = []
        if container.get("initialises"):
            mine = dict.fromkeys(lease.device for lease in taken if lease.resource == resource)
            picked = [Lease(name, resource, uuid, 1, again=True) for uuid in mine][:amount]
        busy = {lease.device for lease in self._counted(taken)}
        free = [device for device in devices if device.uuid not in busy]
        missing = amount - len(picked)
        if missing > len(free):
            raise _shortage(resource, amount, len(free) + len(picked))
        return picked + [Lease(name, resource, item.uuid, 1) for item in free[:missing]]

    def _part(
        self,
        container: Mapping[str, Any],
        resource: str,
        amount: int,
        devices: Sequence[Device],
        taken: Sequence[Lease],
    ) -> Lease:
        name = container["name"]
        for lease in taken if container.get("initialises") else ():
            if lease.resource == resource and lease.amount >= amount:
                return Lease(name, resource, lease.device, amount, again=True)
        used: dict[str, int] = {}
        for lease in self._counted(taken):
            used[lease.device] = used.get(lease.device, 0) + lease.amount
        free = {device.uuid: device.units - used.get(device.uuid, 0) for device in devices}
        fitting = [uuid for uuid, left in free.items() if left >= amount]
        if not fitting:
            raise _shortage(resource, amount, max(free.values(), default=0))
        # The fullest that still has room, so that large requests find some later.
        return Lease(name, resource, min(fitting, key=lambda uuid: free[uuid]), amount)

    def _counted(self, taken: Iterable[Lease]) -> Iterable[Lease]:
        for leases in (*self._held.values(), taken):
            yield from (lease for lease in leases if not lease.again)


def _shortage(resource: str, asked: int, left: int) -> ShortageError:
    return ShortageError(
        f"Allocate failed due to requested number of devices unavailable for {resource}. "
        f"Requested: {asked}, Available: {left}, which is unexpected"
    )
