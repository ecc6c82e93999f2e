"""Resource quotas: what the objects of a namespace take together, and what is refused for it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tinykube import kinds, objects, podspec, quantity
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.resourcelist import COMPUTE, COUNTED
from tinykube.status import forbidden

if TYPE_CHECKING:
    from tinykube.registry import Registry

# Counted by their own name as well as by `count/`.
# A quota over one of these must know it of every container.
_DEMANDED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
)
_CLASS = ".storageclass.storage.k8s.io/"


def counts(resource: Resource) -> tuple[str, ...]:
    """The names by which quotas count the objects of a resource."""
    if resource.group:
        return (f"count/{resource.key}",)
    plain = (resource.plural,) if resource.plural in COUNTED else ()
    return (f"count/{resource.plural}", *plain)


def charges(resource: Resource, obj: Mapping[str, Any]) -> dict[str, Fraction]:
    """What an object takes, by the names that quotas have for it."""
    taken = dict.fromkeys(counts(resource), Fraction(1))
    if resource is kinds.PODS:
        if objects.finished(obj):
            del taken["pods"]
        else:
            taken |= _compute(obj)
    if resource is kinds.CLAIMS:
        taken |= _storage(obj)
    elif resource.key == "services":
        type_ = obj["spec"].get("type")
        taken["services.loadbalancers"] = Fraction(type_ == "LoadBalancer")
        taken["services.nodeports"] = Fraction(0)
    return taken


def _compute(pod: Mapping[str, Any]) -> dict[str, Fraction]:
    taken: dict[str, Fraction] = {}
    for name, amount in podspec.demand(pod).items():
        taken[f"requests.{name}"] = amount
        if name in COMPUTE or name.startswith("hugepages-"):
            taken[name] = amount
    for name, amount in podspec.demand(pod, "limits").items():
        if name in COMPUTE:
            taken[f"limits.{name}"] = amount
    return taken


def _storage(claim: Mapping[str, Any]) -> dict[str, Fraction]:
    size = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    taken = {"requests.storage": quantity.parse(size)}
    if klass := claim["spec"].get("storageClassName"):
        taken[f"{klass}{_CLASS}requests.storage"] = taken["requests.storage"]
        taken[f"{klass}{_CLASS}persistentvolumeclaims"] = Fraction(1)
    return taken


def scoped(quota: Mapping[str, Any], resource: Resource, obj: Mapping[str, Any]) -> bool:
    """True if a quota's scopes take an object in."""
    spec = quota["spec"]
    wanted = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if wanted and resource is not kinds.PODS:
        return False
    return all(_in_scope(obj, term) for term in wanted)


def _in_scope(pod: Mapping[str, Any], term: Mapping[str, Any]) -> bool:
    spec = pod["spec"]
    ends = (spec.get("activeDeadlineSeconds") or -1) >= 0
    match term["scopeName"]:
        case "Terminating":
            return ends
        case "NotTerminating":
            return not ends
        case "BestEffort":
            return podspec.quality(pod) == "BestEffort"
        case "NotBestEffort":
            return podspec.quality(pod) != "BestEffort"
        case "PriorityClass":
            name = spec.get("priorityClassName") or ""
            match term["operator"]:
                case "Exists":
                    return bool(name)
                case "DoesNotExist":
                    return not name
                case "In":
                    return name in (term.get("values") or ())
            return name not in (term.get("values") or ())
    affinity = spec.get("affinity") or {}
    return any(
        "namespaces" in text or "namespaceSelector" in text
        for text in (objects.dump(affinity.get(f"pod{kind}") or {}) for kind in _AFFINITIES)
    )


_AFFINITIES = ("Affinity", "AntiAffinity")


def text(value: Fraction, hard: str) -> str:
    """An amount, written in the manner of the limit it is held against."""
    return quantity.write(value, binary=quantity.is_binary([hard]))


def admit(registry: Registry, resource: Resource, obj: JSON) -> None:
    """Refuse (ApiError 403) a new object that would take more than a quota allows."""
    namespace = objects.namespace(obj)
    if not namespace or resource.key == kinds.EVENTS.key:
        return
    taken: dict[str, Fraction] | None = None
    for row in registry.store.rows(kinds.QUOTAS.key, namespace):
        quota = objects.load(row.data)
        hard = quota["spec"].get("hard") or {}
        if taken is None:
            taken = charges(resource, obj)
        if not (hard.keys() & taken.keys() or (resource is kinds.PODS and hard)):
            continue
        if not scoped(quota, resource, obj):
            continue
        name, refusal = objects.name(obj), ""
        if resource is kinds.PODS:
            refusal = _unknown(obj, hard)
        if refusal:
            why = f"failed quota: {objects.name(quota)}: must specify {refusal}"
            raise forbidden(resource.plural, resource.group, name, why)
        wanted = {key: amount for key, amount in taken.items() if key in hard and amount > 0}
        if not wanted:
            continue
        now = registry.tallies.of(quota)
        over = {
            key: (amount, now.get(key, Fraction(0)))
            for key, amount in sorted(wanted.items())
            if now.get(key, Fraction(0)) + amount > quantity.parse(hard[key])
        }
        if over:
            requested = ",".join(f"{key}={text(one, hard[key])}" for key, (one, _) in over.items())
            had = ",".join(f"{key}={text(two, hard[key])}" for key, (_, two) in over.items())
            limited = ",".join(f"{key}={hard[key]}" for key in over)
            raise forbidden(
                resource.plural,
                resource.group,
                name,
                f"exceeded quota: {objects.name(quota)}, requested: {requested}, used: {had}, "
                f"limited: {limited}",
            )


def _unknown(pod: JSON, hard: Mapping[str, Any]) -> str:
    """What the quota needs to know of the pod's containers, and they do not say."""
    missing = []
    for key in sorted(name for name in hard if name in _DEMANDED):
        group, _, name = key.rpartition(".")
        silent = sorted(
            container["name"]
            for _, container in podspec.containers(pod)
            if name not in (container["resources"].get(group or "requests") or {})
        )
        if silent:
            missing.append(f"{key} for: {','.join(silent)}")
    return "; ".join(missing)
