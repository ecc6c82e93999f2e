"""The names and routes of applications and their units; addresses are `sandbox.network`'s.

The names are those of the cluster's DNS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sandbox.network import dns_names
from sandbox.proxy import Route


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
        names[service.address] = dns_names(service.name, model)
        endpoints = f"{service.name}-endpoints"
        for unit, address in sorted(service.units.items(), key=lambda item: _ordinal(item[0])):
            pod = unit.replace("/", "-")
            names[address] = (
                *dns_names(f"{pod}.{endpoints}", model),
                *dns_names(endpoints, model),
            )
    return names


def routes(
    address: str, ports: Mapping[str, Iterable[str]], units: Mapping[str, str]
) -> list[Route]:
    """The routes of one application.

    Args:
        address: The application's service address.
        ports: By unit, the ports that it opened, as `80/tcp`; UDP and ICMP are not balanced.
        units: Address by unit, of the units that are to be reached.
    """
    targets: dict[int, list[tuple[str, int]]] = {}
    for unit in sorted(units):
        for opened in ports.get(unit, ()):
            number, _, protocol = opened.partition("/")
            if protocol == "tcp":
                first, _, last = number.partition("-")
                for port in range(int(first), int(last or first) + 1):
                    targets.setdefault(port, []).append((units[unit], port))
    return [Route(address, port, tuple(targets[port])) for port in sorted(targets)]


def _ordinal(unit: str) -> tuple[str, int]:
    application, _, number = unit.rpartition("/")
    return application, int(number)
