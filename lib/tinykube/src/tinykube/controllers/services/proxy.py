"""Feeds the process that listens on service addresses and balances over what stands behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.proxy import Proxy, Route
from tinykube import events, kinds, objects
from tinykube.objects import JSON
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Change, StorageError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_COMPONENT = "kube-proxy"


def routes(service: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> Iterator[Route]:
    """The routes of one service: one for each of its TCP ports."""
    spec = service["spec"]
    for port in spec.get("ports") or ():
        if port["protocol"] != "TCP":
            continue
        targets = [
            (endpoint["addresses"][0], found["port"])
            for item in slices
            for found in item.get("ports") or ()
            if found.get("name", "") == port.get("name", "")
            for endpoint in item.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready", True)
        ]
        yield Route(spec["clusterIP"], port["port"], tuple(sorted(set(targets))))


class ServiceProxy:
    """Keeps the balancer at what services and slices say.

    Args:
        registry: the operations.
        folder: the balancer's own.
    """

    name = "service addresses"

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._proxy = Proxy(folder)
        self._wake = asyncio.Event()
        self._served = asyncio.Event()
        self._told: dict[str, str] = {}
        registry.store.listen(self._changed, _CONCERN)

    def _changed(self, changes: Sequence[Change]) -> None:
        del changes
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; the balancer runs on."""
        self._wake.set()
        watching = asyncio.create_task(self._watch(), name="balancer")
        try:
            await self._follow()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        """Have a balancer that ends started again."""
        while True:
            await self._served.wait()
            self._served.clear()
            await self._proxy.ended()
            log.warning("the balancer ended; it is started again")
            await asyncio.sleep(_PAUSE_SECONDS)
            self._wake.set()

    async def _follow(self) -> None:
        applied: list[Route] | None = None
        while True:
            await self._wake.wait()
            self._wake.clear()
            owners, wanted = self._wanted()
            runs = self._proxy.identity is not None
            if (wanted == applied and runs) or (not wanted and not runs):
                continue
            try:
                refused = await self._proxy.apply(wanted)
                self._served.set()
                self._tell(owners, refused)
                applied = wanted
            except (OSError, StorageError) as error:
                log.error("%s: %s; tried again in %s s", self.name, error, _RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    def _wanted(self) -> tuple[dict[str, JSON], list[Route]]:
        """Each service by its address, and all routes."""
        store = self._registry.store
        owners: dict[str, JSON] = {}
        wanted: list[Route] = []
        for row in store.rows(kinds.SERVICES.key):
            service: JSON = objects.load(row.data)
            address = service["spec"].get("clusterIP", "")
            if not self._registry.subnet.serves(address):
                continue
            owners[address] = service
            slices = [
                objects.load(other.data)
                for other in store.rows(kinds.SLICES.key, row.namespace)
                if f'"kubernetes.io/service-name":"{row.name}"' in other.data
            ]
            wanted += routes(service, slices)
        return owners, wanted

    def _tell(self, owners: Mapping[str, JSON], refused: Mapping[str, str]) -> None:
        """Say in an event which port cannot be listened on, once."""
        for place, why in refused.items():
            address, _, port = place.rpartition(":")
            if self._told.get(place) == why or address not in owners:
                continue
            text = f"port {port} of {address} cannot be listened on: {why}"
            if int(port) < 1024 and why == "Permission denied":
                text += (
                    "; an ordinary user may from sysctl net.ipv4.ip_unprivileged_port_start on: "
                    "use a higher port, or have an administrator lower it"
                )
            log.warning("service %s: %s", objects.name(owners[address]), text)
            try:
                events.record(
                    self._registry,
                    owners[address],
                    "Warning",
                    "FailedToListen",
                    text,
                    component=_COMPONENT,
                )
            except ApiError as error:
                log.warning("no event of it: %s", error)
        self._told = dict(refused)


_CONCERN = (kinds.SERVICES.key, kinds.SLICES.key)
