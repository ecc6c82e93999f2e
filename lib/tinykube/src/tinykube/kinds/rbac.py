"""The kinds of `rbac.authorization.k8s.io`."""

from __future__ import annotations

from tinykube import names, podspec, schema
from tinykube.kinds.resource import Resource
from tinykube.schema import Fields, Many

RBAC = "rbac.authorization.k8s.io"
_RULES = Many(
    Fields(
        {
            "verbs": Many("str", kept=True),
            "apiGroups": Many("str"),
            "resources": Many("str"),
            "resourceNames": Many("str"),
            "nonResourceURLs": Many("str"),
        }
    ),
    kept=True,
)
_ROLE_REF = Fields(
    {"apiGroup": "str", "kind": "str", "name": "str"},
    atomic=True,
    always=("apiGroup", "kind", "name"),
)
_SUBJECTS = Many(
    Fields(
        {"kind": "str", "apiGroup": "str", "name": "str", "namespace": "str"},
        always=("kind", "name"),
    )
)
_AGGREGATION = Fields({"clusterRoleSelectors": Many(podspec.LABEL_SELECTOR)})
ROLES = Resource(
    RBAC,
    "v1",
    "roles",
    "Role",
    namespaced=True,
    upserts=True,
    name_fault=names.segment_fault,
    shape=schema.kind({"rules": _RULES}, always=("rules",)),
)
CLUSTER_ROLES = Resource(
    RBAC,
    "v1",
    "clusterroles",
    "ClusterRole",
    namespaced=False,
    upserts=True,
    name_fault=names.segment_fault,
    shape=schema.kind({"rules": _RULES, "aggregationRule": _AGGREGATION}, always=("rules",)),
)
ROLE_BINDINGS = Resource(
    RBAC,
    "v1",
    "rolebindings",
    "RoleBinding",
    namespaced=True,
    upserts=True,
    name_fault=names.segment_fault,
    shape=schema.kind({"roleRef": _ROLE_REF, "subjects": _SUBJECTS}, always=("roleRef",)),
)
CLUSTER_ROLE_BINDINGS = Resource(
    RBAC,
    "v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
    namespaced=False,
    upserts=True,
    name_fault=names.segment_fault,
    shape=schema.kind({"roleRef": _ROLE_REF, "subjects": _SUBJECTS}, always=("roleRef",)),
)
