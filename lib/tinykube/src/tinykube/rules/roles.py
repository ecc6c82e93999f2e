"""The rules of roles and their bindings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tinykube import kinds, objects, rbac
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
            if rule.get("nonResourceURLs"):
                if new["kind"] == "Role":
                    yield wrong(
                        f"{path}.nonResourceURLs",
                        rule["nonResourceURLs"],
                        "namespaced rules cannot apply to non-resource URLs",
                    )
                if rule.get("resources") or rule.get("apiGroups"):
                    yield wrong(
                        f"{path}.nonResourceURLs",
                        rule["nonResourceURLs"],
                        "rules cannot apply to both regular resources and non-resource URLs",
                    )
            else:
                for field in ("apiGroups", "resources"):
                    if not rule.get(field):
                        yield required(
                            f"{path}.{field}",
                            f"resource rules must supply at least one {_words(field)}",
                        )
            if not rule.get("verbs"):
                yield required(f"{path}.verbs")

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
        reference.setdefault("apiGroup", kinds.RBAC)
        for subject in new.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", kinds.RBAC)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        reference = new["roleRef"]
        if old and reference != old["roleRef"]:
            yield wrong("roleRef", objects.dump(reference), "cannot change roleRef")
        allowed = (
            ("ClusterRole",) if new["kind"] == "ClusterRoleBinding" else ("ClusterRole", "Role")
        )
        if reference.get("kind") not in allowed:
            yield unsupported("roleRef.kind", reference.get("kind", ""), allowed)
        if reference["apiGroup"] != kinds.RBAC:
            yield unsupported("roleRef.apiGroup", reference["apiGroup"], (kinds.RBAC,))
        if not reference.get("name"):
            yield required("roleRef.name")
        for index, subject in enumerate(new.get("subjects") or ()):
            path = f"subjects[{index}]"
            if subject.get("kind") not in ("User", "Group", "ServiceAccount"):
                known = ("ServiceAccount", "User", "Group")
                yield unsupported(f"{path}.kind", subject.get("kind", ""), known, ordered=True)
            if not subject.get("name"):
                yield required(f"{path}.name")
            homeless = subject.get("kind") == "ServiceAccount" and not subject.get("namespace")
            if homeless and new["kind"] == "ClusterRoleBinding":
                yield required(f"{path}.namespace")

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
