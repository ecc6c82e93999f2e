"""The rules of roles and their bindings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tinykube import kinds, names, objects, rbac
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.rbac import Attributes, Caller
from tinykube.rules.base import Rules
from tinykube.status import Cause, forbidden, required, unsupported, wrong

if TYPE_CHECKING:
    from tinykube.registry import Registry


_ALL = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


class RoleRules(Rules):
    """Roles and cluster roles: nobody grants what they do not have."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        for index, rule in enumerate(new.get("rules") or ()):
            path = f"rules[{index}]"
            if not rule.get("verbs"):
                yield required(f"{path}.verbs")
            urls = rule.get("nonResourceURLs")
            if urls:
                where = f"{path}.nonResourceURLs"
                if new["kind"] == "Role":
                    yield wrong(where, urls, "namespaced rules cannot apply to non-resource URLs")
                if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
                    why = "rules cannot apply to both regular resources and non-resource URLs"
                    yield wrong(where, urls, why)
                continue
            for field in ("apiGroups", "resources"):
                if not rule.get(field):
                    why = f"resource rules must supply at least one {_words(field)}"
                    yield required(f"{path}.{field}", why)

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        self._aggregation(registry, caller, new, old)
        if old and (old.get("rules") or []) == (new.get("rules") or []):
            return
        resource = _resource(new)
        namespace = objects.namespace(new)
        _escalation(registry, caller, resource, new, new.get("rules") or (), namespace, "escalate")

    def _aggregation(
        self, registry: Registry, caller: Caller, new: JSON, old: JSON | None
    ) -> None:
        """Whoever labels a role feeds the aggregated one: only those who may do all make it."""
        rule = new.get("aggregationRule")
        if not rule or (old and old.get("aggregationRule") == rule):
            return
        if registry.authorizer.uncovered(caller, _ALL, ""):
            raise forbidden(
                kinds.CLUSTER_ROLES.plural,
                kinds.RBAC,
                objects.name(new),
                "must have cluster-admin privileges to use the aggregationRule",
            )


def _words(field: str) -> str:
    return "api group" if field == "apiGroups" else "resource"


class BindingRules(Rules):
    """Role bindings: the role is fixed, and only those who hold it (or may bind it) bind it."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del old
        reference = new.setdefault("roleRef", {})
        reference["apiGroup"] = reference.get("apiGroup") or kinds.RBAC
        for subject in new.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", kinds.RBAC)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        reference = new["roleRef"]
        if old and reference != old["roleRef"]:
            # Go shows the names of its own type's fields.
            shown = {
                "APIGroup": reference["apiGroup"],
                "Kind": reference["kind"],
                "Name": reference["name"],
            }
            yield wrong("roleRef", shown, "field is immutable")
        allowed = (
            ("ClusterRole",) if new["kind"] == "ClusterRoleBinding" else ("Role", "ClusterRole")
        )
        if reference.get("kind") not in allowed:
            yield unsupported("roleRef.kind", reference["kind"], allowed, ordered=True)
        if reference["apiGroup"] != kinds.RBAC:
            yield unsupported("roleRef.apiGroup", reference["apiGroup"], (kinds.RBAC,))
        if not reference.get("name"):
            yield required("roleRef.name")
        elif fault := names.segment_fault(reference["name"]):
            yield wrong("roleRef.name", reference["name"], fault)
        for index, subject in enumerate(new.get("subjects") or ()):
            yield from _subject(f"subjects[{index}]", subject, new["kind"])

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old and (old.get("subjects") or []) == (new.get("subjects") or []):
            return
        reference, namespace = new["roleRef"], objects.namespace(new)
        target = kinds.CLUSTER_ROLES if reference["kind"] == "ClusterRole" else kinds.ROLES
        asked = Attributes("bind", kinds.RBAC, target.plural, namespace, reference["name"])
        if registry.authorizer.allowed(caller, asked):
            return
        rules = registry.authorizer.role(reference, namespace)
        resource = _resource(new)
        _escalation(registry, caller, resource, new, rules, namespace, "")


def _subject(path: str, subject: Mapping[str, Any], binding: str) -> Iterator[Cause]:
    kind, name, group = subject["kind"], subject["name"], subject.get("apiGroup", "")
    if not name:
        yield required(f"{path}.name")
    match kind:
        case "ServiceAccount":
            if name and (fault := names.subdomain_fault(name)):
                yield wrong(f"{path}.name", name, fault)
            if group:
                yield unsupported(f"{path}.apiGroup", group, ("",))
            if binding == "ClusterRoleBinding" and not subject.get("namespace"):
                yield required(f"{path}.namespace")
        case "User" | "Group":
            if group != kinds.RBAC:
                yield unsupported(f"{path}.apiGroup", group, (kinds.RBAC,))
        case _:
            known = ("ServiceAccount", "User", "Group")
            yield unsupported(f"{path}.kind", kind, known, ordered=True)


_RESOURCES = {
    item.kind: item
    for item in (
        kinds.ROLES,
        kinds.CLUSTER_ROLES,
        kinds.ROLE_BINDINGS,
        kinds.CLUSTER_ROLE_BINDINGS,
    )
}


def _resource(obj: JSON) -> Resource:
    return _RESOURCES[obj["kind"]]


def _escalation(
    registry: Registry,
    caller: Caller,
    resource: Resource,
    obj: JSON,
    rules: Iterable[Mapping[str, Any]],
    namespace: str,
    verb: str,
) -> None:
    name = objects.name(obj)
    if verb:
        asked = Attributes(verb, kinds.RBAC, resource.plural, namespace, name)
        if registry.authorizer.allowed(caller, asked):
            return
    lacking = registry.authorizer.uncovered(caller, rules, namespace)
    if lacking:
        shown = "\n".join(rbac.spell(rule) for rule in lacking[:20])
        raise forbidden(
            resource.plural,
            resource.group,
            name,
            f'user "{caller.name}" (groups={objects.dump(list(caller.groups))}) is attempting to '
            f"grant RBAC permissions not currently held:\n{shown}",
        )
