"""The tables of the core group's kinds, pods excepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinykube.objects import JSON
from tinykube.tables.column import (
    AGE,
    NAME,
    NONE,
    Cell,
    Heading,
    Printer,
    created,
    name,
    plain,
    selector,
    texts,
    wide,
)
from tinykube.tables.durations import UNKNOWN, age

_UNSET = "<unset>"
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_SHOWN_ENDPOINTS = 3


def _status(obj: JSON) -> JSON:
    return obj.get("status") or {}


def _modes(modes: Any) -> str:
    found = set(modes or ())
    return ",".join(short for long, short in _MODES.items() if long in found)


NAMESPACES = plain(Heading("Status"), cells=lambda obj: (_status(obj).get("phase", ""),))
SECRETS = plain(
    *texts("Type", "Data"),
    cells=lambda obj: (obj.get("type", ""), len(obj.get("data") or ())),
)
CONFIG_MAPS = plain(
    Heading("Data"),
    cells=lambda obj: (len(obj.get("data") or ()) + len(obj.get("binaryData") or ()),),
)
SERVICE_ACCOUNTS = plain(cells=lambda _: ())


def _volume(obj: JSON) -> Sequence[Cell]:
    spec, status = obj.get("spec") or {}, _status(obj)
    claim = spec.get("claimRef") or {}
    phase = status.get("phase", "")
    return (
        name(obj),
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else phase,
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or _UNSET,
        status.get("reason", ""),
        created(obj),
        spec.get("volumeMode") or _UNSET,
    )


VOLUMES = Printer(
    (
        NAME,
        *texts(
            "Capacity",
            "Access Modes",
            "Reclaim Policy",
            "Status",
            "Claim",
            "StorageClass",
            "VolumeAttributesClass",
            "Reason",
        ),
        AGE,
        *wide("VolumeMode"),
    ),
    _volume,
)


def _claim(obj: JSON) -> Sequence[Cell]:
    spec, status = obj.get("spec") or {}, _status(obj)
    bound = bool(spec.get("volumeName"))
    phase = status.get("phase", "")
    return (
        name(obj),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else phase,
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or _UNSET,
        created(obj),
        spec.get("volumeMode") or _UNSET,
    )


CLAIMS = Printer(
    (
        NAME,
        *texts(
            "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass"
        ),
        AGE,
        *wide("VolumeMode"),
    ),
    _claim,
)


def _event(obj: JSON) -> Sequence[Cell]:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    series = obj.get("series") or {}
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp")
    first = first or obj.get("eventTime")
    last = series.get("lastObservedTime") or last or first
    component = source.get("component") or obj.get("reportingComponent", "")
    host = source.get("host") or obj.get("reportingInstance", "")
    kind, called = str(about.get("kind", "")), str(about.get("name", ""))
    return (
        age(last),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind.lower()}/{called}" if called else kind.lower(),
        about.get("fieldPath", ""),
        f"{component}, {host}" if component and host else component or host,
        str(obj.get("message") or obj.get("note") or "").strip(),
        age(first),
        series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1,
        name(obj),
    )


EVENTS = Printer(
    (
        *texts("Last Seen", "Type", "Reason", "Object"),
        *wide("Subobject", "Source"),
        Heading("Message"),
        *wide("First Seen", "Count"),
        Heading("Name", format="name", priority=1),
    ),
    _event,
)


def _node(obj: JSON) -> Sequence[Cell]:
    status = _status(obj)
    ready = next(
        (item for item in status.get("conditions") or () if item.get("type") == "Ready"), None
    )
    words = ["Unknown" if ready is None else "Ready"]
    if ready is not None and ready.get("status") != "True":
        words = ["NotReady"]
    if (obj.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    info = status.get("nodeInfo") or {}
    addresses = {item.get("type"): item.get("address") for item in status.get("addresses") or ()}
    return (
        name(obj),
        ",".join(words),
        ",".join(sorted(_roles(obj))) or NONE,
        created(obj),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        _kernel(info),
        info.get("containerRuntimeVersion") or UNKNOWN,
    )


def _kernel(info: JSON) -> str:
    version, machine = info.get("kernelVersion"), info.get("architecture")
    if not version:
        return UNKNOWN
    return f"{version} ({machine})" if machine else str(version)


def _roles(obj: JSON) -> Iterable[str]:
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith("node-role.kubernetes.io/"):
            yield key.partition("/")[2]
        elif key == "kubernetes.io/role" and value:
            yield value


NODES = Printer(
    (
        NAME,
        *texts("Status", "Roles"),
        AGE,
        Heading("Version"),
        *wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
    ),
    _node,
)


def _service(obj: JSON) -> Sequence[Cell]:
    spec = obj.get("spec") or {}
    return (
        name(obj),
        spec.get("type", ""),
        spec.get("clusterIP") or NONE,
        _external(obj),
        ",".join(_ports(spec.get("ports") or ())) or NONE,
        created(obj),
        selector(spec.get("selector")),
    )


def _external(obj: JSON) -> str:
    spec = obj.get("spec") or {}
    given = ",".join(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case "LoadBalancer":
            ingress = (_status(obj).get("loadBalancer") or {}).get("ingress") or ()
            found = [str(item.get("ip") or item.get("hostname")) for item in ingress]
            return ",".join([*found, *filter(None, [given])]) or "<pending>"
    return given or NONE


def _ports(ports: Iterable[JSON]) -> Iterable[str]:
    for port in ports:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        yield f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}"


SERVICES = Printer(
    (
        NAME,
        *texts("Type", "Cluster-IP", "External-IP", "Port(s)"),
        AGE,
        *wide("Selector"),
    ),
    _service,
)


def _endpoints(obj: JSON) -> Sequence[Cell]:
    found = []
    for subset in obj.get("subsets") or ():
        addresses = subset.get("addresses") or ()
        for port in subset.get("ports") or [{}]:
            behind = f":{port['port']}" if port else ""
            found += [f"{item.get('ip')}{behind}" for item in addresses]
    text = ",".join(found[:_SHOWN_ENDPOINTS]) or NONE
    if len(found) > _SHOWN_ENDPOINTS:
        text += f" + {len(found) - _SHOWN_ENDPOINTS} more..."
    return (text,)


ENDPOINTS = plain(Heading("Endpoints"), cells=_endpoints)


def _quota(obj: JSON) -> Sequence[Cell]:
    status = _status(obj)
    used = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for key, hard in sorted((status.get("hard") or {}).items()):
        entry = f"{key}: {used.get(key, '0')}/{hard}"
        (limits if key.startswith("limits.") else requests).append(entry)
    return (", ".join(requests), ", ".join(limits))


QUOTAS = plain(*texts("Request", "Limit"), cells=_quota)
