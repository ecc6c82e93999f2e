"""The tables of the named groups' kinds."""

from __future__ import annotations

from collections.abc import Sequence

from tinykube.objects import JSON
from tinykube.tables.column import (
    AGE,
    NAME,
    Cell,
    Heading,
    Printer,
    containers,
    created,
    name,
    plain,
    selector,
    texts,
    wide,
)
from tinykube.tables.durations import age, between

_UNSET = "<unset>"
_SHOWN_ENDPOINTS = 3


def _job(obj: JSON) -> Sequence[Cell]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    template = spec.get("template")
    return (
        name(obj),
        _job_word(obj),
        _completions(spec, status),
        _duration(status),
        created(obj),
        *containers(template),
        selector(spec.get("selector")),
    )


def _job_word(obj: JSON) -> str:
    true = {
        item.get("type")
        for item in (obj.get("status") or {}).get("conditions") or ()
        if item.get("status") == "True"
    }
    if true & {"Complete", "Failed"}:
        return "Complete" if "Complete" in true else "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if word in true:
            return word
    return "Running"


def _completions(spec: JSON, status: JSON) -> str:
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallel = spec.get("parallelism", 0)
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(status: JSON) -> str:
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    return between(start, end) if end else age(start)


JOBS = Printer(
    (
        NAME,
        *texts("Status", "Completions", "Duration"),
        AGE,
        *wide("Containers", "Images", "Selector"),
    ),
    _job,
)
STATEFUL_SETS = Printer(
    (NAME, *texts("Ready"), AGE, *wide("Containers", "Images")),
    lambda obj: (
        name(obj),
        f"{(obj.get('status') or {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}",
        created(obj),
        *containers(obj["spec"].get("template")),
    ),
)
LEASES = plain(
    Heading("Holder"), cells=lambda obj: ((obj.get("spec") or {}).get("holderIdentity", ""),)
)


def _binding(obj: JSON) -> Sequence[Cell]:
    reference, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()

    def of(kind: str) -> str:
        return ", ".join(str(item.get("name")) for item in subjects if item.get("kind") == kind)

    accounts = ", ".join(
        f"{item.get('namespace', '')}/{item.get('name')}"
        for item in subjects
        if item.get("kind") == "ServiceAccount"
    )
    return (
        name(obj),
        f"{reference.get('kind')}/{reference.get('name')}",
        created(obj),
        of("User"),
        of("Group"),
        accounts,
    )


BINDINGS = Printer(
    (NAME, Heading("Role"), AGE, *wide("Users", "Groups", "ServiceAccounts")), _binding
)
PRIORITY_CLASSES = Printer(
    (
        NAME,
        Heading("Value", "integer"),
        Heading("Global-Default", "boolean"),
        AGE,
        Heading("PreemptionPolicy"),
    ),
    lambda obj: (
        name(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        created(obj),
        obj.get("preemptionPolicy", ""),
    ),
)


def _slice(obj: JSON) -> Sequence[Cell]:
    ports = [str(item["port"]) for item in obj.get("ports") or () if item.get("port")]
    found = [
        address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()
    ]
    shown = ",".join(found[:_SHOWN_ENDPOINTS]) or _UNSET
    if len(found) > _SHOWN_ENDPOINTS:
        shown += f" + {len(found) - _SHOWN_ENDPOINTS} more..."
    return (obj.get("addressType", ""), ",".join(ports) or _UNSET, shown)


ENDPOINT_SLICES = plain(*texts("AddressType", "Ports", "Endpoints"), cells=_slice)
STORAGE_CLASSES = plain(
    *texts("Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion"),
    cells=lambda obj: (
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
    ),
)
RUNTIME_CLASSES = plain(Heading("Handler"), cells=lambda obj: (obj.get("handler", ""),))
