"""Who may do what: roles and bindings, as Kubernetes evaluates them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinykube import kinds, nodeauthorizer, objects
from tinykube.objects import JSON
from tinykube.store import Change, Store

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
_ACCOUNT = "system:serviceaccount:"
_CONCERN = tuple(
    resource.key
    for resource in (
        kinds.ROLES,
        kinds.CLUSTER_ROLES,
        kinds.ROLE_BINDINGS,
        kinds.CLUSTER_ROLE_BINDINGS,
    )
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user's name, its groups, and its uid and extra values where it has any."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


SYSTEM = Caller("system:apiserver", (MASTERS,))


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked: a verb on a resource, or on a path when `path` is set.

    Attributes:
        resource: the plural, with its subresource behind a slash if any: `pods/log`.
        namespace: empty for the cluster's own resources and for all namespaces.
        name: empty for lists and for what has no name yet.
        node: the only node whose pods a list or watch is of; empty for all.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    node: str = ""

    def denial(self, caller: Caller) -> str:
        """Kubernetes' words for a refusal."""
        if self.path:
            return f'User "{caller.name}" cannot {self.verb} path "{self.path}"'
        scope = (
            f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        )
        return (
            f'User "{caller.name}" cannot {self.verb} resource "{self.resource}" '
            f'in API group "{self.group}" {scope}'
        )


def account_caller(
    namespace: str, name: str, uid: str, extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
) -> Caller:
    """A service account as a caller."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return Caller(f"{_ACCOUNT}{namespace}:{name}", groups, uid, extra)


class Authorizer:
    """Evaluates the stored roles and bindings; keeps what it read until one of them changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes = nodeauthorizer.NodeAuthorizer(store)
        self._roles: dict[tuple[str, str], list[JSON]] = {}
        self._bindings: dict[str, list[JSON]] = {}
        store.listen(self._changed, _CONCERN)

    def _changed(self, changes: Sequence[Change]) -> None:
        del changes
        self._roles.clear()
        self._bindings.clear()

    def allowed(self, caller: Caller, asked: Attributes) -> bool:
        """True if any rule of the caller allows it."""
        if MASTERS in caller.groups:
            return True
        if (node := nodeauthorizer.name_of(caller)) and self._nodes.allowed(node, asked):
            return True
        return any(_permits(rule, asked) for rule in self.rules(caller, asked.namespace))

    def reason(self, caller: Caller, asked: Attributes) -> str:
        """Which binding allows it, in Kubernetes' words; empty where none needs to."""
        if MASTERS in caller.groups:
            return ""
        for binding, subject, rules in self._grants(caller, asked.namespace):
            if any(_permits(rule, asked) for rule in rules):
                return f"RBAC: allowed by {_spell_grant(binding, subject)}"
        return ""

    def known_rules(self, caller: Caller, namespace: str) -> Iterator[JSON]:
        """All that the caller may do in a namespace, as rules."""
        if MASTERS in caller.groups:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
        yield from self.rules(caller, namespace)

    def rules(self, caller: Caller, namespace: str) -> Iterator[JSON]:
        """The caller's rules: those of the cluster, and those of the namespace if one is given."""
        for _, _, rules in self._grants(caller, namespace):
            yield from rules

    def _grants(self, caller: Caller, namespace: str) -> Iterator[tuple[JSON, JSON, list[JSON]]]:
        """Each binding of the caller, the subject in it that the caller is, and its rules."""
        scopes = [("", kinds.CLUSTER_ROLE_BINDINGS)]
        if namespace:
            scopes.append((namespace, kinds.ROLE_BINDINGS))
        for scope, resource in scopes:
            for binding in self._bound(scope, resource):
                subjects = binding.get("subjects") or ()
                for subject in subjects:
                    if _is_subject(subject, caller, scope):
                        yield binding, subject, self.role(binding["roleRef"], scope)
                        break

    def _bound(self, scope: str, resource: kinds.Resource) -> list[JSON]:
        found = self._bindings.get(scope)
        if found is None:
            rows = self._store.rows(resource.key, scope)
            found = self._bindings[scope] = [objects.load(row.data) for row in rows]
        return found

    def role(self, reference: Mapping[str, Any], namespace: str) -> list[JSON]:
        """The rules of the role that a binding in `namespace` refers to; none if it is absent."""
        cluster = reference.get("kind") == "ClusterRole"
        resource = kinds.CLUSTER_ROLES if cluster else kinds.ROLES
        key = ("" if cluster else namespace, str(reference.get("name")))
        if key not in self._roles:
            role = self._store.load(resource.key, *key)
            self._roles[key] = (role or {}).get("rules") or []
        return self._roles[key]

    def uncovered(
        self, caller: Caller, rules: Iterable[Mapping[str, Any]], namespace: str
    ) -> list[JSON]:
        """The part of `rules` that the caller does not hold: nobody grants more than they have."""
        if MASTERS in caller.groups:
            return []
        own = list(self.rules(caller, namespace))
        return [
            single
            for rule in rules
            for single in _single(rule)
            if not any(_covers(mine, single) for mine in own)
        ]


