"""The rules of services and of what stands behind them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sandbox.network import NetworkError
from tinykube import kinds, names, objects
from tinykube.objects import JSON
from tinykube.rbac import SYSTEM, Caller
from tinykube.rules.base import Rules
from tinykube.status import (
    ApiError,
    Cause,
    duplicate,
    forbidden_field,
    internal,
    invalid,
    required,
    unsupported,
    wrong,
)

if TYPE_CHECKING:
    from tinykube.registry import Registry

HEADLESS = "None"
_IMMUTABLE = "may not change once set"
_RANGE = "must be between 1 and 65535, inclusive"


class ServiceRules(Rules):
    """Services: an address of their own on this machine, or none."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec: JSON = new.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if not port.get("targetPort"):
                port["targetPort"] = port.get("port", 0)
        if spec["type"] == "ClusterIP":
            spec.setdefault("internalTrafficPolicy", "Cluster")
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")
            if old and spec["type"] == old["spec"]["type"]:
                # Those who replace a service need not know its address.
                for field in ("clusterIP", "clusterIPs"):
                    if not spec.get(field) and old["spec"].get(field):
                        spec[field] = old["spec"][field]
            if spec.get("clusterIP"):
                spec.setdefault("clusterIPs", [spec["clusterIP"]])
            elif spec.get("clusterIPs"):
                spec["clusterIP"] = spec["clusterIPs"][0]
        if old is None:
            new["status"] = {"loadBalancer": {}}

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec, name = new["spec"], objects.name(new)
        if "." in name:
            yield wrong("metadata.name", name, "must not contain dots")
        if spec["type"] not in ("ClusterIP", "ExternalName"):
            yield unsupported("spec.type", spec["type"], ("ClusterIP", "ExternalName"))
            return
        if spec["sessionAffinity"] != "None":
            yield unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("None",))
        if spec["type"] == "ExternalName":
            yield from _external(spec)
        else:
            yield from _addresses(spec, old)
            if not spec.get("ports") and spec.get("clusterIP") != HEADLESS:
                yield required("spec.ports")
        yield from _ports(spec)
        for key, value in (spec.get("selector") or {}).items():
            if fault := names.label_key_fault(key):
                yield wrong("spec.selector", key, fault)
            if fault := names.label_value_fault(value):
                yield wrong("spec.selector", value, fault)

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec = new["spec"]
        if spec["type"] != "ClusterIP" or spec.get("clusterIP") == HEADLESS:
            return
        given = spec.get("clusterIP")
        if caller is SYSTEM or (old and given == old["spec"].get("clusterIP")):
            return
        used = {
            objects.load(row.data)["spec"].get("clusterIP")
            for row in registry.store.rows(kinds.SERVICES.key)
        }
        if given:
            why = "provided IP is already allocated" if given in used else ""
            if not registry.subnet.serves(given):
                why = "the provided network does not match the current range"
            if why:
                text = f"failed to allocate IP {given}: {why}"
                fault = wrong("spec.clusterIPs", [given], text)
                raise invalid("Service", "", objects.name(new), [fault])
            return
        try:
            address = registry.subnet.service({item for item in used if item})
        except NetworkError as error:
            raise _full(str(error)) from error
        spec["clusterIP"], spec["clusterIPs"] = address, [address]


def _full(text: str) -> ApiError:
    return internal(f"failed to allocate a serviceIP: {text}")


def _external(spec: Mapping[str, Any]) -> Iterator[Cause]:
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    elif fault := names.subdomain_fault(name):
        yield wrong("spec.externalName", spec["externalName"], fault)
    if spec.get("clusterIP") or spec.get("clusterIPs"):
        yield forbidden_field("spec.clusterIPs", "may not be set for ExternalName services")


def _addresses(spec: Mapping[str, Any], old: JSON | None) -> Iterator[Cause]:
    given = spec.get("clusterIP")
    if given and spec["clusterIPs"] != [given]:
        yield wrong("spec.clusterIPs", spec["clusterIPs"], "must be [clusterIP]: there is no IPv6")
    if given and given != HEADLESS:
        try:
            ipaddress.IPv4Address(given)
        except ValueError:
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            yield wrong("spec.clusterIPs[0]", given, why)
    if spec["ipFamilies"] != ["IPv4"]:
        yield unsupported("spec.ipFamilies", ",".join(spec["ipFamilies"]), ("IPv4",))
    if spec["ipFamilyPolicy"] not in ("SingleStack", "PreferDualStack"):
        allowed = ("SingleStack", "PreferDualStack")
        yield unsupported("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], allowed)
    if old and old["spec"]["type"] == "ClusterIP" and given != old["spec"].get("clusterIP"):
        yield wrong("spec.clusterIPs[0]", [given], _IMMUTABLE)


def _ports(spec: Mapping[str, Any]) -> Iterator[Cause]:
    ports = spec.get("ports") or ()
    seen_names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name, number, protocol = port.get("name"), port.get("port", 0), port["protocol"]
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name and (fault := names.label_fault(name)):
            yield wrong(f"{path}.name", name, fault)
        elif name in seen_names:
            yield duplicate(f"{path}.name", name)
        seen_names.add(name or "")
        if not 1 <= number <= 65535:
            yield wrong(f"{path}.port", number, _RANGE)
        if protocol not in ("TCP", "UDP", "SCTP"):
            yield unsupported(f"{path}.protocol", protocol, ("TCP", "UDP", "SCTP"))
        elif protocol != "TCP" and spec.get("clusterIP") != HEADLESS:
            why = "only TCP is balanced here; a headless service names the pods themselves"
            yield forbidden_field(f"{path}.protocol", why)
        target = port["targetPort"]
        if isinstance(target, str):
            for fault in names.port_faults(target):
                yield wrong(f"{path}.targetPort", target, fault)
        elif not 1 <= target <= 65535:
            yield wrong(f"{path}.targetPort", target, _RANGE)
        if (number, protocol) in seen:
            yield duplicate(path, {"port": number, "protocol": protocol})
        seen.add((number, protocol))


class EndpointsRules(Rules):
    """Endpoints: addresses by hand, or the controller's."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        for subset in new.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        for index, subset in enumerate(new.get("subsets") or ()):
            path = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                yield required(path, "must specify `addresses` or `notReadyAddresses`")
            for field in ("addresses", "notReadyAddresses"):
                for number, item in enumerate(subset.get(field) or ()):
                    yield from _ip(f"{path}.{field}[{number}].ip", item.get("ip", ""))
            for number, port in enumerate(subset.get("ports") or ()):
                if not 1 <= port.get("port", 0) <= 65535:
                    yield wrong(f"{path}.ports[{number}].port", port.get("port", 0), _RANGE)


class SliceRules(Rules):
    """Endpoint slices."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        for port in new.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        kind = new.get("addressType", "")
        if not kind:
            yield required("addressType")
        elif kind not in ("IPv4", "IPv6", "FQDN"):
            yield unsupported("addressType", kind, ("FQDN", "IPv4", "IPv6"))
        if old and kind != old["addressType"]:
            yield wrong("addressType", kind, "field is immutable")
        for index, endpoint in enumerate(new.get("endpoints") or ()):
            path = f"endpoints[{index}].addresses"
            if not endpoint.get("addresses"):
                yield required(path, "must contain at least 1 address")
            for number, address in enumerate(endpoint.get("addresses") or ()):
                if kind == "IPv4":
                    yield from _ip(f"{path}[{number}]", address)


def _ip(path: str, text: str) -> Iterator[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield wrong(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
