"""The services that pods can name: their lines in /etc/hosts, their environment variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sandbox.network import dns_names

_DOMAIN = ".svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Service:
    """A service as pods see it.

    Attributes:
        address: its own; empty for one without.
        external: another name that it stands for.
        ports: name, number and protocol of each.
        pods: address and host name (or empty) of each pod that is ready behind it.
    """

    name: str
    namespace: str
    address: str = ""
    external: str = ""
    ports: tuple[tuple[str, int, str], ...] = ()
    pods: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """All services there are."""

    services: tuple[Service, ...] = ()

    def hosts(self, namespace: str) -> dict[str, tuple[str, ...]]:
        """Names by address, as the cluster's DNS would answer to a pod of a namespace.

        A service that stands for another name has one here only where that name is a service's.
        """
        known = {f"{item.name}.{item.namespace}{_DOMAIN}": item for item in self.services}
        found: dict[str, list[str]] = {}
        for service in self.services:
            target = known.get(service.external.removesuffix(".")) if service.external else service
            if target is None:
                continue
            forms = _forms(service.name, service.namespace, namespace)
            if target.address:
                found.setdefault(target.address, []).extend(forms)
                continue
            for address, hostname in target.pods:
                names = found.setdefault(address, [])
                if hostname:
                    own = f"{hostname}.{service.name}"
                    names.extend(_forms(own, service.namespace, namespace))
                names.extend(forms)
        return {address: tuple(dict.fromkeys(names)) for address, names in found.items()}

    def links(self, namespace: str) -> dict[str, str]:
        """The variables that name a namespace's services, as a kubelet sets them."""
        found: dict[str, str] = {}
        for service in self.services:
            if service.namespace == namespace and service.address and service.ports:
                found.update(_links(service))
        return found


def _forms(name: str, namespace: str, seen_from: str) -> tuple[str, ...]:
    """A name's forms; the shortest is for its neighbours in the namespace alone."""
    forms = dns_names(name, namespace)
    return forms if namespace == seen_from else forms[1:]


def _links(service: Service) -> Iterator[tuple[str, str]]:
    prefix = service.name.upper().replace("-", "_")
    first = service.ports[0]
    yield f"{prefix}_SERVICE_HOST", service.address
    yield f"{prefix}_SERVICE_PORT", str(first[1])
    for name, number, _ in service.ports:
        if name:
            yield f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}", str(number)
    yield f"{prefix}_PORT", f"{first[2].lower()}://{service.address}:{first[1]}"
    for _, number, protocol in service.ports:
        start = f"{prefix}_PORT_{number}_{protocol}"
        yield start, f"{protocol.lower()}://{service.address}:{number}"
        yield f"{start}_PROTO", protocol.lower()
        yield f"{start}_PORT", str(number)
        yield f"{start}_ADDR", service.address


@dataclass(slots=True)
class Neighbours:
    """The names as they are now: whoever holds this sees each change."""

    names: Names = field(default_factory=Names)

    def hosts(
        self, namespace: str, own: Mapping[str, tuple[str, ...]]
    ) -> dict[str, tuple[str, ...]]:
        """A pod's hosts: its own names and aliases first, then those of services."""
        merged = {address: list(names) for address, names in own.items()}
        for address, names in self.names.hosts(namespace).items():
            merged.setdefault(address, []).extend(names)
        return {address: tuple(dict.fromkeys(names)) for address, names in merged.items()}
