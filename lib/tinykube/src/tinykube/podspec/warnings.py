"""What Kubernetes warns of in a pod that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinykube import names, quantity
from tinykube.podspec.defaults import containers
from tinykube.status import quote

_BYTES = ("memory", "ephemeral-storage")


def of_name(obj: Mapping[str, Any], used: str) -> Iterator[str]:
    """What is surprising about a name that hosts are called by.

    Args:
        obj: a pod, or what makes pods.
        used: what its name is used in.
    """
    if fault := names.label_fault(obj["metadata"]["name"]):
        yield (
            f"metadata.name: this is used in {used}, which can result in surprising behavior; "
            f"a DNS label is recommended: [{fault}]"
        )


def warnings(pod: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What is surprising about a pod, or a template of pods that is at `path` of its object."""
    spec, prefix = pod["spec"], f"{path}." if path else ""
    yield from _pull_secrets(spec, f"{prefix}spec.imagePullSecrets")
    for where, container in containers(pod):
        yield from _resources(container, f"{prefix}{where}.resources")
        yield from _variables(container, f"{prefix}{where}.env")
    yield from _ports(pod, prefix)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield (
            f"{prefix}spec.terminationGracePeriodSeconds: must be >= 0; negative values are "
            "invalid and will be treated as 1"
        )


def _pull_secrets(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(spec.get("imagePullSecrets") or ()):
        name = item.get("name", "")
        if not name:
            yield f'{path}[{index}].name: invalid empty name ""'
        elif name in seen:
            yield f"{path}[{index}].name: duplicate name {quote(name)}"
        seen.add(name)


def _resources(container: Mapping[str, Any], path: str) -> Iterator[str]:
    given = container.get("resources") or {}
    for name in _BYTES:
        for group in ("limits", "requests"):
            amount = (given.get(group) or {}).get(name)
            if amount is not None and quantity.parse(amount).denominator != 1:
                yield (
                    f"{path}.{group}[{name}]: fractional byte value {quote(amount)} is invalid, "
                    "must be an integer"
                )


def _variables(container: Mapping[str, Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(container.get("env") or ()):
        name, value = item.get("name", ""), item.get("value", "")
        if name in seen and (
            "valueFrom" in item or f"$({name})" not in value or value == f"$({name})"
        ):
            yield (
                f"{path}[{index}]: hides previous definition of {quote(name)}, which may be "
                "dropped when using apply"
            )
        seen.add(name)


def _ports(pod: Mapping[str, Any], prefix: str) -> Iterator[str]:
    ports: dict[tuple[Any, Any], list[str]] = {}
    named: dict[str, str] = {}
    doubled = []
    for where, container in containers(pod):
        for index, port in enumerate(container.get("ports") or ()):
            path = f"{prefix}{where}.ports[{index}]"
            others = ports.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other in others:
                yield f"{path}: duplicate port definition with {other}"
            others.append(path)
            name = port.get("name")
            if name and name in named:
                first = named[name]
                doubled.append(
                    f"{path}: duplicate port name {quote(name)} with {first}, services and "
                    f"probes that select ports by name will use {first}"
                )
            elif name:
                named[name] = path
    yield from doubled
