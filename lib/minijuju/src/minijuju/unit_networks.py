"""The networks of units in models with `unit-network=isolated`: kept up, made again, ended.

`sandbox.isolation` makes them. Which units have one follows from the state alone; a keeper that
ends is started again and finds what runs by its processes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from minijuju import execution, models, units
from minijuju.cluster import Access
from minijuju.errors import BadRequestError
from minijuju.runtime import UnitSpec
from minijuju.state import State
from sandbox import egress, isolation
from sandbox.container import Container
from sandbox.errors import SandboxError
from sandbox.isolation import Isolation, Member
from sandbox.network import Subnet
from sandbox.proxy import Route
from sandbox.spec import Network

logger = logging.getLogger(__name__)

Gates = tuple[tuple[str, int], ...]


class UnitNetworks:
    """The networks of a controller's units.

    Args:
        folder: The keeper's folder.
        state: The controller's.
        access: Its cluster, which units reach by a gate.
        subnet: Gives the controller's share of loopback.
        unit_folder: Gives the folder of a unit's pod, by its model's uuid and its name.
    """

    def __init__(
        self,
        folder: Path,
        state: State,
        access: Access,
        subnet: Callable[[], Subnet],
        unit_folder: Callable[[str, str], Path],
    ) -> None:
        self._state = state
        self._access = access
        self._subnet = subnet
        self._unit_folder = unit_folder
        self._isolation = Isolation(folder)
        self._lock = asyncio.Lock()
        self._kept = asyncio.Event()
        self._applied: tuple[list[Member], list[Route], Gates, str] | None = None
        self._stopped = False
        self._routes: list[Route] = []
        self._failed: dict[str, str] = {}

    async def settle(self, routes: Sequence[Route] | None = None) -> None:
        """Bring the networks to the units that there are, and to these routes if any are given.

        Raises:
            OSError: the keeper cannot be started, or does not answer.
            SandboxError: there is no bubblewrap.
        """
        async with self._lock:
            if routes is not None:
                self._routes = list(routes)
            found = self._members()
            wanted = [member for member, _ in found.values()]
            running = self._isolation.identity is not None
            if not wanted:
                if running or not self._stopped:
                    # Even where none runs: one that was killed may have left something.
                    await self._isolation.stop()
                self._applied, self._stopped = None, True
                return
            outward = egress.find()
            gates = await self._gates()
            state = (wanted, self._routes, gates, outward)
            if running and state == self._applied and not self._failed:
                return
            # A new keeper finds the networks that are there by what runs in them.
            members = wanted if running else await asyncio.to_thread(_running, found.values())
            self._stopped = False
            self._failed = await self._isolation.apply(
                self._subnet(), members, self._routes, gates, outward
            )
            self._applied = state
            self._kept.set()
            for name, why in self._failed.items():
                logger.error("%s has no network: %s", name, why)

    async def join(self, spec: UnitSpec) -> Network:
        """The network of a unit whose pod is about to start.

        Raises:
            SandboxError: it has none; the message says why.
            OSError: likewise.
        """
        await self.settle()
        name = _name(spec.model_uuid, spec.unit)
        if name in self._failed:
            raise SandboxError(f"no network of its own: {self._failed[name]}")
        return Network(self._isolation.folder, name)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each end of the keeper: the next `settle` starts another."""
        while True:
            await self._kept.wait()
            self._kept.clear()
            await self._isolation.ended()
            if self._applied is not None:
                logger.warning("the keeper of the units' networks ended; it is started again")
            await asyncio.sleep(1)
            changed()

    async def stop(self) -> None:
        """End the keeper, when no pod runs any more."""
        async with self._lock:
            self._applied = None
            await self._isolation.stop()

    def _members(self) -> dict[str, tuple[Member, Path]]:
        """Who is to have a network, each with the folder of its pod."""
        return {
            name: (Member(name, unit.address), self._unit_folder(model.uuid, unit.name))
            for model in models.every(self._state)
            if model.isolated
            for unit in units.every(self._state, model.uuid)
            for name in [_name(model.uuid, unit.name)]
        }

    async def _gates(self) -> Gates:
        """Kubernetes' API, where it is at an address: names lead out of here, or nowhere."""
        address = await self._access.address()
        if address is None:
            return ()
        host, port = address
        try:
            return (
                (str(ipaddress.IPv4Address("127.0.0.1" if host == "localhost" else host)), port),
            )
        except ValueError:
            return ()


def limits() -> str:
    """What who chooses such networks is told."""
    told = "WARNING unit-network=isolated: units reach each other, applications, and Kubernetes"
    loopback = "this machine's 127.0.0.1"
    if egress.find():
        return f"{told}, and other machines through {egress.PROGRAM}; {loopback} they do not reach"
    return (
        f"{told}; there is no way from them to {loopback}, nor to other machines: that would need"
        f" {egress.PROGRAM} on PATH (Debian's and Ubuntu's package passt)"
    )


def check() -> None:
    """See that units can have networks of their own on this machine. Blocking.

    Raises:
        BadRequestError: they cannot; the message says what is missing and the remedy.
    """
    found = isolation.check()
    if not found.ok:
        raise BadRequestError(
            f"unit-network=isolated cannot be had here: {found.found}\n{found.remedy}"
        )


def _name(model: str, unit: str) -> str:
    return f"{model[:8]}/{unit}"


def _running(members: Iterable[tuple[Member, Path]]) -> list[Member]:
    return [replace(one, processes=tuple(_processes(folder))) for one, folder in members]


def _processes(folder: Path) -> list[tuple[int, int]]:
    """The processes of a unit that run in its network."""
    found = [Container.adopt(path) for path in folder.glob("containers/*/run")]
    pods = [(one.pid, one.start_ticks) for one in found if one and one.running()]
    return pods + [(one.pid, one.started) for one in execution.marked(folder)]
