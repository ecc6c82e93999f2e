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
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_SINGLE, _DUAL = "SingleStack", "RequireDualStack"
_STACKS = ("PreferDualStack", _DUAL, _SINGLE)
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
        elif spec["type"] == "ExternalName":
            spec.pop("internalTrafficPolicy", None)
        if old is None:
            new["status"] = {"loadBalancer": {}}
            if spec.get("clusterIP") and not spec.get("clusterIPs"):
                spec["clusterIPs"] = [spec["clusterIP"]]
        else:
            _keep(spec, old["spec"])

    def complete(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del registry, caller
        if new["spec"]["type"] == "ExternalName":
            return
        faults = _families(new["spec"], None if old is None else old["spec"])
        if faults:
            # Nothing else of the service is judged then.
            raise invalid("Service", "", objects.name(new), faults)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec, name = new["spec"], objects.name(new)
        if old is None and "." in name:
            yield wrong("metadata.name", name, "must not contain dots")
        if spec["type"] not in _TYPES:
            yield unsupported("spec.type", spec["type"], _TYPES)
        if spec["sessionAffinity"] not in ("ClientIP", "None"):
            yield unsupported(
                "spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")
            )
        if spec["type"] == "ExternalName":
            yield from _external(spec)
        elif not spec.get("ports") and spec.get("clusterIP") != HEADLESS:
            yield required("spec.ports")
        if old and "ExternalName" not in (spec["type"], old["spec"]["type"]):
            yield from _changed(spec, old["spec"])
        yield from _ports(spec)
        for key, value in (spec.get("selector") or {}).items():
            for fault in names.label_key_faults(key):
                yield wrong("spec.selector", key, fault)
            for fault in names.label_value_faults(value):
                yield wrong("spec.selector", value, fault)
        for field, allowed in (
            ("internalTrafficPolicy", ("Cluster", "Local")),
            ("trafficDistribution", ("PreferClose", "PreferSameNode", "PreferSameZone")),
        ):
            if field in spec and spec[field] not in allowed:
                yield unsupported(f"spec.{field}", spec[field], allowed)

    def lacking(self, new: JSON) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        if spec["type"] not in ("ClusterIP", "ExternalName"):
            yield forbidden_field(
                "spec.type", "services are not reached from outside of this machine"
            )
        if spec["sessionAffinity"] == "ClientIP":
            yield forbidden_field("spec.sessionAffinity", "connections are balanced in turn")
        for index, port in enumerate(spec.get("ports") or ()):
            if port["protocol"] != "TCP" and spec.get("clusterIP") != HEADLESS:
                why = "only TCP is balanced here; a headless service names the pods themselves"
                yield forbidden_field(f"spec.ports[{index}].protocol", why)

    def validate_status(self, new: JSON, old: JSON) -> Iterator[Cause]:
        """See Rules."""
        del old
        balancer = (new.get("status") or {}).get("loadBalancer")
        if isinstance(balancer, dict) and balancer.get("ingress"):
            why = "may only be used when `spec.type` is 'LoadBalancer'"
            yield forbidden_field("status.loadBalancer.ingress", why)

    def warnings(self, new: JSON, old: JSON | None) -> Iterator[str]:
        """See Rules."""
        del old
        spec = new["spec"]
        if spec.get("clusterIP") == HEADLESS and spec["sessionAffinity"] != "None":
            yield "spec.SessionAffinity is ignored for headless services"
        if spec["type"] != "ExternalName" and spec.get("externalName"):
            yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
        if spec.get("trafficDistribution") == "PreferClose":
            yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'

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


def _keep(spec: JSON, old: JSON) -> None:
    """Who replaces a service need not know its address; one that it no longer needs goes."""
    fields = ("clusterIP", "clusterIPs")
    had, has = (item["type"] != "ExternalName" for item in (old, spec))
    if had and has:
        if not spec.get("clusterIP") and old.get("clusterIP"):
            spec["clusterIP"] = old["clusterIP"]
        if not spec.get("clusterIPs"):
            spec["clusterIPs"] = list(old.get("clusterIPs") or ())
    same = [(spec.get(field) or None) == (old.get(field) or None) for field in fields]
    if not same[0] and same[1]:
        # Who changes or clears the one means both.
        spec["clusterIPs"] = [spec["clusterIP"]] if spec.get("clusterIP") else []
    if had and not has:
        if all(same):
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(field) == old.get(field):
                spec.pop(field, None)
    if not spec.get("clusterIPs"):
        spec.pop("clusterIPs", None)


