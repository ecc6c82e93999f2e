"""Addresses on one machine: a share of loopback for each owner, and names as cluster DNS has them.

Everything runs on the host's network unless `sandbox.isolation` gives it one of its own, and has
the same addresses in both. An owner (a controller, a control plane) has one /16 of
127/8: what runs has addresses in its lower half, balanced service addresses lie in its upper half.
Nothing needs configuring, as Linux answers on all of 127/8.

All of it is pure except `Subnet.choose`, which looks at the sockets that listen on this machine.
The owner stores what it was given: nothing here remembers.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

_PER_HALF = 128 * 254
FIRST, LAST = 16, 239
"""The second bytes that an owner may have; the rest of 127/8 is left to others."""
OWN = ipaddress.IPv4Network("127.0.0.0/16")
"""What everything that has a network of its own is itself; the rest of 127/8 is elsewhere."""
LINK = "eth0"
"""The name of the link by which it has its address."""


class NetworkError(Exception):
    """No address is left; the message says of what."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """An owner's share of loopback: 127.`number`.0.0/16."""

    number: int

    def __post_init__(self) -> None:
        if not FIRST <= self.number <= LAST:
            raise ValueError(
                f"127.{self.number}.0.0/16 is nobody's network: "
                f"the second byte lies between {FIRST} and {LAST}"
            )

    @property
    def size(self) -> int:
        """How many addresses each half has."""
        return _PER_HALF

    def nth(self, index: int) -> str:
        """The address of this number, from 0, in the lower half."""
        return f"127.{self.number}.{index // 254}.{index % 254 + 1}"

    def runs(self, address: str) -> bool:
        """True for an address of the lower half: of something that runs."""
        return self._half(address) == 0

    def serves(self, address: str) -> bool:
        """True for an address of the upper half: a service's."""
        return self._half(address) == 1

    def _half(self, address: str) -> int | None:
        try:
            first, second, third, fourth = ipaddress.IPv4Address(address).packed
        except ValueError:
            return None
        if (first, second) != (127, self.number) or fourth in (0, 255):
            return None
        return third // 128

    @property
    def gateway(self) -> str:
        """The address by which isolated members know the machine; nobody is given it."""
        return f"127.{self.number}.127.255"

    @classmethod
    def choose(cls, data: Path, *, listening: Iterable[str] | None = None) -> Subnet:
        """Pick the network of the owner whose data folder is `data`.

        The same folder starts from the same place, other folders from others, so that several
        owners rarely meet; a network on which something listens is passed over.

        Args:
            data: The owner's data folder.
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

    def workload(self, used: Collection[str]) -> str:
        """A free address for something that listens, given all addresses in use."""
        return self._next(0, used, "workloads")

    def service(self, used: Collection[str]) -> str:
        """A free address that is balanced, given all addresses in use."""
        return self._next(128, used, "services")

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


def listening_addresses(table: Path = Path("/proc/net/tcp")) -> set[str]:
    """The IPv4 addresses on which a TCP socket of this machine listens, of any user."""
    addresses = set()
    for line in table.read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A":
            raw = int(columns[1].split(":")[0], 16)
            addresses.add(str(ipaddress.IPv4Address(raw.to_bytes(4, "little"))))
    return addresses


def dns_names(name: str, namespace: str) -> tuple[str, ...]:
    """A name in the forms that the cluster's DNS would answer to."""
    return (
        name,
        f"{name}.{namespace}",
        f"{name}.{namespace}.svc",
        f"{name}.{namespace}.svc.cluster.local",
    )
