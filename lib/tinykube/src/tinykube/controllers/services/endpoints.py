"""What stands behind a service: a pure function of the service and its pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinykube import objects
from tinykube.objects import JSON

HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_LABEL = "kubernetes.io/service-name"
_MANAGED_SLICE = "endpointslice.kubernetes.io/managed-by"
_MANAGED = "endpoints.kubernetes.io/managed-by"
SLICE_MANAGER = "endpointslice-controller.k8s.io"
# As many as Kubernetes puts into one slice.
_PER_SLICE = 100

Ports = tuple[tuple[str, int, str, str], ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod that serves.

    Attributes:
        ports: name, number, protocol and application protocol of each of the service's ports, as
            far as the pod has them.
        ready: it takes connections, or the service wants all addresses.
        serving: it is ready, even should it be about to end.
    """

    address: str
    ports: Ports
    ready: bool
    serving: bool
    terminating: bool
    hostname: str
    node: str
    target: Mapping[str, str]


def selects(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """True if a service's selector, which is not empty, matches a pod."""
    selector = service["spec"].get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def of(service: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> list[Endpoint]:
    """The endpoints of a service, in the order of their pods' names."""
    found = [
        endpoint
        for pod in pods
        if selects(service, pod) and (endpoint := _endpoint(service, pod)) is not None
    ]
    return sorted(found, key=lambda endpoint: endpoint.target["name"])


def _endpoint(service: Mapping[str, Any], pod: Mapping[str, Any]) -> Endpoint | None:
    status = pod.get("status") or {}
    address = status.get("podIP")
    if not address or objects.finished(pod):
        return None
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or ()}
    serving = conditions.get("Ready") == "True"
    terminating = objects.terminating(pod)
    spec = pod["spec"]
    named = spec.get("hostname") and spec.get("subdomain") == objects.name(service)
    return Endpoint(
        address=address,
        ports=tuple(_ports(service, pod)),
        ready=bool(service["spec"].get("publishNotReadyAddresses"))
        or (serving and not terminating),
        serving=serving,
        terminating=terminating,
        hostname=spec["hostname"] if named else "",
        node=spec.get("nodeName", ""),
        target={
            "kind": "Pod",
            "namespace": objects.namespace(pod),
            "name": objects.name(pod),
            "uid": objects.uid(pod),
        },
    )


def _ports(
    service: Mapping[str, Any], pod: Mapping[str, Any]
) -> Iterator[tuple[str, int, str, str]]:
    for port in service["spec"].get("ports") or ():
        target, protocol = port["targetPort"], port["protocol"]
        if isinstance(target, str):
            target = _named(pod, target, protocol)
        if target:
            yield port.get("name", ""), target, protocol, port.get("appProtocol", "")


def _named(pod: Mapping[str, Any], name: str, protocol: str) -> int:
    """The port of a pod's containers that has a name; 0 if none has."""
    for group in ("containers", "initContainers"):
        for container in pod["spec"].get(group) or ():
            for port in container.get("ports") or ():
                if (port.get("name"), port.get("protocol")) == (name, protocol):
                    return int(port["containerPort"])
    return 0


def _labels(service: Mapping[str, Any]) -> JSON:
    found: JSON = dict(service["metadata"].get("labels") or {})
    if service["spec"].get("clusterIP") == "None":
        found[HEADLESS_LABEL] = ""
    return found


def body(service: Mapping[str, Any], endpoints: Sequence[Endpoint]) -> JSON:
    """The Endpoints object of a service."""
    subsets = []
    for ports, group in _by_ports(endpoints):
        subset: JSON = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            listed = [
                _address(item)
                for item in group
                if item.ready is ready and not (item.terminating and not item.ready)
            ]
            if listed:
                subset[field] = listed
        if not subset:
            continue
        if ports:
            subset["ports"] = [_port(item) for item in ports]
        subsets.append(subset)
    made: JSON = {
        "metadata": {
            "name": objects.name(service),
            "labels": {**_labels(service), _MANAGED: "endpoint-controller"},
        }
    }
    return {**made, "subsets": subsets} if subsets else made


def _address(endpoint: Endpoint) -> JSON:
    made: JSON = {"ip": endpoint.address}
    if endpoint.hostname:
        made["hostname"] = endpoint.hostname
    if endpoint.node:
        made["nodeName"] = endpoint.node
    return {**made, "targetRef": dict(endpoint.target)}


def _port(port: tuple[str, int, str, str], *, named: bool = False) -> JSON:
    name, number, protocol, application = port
    made: JSON = {"port": number, "protocol": protocol}
    if name or named:
        made = {"name": name, **made}
    if application:
        made["appProtocol"] = application
    return made


def _by_ports(endpoints: Sequence[Endpoint]) -> Iterator[tuple[Ports, list[Endpoint]]]:
    """Endpoints that have the same ports, together."""
    groups: dict[Ports, list[Endpoint]] = {}
    for endpoint in endpoints:
        groups.setdefault(endpoint.ports, []).append(endpoint)
    yield from sorted(groups.items(), key=lambda item: item[0])


def slices(service: Mapping[str, Any], endpoints: Sequence[Endpoint]) -> list[JSON]:
    """The EndpointSlices of a service, without names; one at least, so that watchers see it."""
    made = []
    groups: list[tuple[Ports, list[Endpoint]]] = list(_by_ports(endpoints)) or [((), [])]
    for ports, group in groups:
        for start in range(0, max(len(group), 1), _PER_SLICE):
            part = group[start : start + _PER_SLICE]
            labels = {
                **_labels(service),
                SERVICE_LABEL: objects.name(service),
                _MANAGED_SLICE: SLICE_MANAGER,
            }
            owner = {
                "apiVersion": "v1",
                "kind": "Service",
                "name": objects.name(service),
                "uid": objects.uid(service),
                "controller": True,
                "blockOwnerDeletion": True,
            }
            body: JSON = {
                "metadata": {
                    "generateName": f"{objects.name(service)}-",
                    "labels": labels,
                    "ownerReferences": [owner],
                },
                "addressType": "IPv4",
                "endpoints": [_slice_endpoint(item) for item in part],
            }
            if ports:
                body["ports"] = [_port(item, named=True) for item in ports]
            made.append(body)
    return made


def _slice_endpoint(endpoint: Endpoint) -> JSON:
    made: JSON = {
        "addresses": [endpoint.address],
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
    }
    if endpoint.hostname:
        made["hostname"] = endpoint.hostname
    if endpoint.node:
        made["nodeName"] = endpoint.node
    return {**made, "targetRef": dict(endpoint.target)}