def _families(spec: JSON, old: JSON | None) -> list[Cause]:
    """Fill in the families of addresses; the faults of them and of the addresses."""
    headless = spec.get("clusterIP") == HEADLESS
    free = headless and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        # Nobody knows of which family the endpoints of such a service will be.
        before = (old or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = before or (_DUAL if free else _SINGLE)
    if faults := list(_related(spec)):
        return faults
    policy, families = spec["ipFamilyPolicy"], list(spec.get("ipFamilies") or ())
    path = "spec.ipFamilyPolicy"
    if old is not None and old.get("ipFamilies"):
        if policy == _SINGLE and families == old["ipFamilies"]:
            families = families[:1]
        elif policy != _SINGLE and 0 < len(families) < len(old["ipFamilies"]):
            why = "must be 'SingleStack' to release the secondary IP family"
            faults.append(wrong(path, policy, why))
    if policy == _SINGLE and len(families) == 2:
        why = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are "
        faults.append(wrong(path, policy, f"{why}specified"))
    if not faults and not free:
        if policy == _DUAL:
            why = "this cluster is not configured for dual-stack services"
            faults.append(wrong(path, policy, why))
        faults += [
            wrong(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
            for index, family in enumerate(families)
            if family != "IPv4"
        ]
    families = families or ["IPv4"]
    if free and policy != _SINGLE and len(families) == 1:
        families.append("IPv6" if families == ["IPv4"] else "IPv4")
    spec["ipFamilies"] = families
    return faults


def _external(spec: Mapping[str, Any]) -> Iterator[Cause]:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        # An address alone counts for its list.
        if spec.get(field) or (field == "clusterIPs" and spec.get("clusterIP")):
            yield forbidden_field(f"spec.{field}", "may not be set for ExternalName services")
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    elif fault := names.subdomain_fault(name):
        yield wrong("spec.externalName", name, fault)


def _related(spec: Mapping[str, Any]) -> Iterator[Cause]:
    """The faults of addresses and families that are given."""
    given, several = spec.get("clusterIP"), spec.get("clusterIPs") or []
    if given and not several:
        yield required("spec.clusterIPs")
    elif given and several[0] != given:
        yield wrong("spec.clusterIPs", several, "first value must match `clusterIP`")
    elif several and not given:
        why = "must be empty when `clusterIP` is not specified"
        yield wrong("spec.clusterIPs", several, why)
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        where = f"spec.ipFamilies[{index}]"
        if family not in ("IPv4", "IPv6"):
            yield unsupported(where, family, ("IPv4", "IPv6"))
        if family in seen:
            yield duplicate(where, family)
        seen.add(family)
    policy = spec["ipFamilyPolicy"]
    if policy not in _STACKS:
        yield unsupported("spec.ipFamilyPolicy", policy, _STACKS)
    for index, address in enumerate(several):
        if index == 0 and address == HEADLESS:
            if len(several) > 1:
                why = "'None' must be the first and only value"
                yield wrong("spec.clusterIPs", several, why)
            continue
        yield from _ip(f"spec.clusterIPs[{index}]", address)
    if len(several) > 1 and HEADLESS not in several:
        yield wrong("spec.clusterIPs", several, "there is no IPv6 here: one address is all")


def _changed(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    """What of its addresses a service keeps."""
    before, after = old.get("clusterIPs") or [], spec.get("clusterIPs") or []
    headless = [item.get("clusterIP") == HEADLESS for item in (old, spec)]
    if not all(headless):
        if len(before) == len(after):
            for index, address in enumerate(before):
                if address != after[index]:
                    yield wrong(f"spec.clusterIPs[{index}]", after, _IMMUTABLE)
        elif not after:
            yield wrong("spec.clusterIPs[0]", after, "primary clusterIP can not be unset")
    if not any(headless):
        for was, now in zip(old.get("ipFamilies") or (), spec["ipFamilies"], strict=False):
            if was != now:
                yield wrong("spec.ipFamilies[0]", spec["ipFamilies"], _IMMUTABLE)


def _ports(spec: Mapping[str, Any]) -> Iterator[Cause]:
    ports = spec.get("ports") or ()
    seen_names: set[str | None] = set()
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name, number, protocol = port.get("name"), port.get("port", 0), port["protocol"]
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        if name and (fault := names.label_fault(name)):
            yield wrong(f"{path}.name", name, fault)
        if name and name in seen_names:
            yield duplicate(f"{path}.name", name)
        seen_names.add(name)
        if not 1 <= number <= 65535:
            yield wrong(f"{path}.port", number, _RANGE)
        if protocol not in ("TCP", "UDP", "SCTP"):
            yield unsupported(f"{path}.protocol", protocol, ("TCP", "UDP", "SCTP"))
        target = port["targetPort"]
        if isinstance(target, str):
            for fault in names.port_faults(target):
                yield wrong(f"{path}.targetPort", target, fault)
        elif not 1 <= target <= 65535:
            yield wrong(f"{path}.targetPort", target, _RANGE)
        if (number, protocol) in seen:
            # Go shows the names of its own type's fields.
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number}
            yield duplicate(path, {**shown, "TargetPort": 0, "NodePort": 0})
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
