"""The rules of resource quotas and limit ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinykube import names, quantity
from tinykube.admission import quotas, ranges
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.status import Cause, duplicate, forbidden_field, required, wrong

_STANDARD = (
    *quotas.COMPUTE,
    *(f"{group}.{name}" for group in ("requests", "limits") for name in quotas.COMPUTE),
    *quotas.COUNTED,
    "requests.storage",
    "services.loadbalancers",
    "services.nodeports",
)
_SELECTOR = "when `operator` is 'In' or 'NotIn' for scope selector"
_OF_BEST_EFFORT = ("pods",)


class ResourceQuotaRules(Rules):
    """Resource quotas."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        new.setdefault("spec", {})
        if old is None:
            new["status"] = {}

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        for name, amount in (spec.get("hard") or {}).items():
            yield from _hard(name, amount)
        scopes = spec.get("scopes") or []
        if any(scope not in quotas.SCOPES for scope in scopes):
            yield wrong("spec.scopes", scopes, "unsupported scope")
        for one, other in (("Terminating", "NotTerminating"), ("BestEffort", "NotBestEffort")):
            if one in scopes and other in scopes:
                yield wrong("spec.scopes", scopes, "conflicting scopes")
        if "BestEffort" in scopes and set(spec.get("hard") or ()) - set(_OF_BEST_EFFORT):
            yield wrong("spec.scopes", scopes, "unsupported scope applied to resource")
        terms = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
        for index, term in enumerate(terms):
            path = f"spec.scopeSelector.matchExpressions[{index}]"
            yield from _term(path, term)
        if old and sorted(scopes) != sorted(old["spec"].get("scopes") or []):
            yield wrong("spec.scopes", scopes, "field is immutable")


def _hard(name: str, amount: str) -> Iterator[Cause]:
    path = f"spec.hard[{name[:80]}]"
    if name not in _STANDARD:
        if "/" not in name:
            yield wrong(path, name, "must be a standard resource type or fully qualified")
            yield wrong(path, name, "must be a standard resource for quota")
        elif fault := names.label_key_fault(name):
            yield wrong(path, name, fault)
    value = quantity.parse(amount)
    if value < 0:
        yield wrong(path, amount, "must be greater than or equal to 0")
    counted = name in quotas.COUNTED or name.startswith(("services.", "count/"))
    if counted and value.denominator != 1:
        yield wrong(path, quantity.write(value, binary=False), "must be an integer")


def _term(path: str, term: Mapping[str, Any]) -> Iterator[Cause]:
    scope, operator, values = term.get("scopeName"), term.get("operator"), term.get("values")
    if scope not in quotas.SCOPES:
        yield wrong(f"{path}.scopeName", scope, "unsupported scope")
        return
    if scope != "PriorityClass" and operator != "Exists":
        why = (
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
            "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
            "ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        yield wrong(f"{path}.operator", operator, why)
    if operator in ("In", "NotIn"):
        if not values:
            why = (
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
            yield required(f"{path}.values", why)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = (
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            )
            yield wrong(f"{path}.values", values, why)
    else:
        yield wrong(f"{path}.operator", operator, "not a valid selector operator")


class LimitRangeRules(Rules):
    """Limit ranges."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        for item in new.setdefault("spec", {}).setdefault("limits", []):
            ranges.defaults(item)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        seen: set[str] = set()
        for index, item in enumerate(new["spec"]["limits"]):
            path, type_ = f"spec.limits[{index}]", item.get("type", "")
            if not type_:
                yield required(f"{path}.type")
                continue
            if type_ not in ("Container", "Pod", "PersistentVolumeClaim") and "/" not in type_:
                why = "must be a standard limit type or fully qualified"
                yield wrong(f"{path}.type", type_, why)
            if type_ in seen:
                yield duplicate(f"{path}.type", type_)
            seen.add(type_)
            yield from _item(path, type_, item)


def _item(path: str, type_: str, item: Mapping[str, Any]) -> Iterator[Cause]:
    if type_ == "Pod":
        for field in ("default", "defaultRequest"):
            if item.get(field):
                yield forbidden_field(
                    f"{path}.{field}", "may not be specified when `type` is 'Pod'"
                )
    if type_ == "PersistentVolumeClaim" and not any(
        "storage" in (item.get(field) or {}) for field in ("min", "max")
    ):
        why = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", why)
    fields = ("max", "min", "default", "defaultRequest")
    for name in ranges.names(item.get(field) for field in fields):
        yield from _order(path, name, item)
    for name, amount in (item.get("maxLimitRequestRatio") or {}).items():
        if quantity.parse(amount) < 1:
            where = f"{path}.maxLimitRequestRatio[{name}]"
            yield wrong(where, amount, f"ratio {amount} is less than 1")


def _order(path: str, name: str, item: Mapping[str, Any]) -> Iterator[Cause]:
    """The faults of a resource whose bounds and defaults are not in order."""
    for low, high, at, value in (
        ("min", "max", "min", "min"),
        ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
        ("min", "default", "default", "min"),
        ("default", "max", "default", "max"),
    ):
        less, more = (item.get(low) or {}).get(name), (item.get(high) or {}).get(name)
        if less is None or more is None or quantity.parse(less) <= quantity.parse(more):
            continue
        words = {
            "min": "min value",
            "max": "max value",
            "default": "default limit value" if low == "defaultRequest" else "default value",
            "defaultRequest": "default request value",
        }
        why = f"{words[low]} {less} is greater than {words[high]} {more}"
        yield wrong(f"{path}.{at}[{name}]", (item.get(value) or {}).get(name), why)
