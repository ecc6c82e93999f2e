"""The roles that Kubernetes itself brings, as far as their resources exist here.

`admin`, `edit` and `view` are aggregated: what other roles with their labels allow is added, as
those who define custom resources bring it. The contract is
https://kubernetes.io/docs/reference/access-authn-authz/rbac/.
"""

from __future__ import annotations

from collections.abc import Mapping

from tinykube import kinds
from tinykube.kinds import reviews
from tinykube.objects import JSON
from tinykube.rbac import AUTHENTICATED, MASTERS

_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_OPEN = [
    "configmaps",
    "endpoints",
    "events",
    "persistentvolumeclaims",
    "pods",
    "pods/log",
    "pods/status",
    "services",
    "services/status",
]
_LIMITS = ["limitranges", "resourcequotas", "resourcequotas/status"]
_EDITED = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "secrets",
    "serviceaccounts",
    "services",
]


def _rule(verbs: list[str], resources: list[str], group: str = "") -> JSON:
    return {"verbs": verbs, "apiGroups": [group], "resources": resources}


_VIEW = [
    _rule(_READ, [*_OPEN, "namespaces", "serviceaccounts", *_LIMITS]),
    _rule(_READ, ["jobs", "jobs/status"], kinds.BATCH),
    _rule(_READ, ["statefulsets", "statefulsets/status"], kinds.APPS),
    _rule(_READ, ["endpointslices"], kinds.SLICES.group),
    _rule(_READ, ["events"], kinds.EVENT_VIEWS.group),
]
_EDIT = [
    _rule(_READ, ["secrets"]),
    _rule(_WRITE, _EDITED),
    _rule(_WRITE, ["jobs"], kinds.BATCH),
    _rule(_WRITE, ["statefulsets"], kinds.APPS),
    _rule(["create"], ["serviceaccounts/token", "pods/eviction"]),
    _rule([*_READ, *_WRITE], ["leases"], "coordination.k8s.io"),
]

_DISCOVERY = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/openapi",
    "/openapi/*",
    "/version",
    "/version/",
]
_ADMIN = [
    _rule([*_READ, *_WRITE], ["roles", "rolebindings"], kinds.RBAC),
    _rule(["create"], [reviews.LOCAL_ACCESS.plural], reviews.AUTHORIZATION),
]
_AGGREGATE = f"{kinds.RBAC}/aggregate-to-"


def _role(rules: list[JSON], *feeds: str) -> JSON:
    """A role whose rules also go into the roles that it feeds."""
    return {"labels": {f"{_AGGREGATE}{name}": "true" for name in feeds}, "rules": rules}


def _aggregated(name: str, *feeds: str) -> JSON:
    selector = {"matchLabels": {f"{_AGGREGATE}{name}": "true"}}
    rule = {"clusterRoleSelectors": [selector]}
    return {**_role([], *feeds), "aggregationRule": rule}


# Each with labels, rules and, for those that others feed, an aggregation rule.
ROLES: Mapping[str, JSON] = {
    "cluster-admin": _role(
        [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]
    ),
    "admin": _aggregated("admin"),
    "edit": _aggregated("edit", "admin"),
    "view": _aggregated("view", "edit"),
    "system:aggregate-to-admin": _role(_ADMIN, "admin"),
    "system:aggregate-to-edit": _role(_EDIT, "edit"),
    "system:aggregate-to-view": _role(_VIEW, "view"),
    "system:auth-delegator": _role(
        [
            _rule(["create"], [reviews.TOKENS.plural], reviews.AUTHENTICATION),
            _rule(["create"], [reviews.ACCESS.plural], reviews.AUTHORIZATION),
        ]
    ),
    "system:discovery": _role([{"verbs": ["get"], "nonResourceURLs": _DISCOVERY}]),
    "system:basic-user": _role(
        [
            _rule(
                ["create"],
                [reviews.SELF_ACCESS.plural, reviews.SELF_RULES.plural],
                reviews.AUTHORIZATION,
            ),
            _rule(["create"], [reviews.SELF.plural], reviews.AUTHENTICATION),
        ]
    ),
}
BINDINGS: Mapping[str, tuple[str, str]] = {
    "cluster-admin": ("cluster-admin", MASTERS),
    "system:discovery": ("system:discovery", AUTHENTICATED),
    "system:basic-user": ("system:basic-user", AUTHENTICATED),
}
