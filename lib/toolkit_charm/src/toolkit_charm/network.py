"""Where a unit listens, and by which names and addresses others reach it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import ops

from .status import Waiting

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def host(address: Address) -> str:
    """Write an address as it stands in a URL or a Host header."""
    return f"[{address}]" if address.version == 6 else str(address)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of an endpoint as `network-get` tells them.

    Attributes:
        bind: what the server listens on.
        ingress: what others connect to: the application's service, or the unit itself.
    """

    bind: Address
    ingress: Address

    @classmethod
    def load(cls, model: ops.Model, endpoint: str) -> Addresses:
        """Read them.

        Raises:
            Waiting: the unit has no address yet.
        """
        binding = model.get_binding(endpoint)
        bind = binding.network.bind_address if binding else None
        ingress = binding.network.ingress_address if binding else None
        if bind is None or ingress is None or isinstance(bind, str) or isinstance(ingress, str):
            raise Waiting(f"no address for the endpoint {endpoint} yet")
        return cls(bind, ingress)


def names(unit: ops.Unit, model: str) -> tuple[str, ...]:
    """The names by which the cluster's DNS knows the unit and its application."""
    application, _, number = unit.name.partition("/")
    own = f"{application}-{number}.{application}-endpoints"
    domains = ("", f".{model}", f".{model}.svc", f".{model}.svc.cluster.local")
    return tuple(f"{name}{domain}" for name in (application, own) for domain in domains)
