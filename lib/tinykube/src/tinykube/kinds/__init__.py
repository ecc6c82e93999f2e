"""The resources that are served: one module for each API group."""

from __future__ import annotations

from tinykube.kinds.apiextensions import API_EXTENSIONS, DEFINITIONS
from tinykube.kinds.apps import APPS, STATEFUL_SETS
from tinykube.kinds.batch import BATCH, JOBS
from tinykube.kinds.coordination import LEASES
from tinykube.kinds.core import (
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PODS,
    QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    VOLUMES,
)
from tinykube.kinds.events import EVENT_VIEWS
from tinykube.kinds.metrics import NODE_METRICS, POD_METRICS
from tinykube.kinds.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    RBAC,
    ROLE_BINDINGS,
    ROLES,
)
from tinykube.kinds.resource import ALL_VERBS, Column, Resource, body, field_of
from tinykube.kinds.scheduling import PRIORITY_CLASSES, RUNTIME_CLASSES
from tinykube.kinds.services import ENDPOINTS, SERVICES, SLICES
from tinykube.kinds.storage import STORAGE_CLASSES

__all__ = [
    "ALL_VERBS",
    "API_EXTENSIONS",
    "APPS",
    "BATCH",
    "CLAIMS",
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "COMPUTED",
    "CONFIG_MAPS",
    "DEFINITIONS",
    "ENDPOINTS",
    "EVENTS",
    "EVENT_VIEWS",
    "JOBS",
    "LEASES",
    "LIMIT_RANGES",
    "NAMESPACES",
    "NODES",
    "NODE_METRICS",
    "PODS",
    "POD_METRICS",
    "PRIORITY_CLASSES",
    "QUOTAS",
    "RBAC",
    "ROLES",
    "ROLE_BINDINGS",
    "RUNTIME_CLASSES",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SLICES",
    "STATEFUL_SETS",
    "STORAGE_CLASSES",
    "STORED",
    "VIEWS",
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
    SERVICES,
    ENDPOINTS,
    SLICES,
    JOBS,
    STATEFUL_SETS,
    EVENTS,
    NODES,
    QUOTAS,
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
    LEASES,
    ROLES,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    DEFINITIONS,
)

# Served beside those: the same objects under other names.
VIEWS = (EVENT_VIEWS,)

# Read only, and reckoned when they are asked for.
COMPUTED = (POD_METRICS, NODE_METRICS)
