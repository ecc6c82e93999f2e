"""The resources that are served: one module for each API group."""

from __future__ import annotations

from tinykube.kinds.batch import BATCH, JOBS
from tinykube.kinds.coordination import LEASES
from tinykube.kinds.core import (
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    VOLUMES,
)
from tinykube.kinds.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    RBAC,
    ROLE_BINDINGS,
    ROLES,
)
from tinykube.kinds.resource import ALL_VERBS, Column, Resource, body, field_of

__all__ = [
    "ACCESS_REVIEW",
    "ALL_VERBS",
    "AUTHORIZATION",
    "BATCH",
    "CLAIMS",
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "CONFIG_MAPS",
    "EVENTS",
    "JOBS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "RBAC",
    "ROLES",
    "ROLE_BINDINGS",
    "SECRETS",
    "SERVICE_ACCOUNTS",
    "STORED",
    "VOLUMES",
    "Column",
    "Resource",
    "body",
    "field_of",
]

STORED = (
    NAMESPACES,
    SERVICE_ACCOUNTS,
    SECRETS,
    CONFIG_MAPS,
    VOLUMES,
    CLAIMS,
    PODS,
    JOBS,
    EVENTS,
    NODES,
    LEASES,
    ROLES,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
)

# Answered on the spot, never stored.
ACCESS_REVIEW = "selfsubjectaccessreviews"
AUTHORIZATION = "authorization.k8s.io"
