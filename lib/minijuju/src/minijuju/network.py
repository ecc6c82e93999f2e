"""Addresses and names on one machine: loopback addresses by unit and application, and hosts files.

Everything runs on the host's network. A controller owns one /16 of 127/8: units have addresses in
its lower half, applications' service addresses lie in its upper half. Nothing needs configuring,
as Linux answers on all of 127/8. The names are those of the cluster's DNS.

All of it is pure except `Subnet.choose`, which looks at the sockets that listen on this machine.
The controller stores what it was given: nothing here remembers.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FIRST, LAST = 16, 239
"""The second bytes that a controller may have; the rest of 127/8 is left to others."""


class NetworkError(Exception):
    """No address is left; the message says of what."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A controller's share of loopback: 127.`number`.0.0/16."""

    number: int

    def __post_init__(self) -> None:
        if not FIRST <= self.number <= LAST:
            raise ValueError(
                f"127.{self.number}.0.0/16 is no controller's network: "
                f"the second byte lies between {FIRST} and {LAST}"
            )

    @classmethod
    def choose(cls, data: Path, *, listening: Iterable[str] | None = None) -> Subnet:
        """Pick the network of the controller whose data folder is `data`.

        The same folder starts from the same place, other folders from others, so that several
        controllers rarely meet; a network on which something listens is passed over.

        Args:
            data: The controller's data folder.
            listening: The addresses on which somebody listens; default: as the kernel says.

        Raises:
            NetworkError: Every network has a listener.
        """
        taken = {
            int(address.split(".")[1])
            for address in (listening_addresses() if listening is None else listening)
            if address.startswith("127.")
        }
        seed = f"{os.getuid()}:{data.resolve()}".encode()
        count = LAST - FIRST + 1
        start = int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") % count
        for step in range(count):
            number = FIRST + (start + step) % count
            if number not in taken:
                return cls(number)
        raise NetworkError("every loopback network from 127.16 to 127.239 has a listener")

    def unit(self, used: Collection[str]) -> str:
        """A free address for a unit, given all addresses of this controller in use."""
        return self._next(0, used, "units")

    def service(self, used: Collection[str]) -> str:
        """A free service address for an application, given all addresses in use."""
        return self._next(128, used, "applications")

    def _next(self, third: int, used: Collection[str], what: str) -> str:
        """The address after the highest one used, else the lowest free one.

        An address that was given back rests as long as possible: old clients that still know it
        should meet nobody rather than somebody else.
        """
        half = [
            f"127.{self.number}.{third + high}.{low}"
            for high in range(128)
            for low in range(1, 255)
        ]
        taken = set(used)
        last = max((i for i, address in enumerate(half) if address in taken), default=-1)
        for step in range(1, len(half) + 1):
            address = half[(last + step) % len(half)]
            if address not in taken:
                return address
        raise NetworkError(f"all {len(half)} addresses for {what} are in use")


@dataclass(frozen=True, slots=True)
class Service:
    """An application as the network sees it.

    Attributes:
        name: The application's name.
        address: Its service address.
        units: Address by unit name (`db/0`), of the units that are up.
    """

    name: str
    address: str
    units: Mapping[str, str]


def hosts(model: str, services: Sequence[Service]) -> dict[str, tuple[str, ...]]:
    """Names by address, as the cluster's DNS would answer inside the model's containers.

    An application has `app`, `app.model`, `app.model.svc`, `app.model.svc.cluster.local` on its
    service address; its endpoints service `app-endpoints` (in the same four forms) stands for
    every unit, each of which is `app-0.app-endpoints`, in the same four forms too.
    """
    names: dict[str, tuple[str, ...]] = {}
    for service in sorted(services, key=lambda service: service.name):
        names[service.address] = _forms(service.name, model)
        endpoints = f"{service.name}-endpoints"
        for unit, address in sorted(service.units.items(), key=lambda item: _ordinal(item[0])):
            pod = unit.replace("/", "-")
            names[address] = (*_forms(f"{pod}.{endpoints}", model), *_forms(endpoints, model))
    return names


def listening_addresses(table: Path = Path("/proc/net/tcp")) -> set[str]:
    """The IPv4 addresses on which a TCP socket of this machine listens, of any user."""
    addresses = set()
    for line in table.read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A":
            raw = int(columns[1].split(":")[0], 16)
            addresses.add(str(ipaddress.IPv4Address(raw.to_bytes(4, "little"))))
    return addresses


def _forms(name: str, model: str) -> tuple[str, ...]:
    return (name, f"{name}.{model}", f"{name}.{model}.svc", f"{name}.{model}.svc.cluster.local")


def _ordinal(unit: str) -> tuple[str, int]:
    application, _, number = unit.rpartition("/")
    return application, int(number)
