"""The environment of a pod's container: values, secrets, config maps, fields, `$(VAR)`."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import Any

from tinykube import quantity
from tinykube.node.client import JSON, Endpoint, NodeClient, NotFoundError
from tinykube.node.neighbours import Neighbours

_REFERENCE = re.compile(r"\$\$|\$\(([^()$\s]+)\)")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(Exception):
    """A container cannot be configured: the message of CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a pod may ask of its node.

    Attributes:
        allocatable: what the node offers, quantities by resource.
        folders: those that a hostPath may be in; None for any.
        pod_address: the pod's own; empty where it is the node's.
        neighbours: the services there are.
    """

    name: str
    address: str
    allocatable: Mapping[str, str]
    folders: tuple[Path, ...] | None = None
    pod_address: str = ""
    neighbours: Neighbours = attribute(default_factory=Neighbours)

    @property
    def serving(self) -> str:
        """The address on which the pod is reached."""
        return self.pod_address or self.address


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable; `$$` is a dollar; an unknown name stays as it is."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def services(endpoint: Endpoint) -> dict[str, str]:
    """The variables by which every pod finds the API."""
    port = str(endpoint.port)
    address = f"tcp://{endpoint.host}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": endpoint.host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": address,
        f"KUBERNETES_PORT_{port}_TCP": address,
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        f"KUBERNETES_PORT_{port}_TCP_PORT": port,
        f"KUBERNETES_PORT_{port}_TCP_ADDR": endpoint.host,
    }


async def build(
    pod: JSON, container: Mapping[str, Any], client: NodeClient, host: Host
) -> dict[str, str]:
    """A container's environment, its image's own apart. Raises ConfigError."""
    builder = _Builder(pod, container, client, host)
    return await builder.build()


class _Builder:
    def __init__(
        self, pod: JSON, container: Mapping[str, Any], client: NodeClient, host: Host
    ) -> None:
        self._pod = pod
        self._container = container
        self._client = client
        self._host = host
        self._namespace = pod["metadata"]["namespace"]
        self._read: dict[tuple[str, str], dict[str, str] | None] = {}

    async def build(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self._pod["spec"].get("enableServiceLinks", True):
            found |= self._host.neighbours.names.links(self._namespace)
        found |= services(self._client.endpoint)
        found["HOSTNAME"] = hostname(self._pod)
        for source in self._container.get("envFrom") or ():
            found |= await self._whole(source)
        for variable in self._container.get("env") or ():
            value = await self._value(variable, found)
            if value is not None:
                found[variable["name"]] = value
        return found

    async def _whole(self, source: Mapping[str, Any]) -> dict[str, str]:
        prefix = source.get("prefix", "")
        for kind, key in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            if reference := source.get(key):
                data = await self._data(kind, reference)
                return {f"{prefix}{name}": value for name, value in (data or {}).items()}
        return {}

    async def _value(self, variable: Mapping[str, Any], found: Mapping[str, str]) -> str | None:
        source = variable.get("valueFrom")
        if source is None:
            return expand(variable.get("value") or "", found)
        if reference := source.get("fieldRef"):
            return field(self._pod, reference["fieldPath"], self._host)
        if reference := source.get("resourceFieldRef"):
            return resource(self._container, reference, self._host)
        for kind, key in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
            if reference := source.get(key):
                return await self._key(kind, reference)
        raise ConfigError(f"env {variable['name']}: no source that this node knows in {source}")

    async def _key(self, kind: str, reference: Mapping[str, Any]) -> str | None:
        data = await self._data(kind, reference)
        if data is not None and reference["key"] in data:
            return data[reference["key"]]
        if reference.get("optional"):
            return None
        raise ConfigError(
            f"couldn't find key {reference['key']} in {kind} {self._namespace}/{reference['name']}"
        )

    async def _data(self, kind: str, reference: Mapping[str, Any]) -> dict[str, str] | None:
        """The texts of a secret or config map; None if it is optional and not there."""
        key = (kind, reference["name"])
        if key not in self._read:
            self._read[key] = await self._fetch(kind, reference["name"])
        data = self._read[key]
        if data is None and not reference.get("optional"):
            word = "secret" if kind == "Secret" else "configmap"
            raise ConfigError(f'{word} "{reference["name"]}" not found')
        return data

    async def _fetch(self, kind: str, name: str) -> dict[str, str] | None:
        try:
            if kind == "Secret":
                data = decode(await self._client.get("Secret", self._namespace, name))
            else:
                data = texts(await self._client.get("ConfigMap", self._namespace, name))
        except NotFoundError:
            return None
        result = {}
        for item, value in data.items():
            if b"\0" in value:
                continue  # No variable can hold it; a volume can.
            result[item] = value.decode(errors="surrogateescape")
        return result


def decode(secret: JSON) -> dict[str, bytes]:
    """The values of a Secret."""
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def texts(config_map: JSON) -> dict[str, bytes]:
    """The values of a ConfigMap, texts and binary ones."""
    data = {
        key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()
    }
    return data | {
        key: value.encode(errors="surrogateescape")
        for key, value in (config_map.get("data") or {}).items()
    }


def hostname(pod: JSON) -> str:
    """The host name of a pod's containers: at most 63 characters, not ending in `-` or `.`."""
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:63].rstrip("-.")


def own_names(pod: JSON, host: Host) -> dict[str, tuple[str, ...]]:
    """The lines of a pod's hosts file that are its own: its name, and the aliases it asks for."""
    spec, names = pod["spec"], hostname(pod)
    found: dict[str, tuple[str, ...]] = {}
    if host.pod_address:
        found[host.pod_address] = (names,)
        if spec.get("subdomain"):
            domain = f"{spec['subdomain']}.{pod['metadata']['namespace']}.svc.cluster.local"
            found[host.pod_address] = (f"{names}.{domain}", names)
    for alias in spec.get("hostAliases") or ():
        found[alias["ip"]] = (*found.get(alias["ip"], ()), *(alias.get("hostnames") or ()))
    return found


def field(pod: JSON, path: str, host: Host) -> str:
    """A field of the pod by its path. Raises ConfigError for one that pods cannot ask for."""
    meta = pod["metadata"]
    if keyed := _KEYED.fullmatch(path):
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        table = meta.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(table.items()))
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": host.name,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.hostIP": host.address,
        "status.hostIPs": host.address,
        "status.podIP": host.serving,
        "status.podIPs": host.serving,
    }
    if path not in values:
        raise ConfigError(f"field {path} is not one that a pod can ask for")
    return str(values[path])


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource(container: Mapping[str, Any], reference: Mapping[str, Any], host: Host) -> str:
    """A container's limit or request; the node's own where the container sets no limit."""
    group, _, name = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    amount = (resources.get(group) or {}).get(name)
    if amount is None and group == "limits":
        amount = host.allocatable.get(name, "0")
    divisor = quantity.parse(reference.get("divisor") or "1") or quantity.parse("1")
    value = quantity.parse(amount or "0") / divisor
    return str(-(-value.numerator // value.denominator))
