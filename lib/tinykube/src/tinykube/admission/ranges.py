"""Limit ranges: what the containers of a namespace ask for by default, at least and at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tinykube import kinds, objects, podspec, quantity
from tinykube.objects import JSON
from tinykube.status import forbidden

if TYPE_CHECKING:
    from tinykube.registry import Registry

_ANNOTATION = "kubernetes.io/limit-ranger"


def items(registry: Registry, namespace: str, type_: str) -> list[JSON]:
    """The limits of a namespace for `Container`, `Pod` or `PersistentVolumeClaim`."""
    return [
        item
        for row in registry.store.rows(kinds.LIMIT_RANGES.key, namespace)
        for item in objects.load(row.data)["spec"].get("limits") or ()
        if item["type"] == type_
    ]


def fill(registry: Registry, pod: JSON) -> bool:
    """Give a new pod's containers the defaults of the namespace; True if there were any."""
    limits: JSON = {}
    requests: JSON = {}
    for item in items(registry, objects.namespace(pod), "Container"):
        for target, field in ((limits, "default"), (requests, "defaultRequest")):
            for name, amount in (item.get(field) or {}).items():
                target.setdefault(name, amount)
    told = []
    for path, container in podspec.containers(pod):
        kind = "init container" if path.startswith("spec.init") else "container"
        for field, word, defaults in (
            ("requests", "request", requests),
            ("limits", "limit", limits),
        ):
            amounts: JSON = (container["resources"].get(field)) or {}
            added = sorted(name for name in defaults if name not in amounts)
            if added:
                container["resources"][field] = {
                    **amounts,
                    **{name: defaults[name] for name in added},
                }
                told.append(f"{', '.join(added)} {word} for {kind} {container['name']}")
    if told:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(told)}"
    return bool(told)


def check_pod(registry: Registry, pod: JSON) -> None:
    """Refuse (ApiError 403) a pod whose requests and limits are out of range."""
    namespace = objects.namespace(pod)
    faults = [
        fault
        for item in items(registry, namespace, "Container")
        for _, container in podspec.containers(pod)
        for fault in _faults(
            item,
            _parsed(container["resources"].get("requests")),
            _parsed(container["resources"].get("limits")),
        )
    ]
    whole = items(registry, namespace, "Pod")
    if whole:
        requests, limits = podspec.demand(pod), podspec.demand(pod, "limits")
        faults += [fault for item in whole for fault in _faults(item, requests, limits)]
    _refuse("pods", pod, faults)


def check_claim(registry: Registry, claim: JSON) -> None:
    """Refuse (ApiError 403) a claim whose size is out of range."""
    requests = _parsed((claim["spec"].get("resources") or {}).get("requests"))
    found = items(registry, objects.namespace(claim), "PersistentVolumeClaim")
    faults = [fault for item in found for fault in _faults(item, requests, {}, limited=False)]
    _refuse("persistentvolumeclaims", claim, faults)


def _refuse(plural: str, obj: JSON, faults: list[str]) -> None:
    faults = list(dict.fromkeys(faults))
    if faults:
        text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
        raise forbidden(plural, "", objects.name(obj), text)


def _parsed(amounts: Mapping[str, Any] | None) -> dict[str, Fraction]:
    return {name: quantity.parse(amount) for name, amount in (amounts or {}).items()}


def _faults(
    item: Mapping[str, Any],
    requests: Mapping[str, Fraction],
    limits: Mapping[str, Fraction],
    *,
    limited: bool = True,
) -> Iterator[str]:
    """The faults of one container, pod or claim, in Kubernetes' words."""
    type_ = item["type"]
    for name, amount in (item.get("min") or {}).items():
        least, start = quantity.parse(amount), f"minimum {name} usage per {type_} is {amount}"
        if name not in requests:
            yield f"{start}. No request is specified"
        elif requests[name] < least:
            yield f"{start}, but request is {_text(requests[name], amount)}"
        if name in limits and limits[name] < least:
            yield f"{start}, but limit is {_text(limits[name], amount)}"
    for name, amount in (item.get("max") or {}).items():
        most, start = quantity.parse(amount), f"maximum {name} usage per {type_} is {amount}"
        if limited and name not in limits:
            yield f"{start}. No limit is specified"
        elif name in limits and limits[name] > most:
            yield f"{start}, but limit is {_text(limits[name], amount)}"
        if name in requests and requests[name] > most and limits.get(name) != requests[name]:
            yield f"{start}, but request is {_text(requests[name], amount)}"
    for name, amount in (item.get("maxLimitRequestRatio") or {}).items():
        start = f"{name} max limit to request ratio per {type_} is {amount}"
        request, limit = requests.get(name, Fraction(0)), limits.get(name, Fraction(0))
        if not request:
            yield f"{start}, but no request is specified or request is 0"
        elif not limit:
            yield f"{start}, but no limit is specified or limit is 0"
        elif limit / request > quantity.parse(amount):
            yield f"{start}, but provided ratio is {float(limit / request):.6f}"


def _text(value: Fraction, like: str) -> str:
    return quantity.write(value, binary=quantity.is_binary([like]))


def defaults(item: JSON) -> None:
    """Fill in what follows of one item's other fields, as Kubernetes does for containers."""
    if item.get("type") != "Container":
        return
    for target, sources in (("default", ("max",)), ("defaultRequest", ("default", "min"))):
        filled: JSON = dict(item.get(target) or {})
        for source in sources:
            for name, amount in (item.get(source) or {}).items():
                filled.setdefault(name, amount)
        if filled:
            item[target] = filled


def names(parts: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The resources that any of these tables names."""
    return sorted({name for part in parts for name in part or ()})
