"""What each kind demands of its objects: defaults, validity, and who may write them."""

from __future__ import annotations

from collections.abc import Mapping

from tinykube import kinds
from tinykube.crd.definition import DefinitionRules
from tinykube.kinds import Resource
from tinykube.rules.apps import StatefulSetRules
from tinykube.rules.base import Rules
from tinykube.rules.batch import JobRules
from tinykube.rules.classes import (
    SYSTEM_PRIORITIES,
    PriorityClassRules,
    RuntimeClassRules,
    StorageClassRules,
)
from tinykube.rules.coordination import LeaseRules
from tinykube.rules.core import (
    ConfigMapRules,
    EventRules,
    EventViewRules,
    NamespaceRules,
    SecretRules,
)
from tinykube.rules.metadata import FOREGROUND, ORPHAN, metadata
from tinykube.rules.nodes import NodeRules
from tinykube.rules.pods import PodRules
from tinykube.rules.quotas import LimitRangeRules, ResourceQuotaRules
from tinykube.rules.roles import BindingRules, RoleRules
from tinykube.rules.services import EndpointsRules, ServiceRules, SliceRules
from tinykube.rules.volumes import (
    CLAIM_FINALIZER,
    DEFAULT_CLASS,
    PROVISIONER,
    VOLUME_FINALIZER,
    ClaimRules,
    VolumeRules,
)

__all__ = [
    "CLAIM_FINALIZER",
    "DEFAULT_CLASS",
    "FOREGROUND",
    "ORPHAN",
    "PROVISIONER",
    "SYSTEM_PRIORITIES",
    "VOLUME_FINALIZER",
    "Rules",
    "metadata",
    "of",
]

_COMMON = Rules()
_RULES: Mapping[str, Rules] = {
    kinds.NAMESPACES.key: NamespaceRules(),
    kinds.SECRETS.key: SecretRules(),
    kinds.CONFIG_MAPS.key: ConfigMapRules(),
    kinds.VOLUMES.key: VolumeRules(),
    kinds.CLAIMS.key: ClaimRules(),
    kinds.NODES.key: NodeRules(),
    kinds.PODS.key: PodRules(),
    kinds.JOBS.key: JobRules(),
    kinds.STATEFUL_SETS.key: StatefulSetRules(),
    kinds.SERVICES.key: ServiceRules(),
    kinds.ENDPOINTS.key: EndpointsRules(),
    kinds.SLICES.key: SliceRules(),
    kinds.QUOTAS.key: ResourceQuotaRules(),
    kinds.LIMIT_RANGES.key: LimitRangeRules(),
    kinds.PRIORITY_CLASSES.key: PriorityClassRules(),
    kinds.RUNTIME_CLASSES.key: RuntimeClassRules(),
    kinds.STORAGE_CLASSES.key: StorageClassRules(),
    kinds.EVENTS.key: EventRules(),
    kinds.LEASES.key: LeaseRules(),
    kinds.ROLES.key: RoleRules(),
    kinds.CLUSTER_ROLES.key: RoleRules(),
    kinds.ROLE_BINDINGS.key: BindingRules(),
    kinds.CLUSTER_ROLE_BINDINGS.key: BindingRules(),
    kinds.DEFINITIONS.key: DefinitionRules(),
}


_OF_VIEWS: Mapping[str, Rules] = {kinds.EVENT_VIEWS.api_version: EventViewRules()}


def of(resource: Resource) -> Rules:
    """The rules of a resource."""
    if resource in kinds.VIEWS:
        return _OF_VIEWS[resource.api_version]
    return resource.rules or _RULES.get(resource.key, _COMMON)