def _spell_grant(binding: JSON, subject: JSON) -> str:
    name, namespace = objects.name(binding), objects.namespace(binding)
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    where = f"{name}/{namespace}" if namespace else name
    reference, who = binding["roleRef"], str(subject.get("name"))
    if subject.get("kind") == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or namespace}"
    return (
        f'{kind} "{where}" of {reference.get("kind")} "{reference.get("name")}" to '
        f'{subject.get("kind")} "{who}"'
    )


def _is_subject(subject: Mapping[str, Any], caller: Caller, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return subject.get("name") == caller.name
        case "Group":
            return subject.get("name") in caller.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return caller.name == f"{_ACCOUNT}{home}:{subject.get('name')}"
    return False


def _permits(rule: Mapping[str, Any], asked: Attributes) -> bool:
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and asked.verb not in verbs:
        return False
    if asked.path:
        return any(_url(url, asked.path) for url in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if "*" not in groups and asked.group not in groups:
        return False
    if not _resource(rule.get("resources") or (), asked.resource):
        return False
    named = rule.get("resourceNames")
    return not named or asked.name in named


def _resource(resources: Sequence[str], asked: str) -> bool:
    if "*" in resources or asked in resources:
        return True
    _, separator, subresource = asked.partition("/")
    return bool(separator) and f"*/{subresource}" in resources


def _url(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _single(rule: Mapping[str, Any]) -> Iterator[JSON]:
    """A rule as rules of one verb on one thing each."""
    for verb in rule.get("verbs") or ():
        for url in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [url]}
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                part = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                named = rule.get("resourceNames") or ()
                for name in named:
                    yield {**part, "resourceNames": [name]}
                if not named:
                    yield part


def _covers(mine: Mapping[str, Any], single: JSON) -> bool:
    def has(field: str, value: str) -> bool:
        values = mine.get(field) or ()
        return "*" in values or value in values

    if not has("verbs", single["verbs"][0]):
        return False
    if "nonResourceURLs" in single:
        wanted = single["nonResourceURLs"][0]
        return any(_url(url, wanted) for url in mine.get("nonResourceURLs") or ())
    if not has("apiGroups", single["apiGroups"][0]):
        return False
    if not _resource(mine.get("resources") or (), single["resources"][0]):
        return False
    named = mine.get("resourceNames")
    return not named or (bool(single.get("resourceNames")) and single["resourceNames"][0] in named)


def spell(rule: Mapping[str, Any]) -> str:
    """A rule as refusals show it."""
    parts = {
        "APIGroups": "apiGroups",
        "Resources": "resources",
        "ResourceNames": "resourceNames",
        "NonResourceURLs": "nonResourceURLs",
        "Verbs": "verbs",
    }
    shown = [
        f"{name}:[{', '.join(objects.dump(item) for item in rule[field])}]"
        for name, field in parts.items()
        if rule.get(field)
    ]
    return "{" + ", ".join(shown) + "}"
