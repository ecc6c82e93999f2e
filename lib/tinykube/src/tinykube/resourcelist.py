"""Lists of resources, Kubernetes' ResourceList: an amount by the name of what it is of.

Which names there are, and which amounts are whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tinykube import names, quantity
from tinykube.status import Cause, wrong

NameFaults = Callable[[str, str], Iterator[Cause]]
"""Gives what is wrong with a name, by its path and itself."""

COUNTED = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
)
"""What a quota counts by its plain name."""

COMPUTE = ("cpu", "ephemeral-storage", "memory")
"""What containers ask for."""

_QUOTA = frozenset(
    (
        *COMPUTE,
        *(f"{group}.{name}" for group in ("requests", "limits") for name in COMPUTE),
        *COUNTED,
        "requests.storage",
        "services.loadbalancers",
        "services.nodeports",
    )
)
_PAGES = ("hugepages-", "requests.hugepages-")
_NATIVE = "kubernetes.io/"


def faults(path: str, name: str) -> Iterator[Cause]:
    """What is wrong with the name of a resource."""
    found = [wrong(path, name, fault) for fault in names.label_key_faults(name)]
    yield from found
    if not found and not _standard(name) and name != "storage":
        yield wrong(path, name, "must be a standard resource type or fully qualified")


def quota_faults(path: str, name: str) -> Iterator[Cause]:
    """What is wrong with the name of what a quota limits."""
    yield from faults(path, name)
    if not _standard(name):
        yield wrong(path, name, "must be a standard resource for quota")


def container_faults(path: str, name: str) -> Iterator[Cause]:
    """What is wrong with the name of what a container asks for."""
    yield from faults(path, name)
    if "/" not in name:
        if name not in COMPUTE and not name.startswith("hugepages-"):
            yield wrong(path, name, "must be a standard resource for containers")
    elif _NATIVE not in name and not extended(name):
        yield wrong(path, name, "doesn't follow extended resource name standard")


def amount_faults(
    path: str, amounts: Mapping[str, str] | None, name_faults: NameFaults
) -> Iterator[Cause]:
    """What is wrong with a list whose quantities can be read.

    Args:
        path: where it is.
        amounts: quantities by name; None for none.
        name_faults: one of the above.
    """
    for name, amount in (amounts or {}).items():
        where = f"{path}[{name[:80]}]"
        yield from name_faults(where, name)
        value = quantity.parse(amount)
        if value < 0:
            yield wrong(where, amount, "must be greater than or equal to 0")
        if whole(name) and value.denominator != 1:
            yield wrong(where, amount, "must be an integer")


def _standard(name: str) -> bool:
    return "/" in name or name in _QUOTA or name.startswith(_PAGES)


def extended(name: str) -> bool:
    """True for what somebody else than Kubernetes defines, such as a GPU."""
    if "/" not in name or _NATIVE in name or name.startswith("requests."):
        return False
    return not names.label_key_faults(f"requests.{name}")


def whole(name: str) -> bool:
    """True for what is measured in whole numbers."""
    return name in COUNTED or name.startswith("services.") or extended(name)


def exact(name: str) -> bool:
    """True for what cannot be promised to more than one: requests are equal to limits."""
    return ("/" in name and _NATIVE not in name) or name.startswith("hugepages-")
