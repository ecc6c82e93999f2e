"""The rules of resource quotas and limit ranges."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from tinykube import names, quantity, resourcelist
from tinykube.admission import quotas, ranges
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.status import Cause, duplicate, forbidden_field, required, wrong

_RANGED = ("Container", "PersistentVolumeClaim", "Pod")
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
        yield from _amounts("spec", spec, "hard")
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

    def validate_status(self, new: JSON, old: JSON) -> Iterator[Cause]:
        """See Rules."""
        del old
        for field in ("hard", "used"):
            yield from _amounts("status", new.get("status") or {}, field)


def _amounts(path: str, holder: Mapping[str, Any], field: str) -> Iterator[Cause]:
    return resourcelist.amount_faults(
        f"{path}.{field}", holder.get(field), resourcelist.quota_faults
    )


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
        if old is None and not new["metadata"].get("name"):
            new["metadata"]["name"] = str(uuid.uuid4())
        for item in new["spec"]["limits"] or ():
            ranges.defaults(item)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        seen: set[str] = set()
        for index, item in enumerate(new["spec"]["limits"] or ()):
            path, type_ = f"spec.limits[{index}]", item["type"]
            faults = names.label_key_faults(type_)
            if not faults and type_ not in _RANGED and "/" not in type_:
                faults = ["must be a standard limit type or fully qualified"]
            for fault in faults:
                yield wrong(f"{path}.type", type_, fault)
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
    fields = ["max", "min", "maxLimitRequestRatio"]
    if type_ != "Pod":
        fields += ["default", "defaultRequest"]
    judge = resourcelist.container_faults if type_ in ("Container", "Pod") else resourcelist.faults
    for field in fields:
        for name in item.get(field) or ():
            yield from judge(f"{path}.{field}[{name[:80]}]", name)
    for name in ranges.names(item.get(field) for field in fields):
        yield from _order(path, name, {field: item.get(field) for field in fields})
        yield from _ratio(path, name, item)


def _ratio(path: str, name: str, item: Mapping[str, Any]) -> Iterator[Cause]:
    ratio = (item.get("maxLimitRequestRatio") or {}).get(name)
    if ratio is None:
        return
    where, value = f"{path}.maxLimitRequestRatio[{name}]", quantity.parse(ratio)
    if value < 1:
        yield wrong(where, ratio, f"ratio {ratio} is less than 1")
    most, least = ((item.get(field) or {}).get(name) for field in ("max", "min"))
    if most is not None and least is not None and quantity.parse(least):
        widest = quantity.parse(most) / quantity.parse(least)
        if value > widest:
            why = f"ratio {ratio} is greater than max/min = {float(widest):f}"
            yield wrong(where, ratio, why)


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
    given, asked = ((item.get(field) or {}).get(name) for field in ("default", "defaultRequest"))
    # What cannot be promised twice is asked for as it is limited.
    if given and asked and given != asked and resourcelist.exact(name):
        why = f"default value {given} must equal to defaultRequest value {asked} in {name}"
        yield wrong(f"{path}.defaultRequest[{name}]", asked, why)
