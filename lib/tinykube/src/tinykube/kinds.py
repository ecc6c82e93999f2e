"""The resources that are served: their names, shapes and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinykube import names, podspec, schema
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Refused, Table

ALL_VERBS = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object.

    Attributes:
        plural: its name in paths, `pods`.
        shape: what its objects look like.
        short: the short names kubectl knows.
        verbs: what may be asked of it.
        status: True if `status` is written through its own subresource only.
        subresources: those of GET or POST besides `status`, by name and kind.
        selectable: fields a field selector may name besides metadata's.
        generation: True if `metadata.generation` counts the changes of its spec.
        returns: True if a deletion answers with the object rather than a Status.
        name_fault: says what is wrong with a name.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    shape: Fields
    short: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    status: bool = False
    subresources: Mapping[str, str] = field(default_factory=dict)
    selectable: tuple[str, ...] = ()
    generation: bool = False
    returns: bool = False
    name_fault: Callable[[str], str] = names.subdomain_fault

    @property
    def key(self) -> str:
        """The store's name for it: `pods`, `roles.rbac.authorization.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What its objects have as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """How the JSON of each of its objects begins in the store."""
        return f'{{"apiVersion":"{self.api_version}","kind":"{self.kind}",'

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a field selector may name."""
        own = ("metadata.name", "metadata.namespace") if self.namespaced else ("metadata.name",)
        return own + self.selectable


def field_of(obj: Mapping[str, Any], path: str) -> str:
    """A selectable field as field selectors compare it: a string, empty where absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        # An absent restart policy and the like are defaulted before they are stored.
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_OBJECT_REFERENCE = Fields(
    {
        "apiVersion": "str",
        "kind": "str",
        "namespace": "str",
        "name": "str",
        "uid": "str",
        "resourceVersion": "str",
        "fieldPath": "str",
    }
)
_LABEL_SELECTOR = Fields(
    {
        "matchLabels": Table("str"),
        "matchExpressions": Many(
            Fields({"key": "str", "operator": "str", "values": Many("str")}),
        ),
    }
)
_CONDITIONS = Many(
    Fields(
        {
            "type": "str",
            "status": "str",
            "reason": "str",
            "message": "str",
            "lastTransitionTime": "time",
            "lastProbeTime": "time",
            "lastHeartbeatTime": "time",
            "observedGeneration": "int",
        }
    ),
    key="type",
)
_EVENT_SOURCE = Fields({"component": "str", "host": "str"})
_RULES = Many(
    Fields(
        {
            "verbs": Many("str"),
            "apiGroups": Many("str"),
            "resources": Many("str"),
            "resourceNames": Many("str"),
            "nonResourceURLs": Many("str"),
        }
    )
)
_ROLE_REF = Fields({"apiGroup": "str", "kind": "str", "name": "str"})
_SUBJECTS = Many(Fields({"kind": "str", "apiGroup": "str", "name": "str", "namespace": "str"}))
_RESOURCES = Fields({"requests": Table("quantity"), "limits": Table("quantity")})
RBAC = "rbac.authorization.k8s.io"

NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    namespaced=False,
    short=("ns",),
    verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    status=True,
    selectable=("status.phase",),
    name_fault=names.label_fault,
    shape=schema.kind(
        {
            "spec": Fields({"finalizers": Many("str", key="*")}),
            "status": Fields({"phase": "str", "conditions": _CONDITIONS}),
        }
    ),
)
SERVICE_ACCOUNTS = Resource(
    "",
    "v1",
    "serviceaccounts",
    "ServiceAccount",
    namespaced=True,
    short=("sa",),
    subresources={"token": "TokenRequest"},
    returns=True,
    shape=schema.kind(
        {
            "secrets": Many(_OBJECT_REFERENCE, key="name"),
            "imagePullSecrets": Many(Fields({"name": "str"}), key="name"),
            "automountServiceAccountToken": "bool",
        }
    ),
)
SECRETS = Resource(
    "",
    "v1",
    "secrets",
    "Secret",
    namespaced=True,
    selectable=("type",),
    shape=schema.kind(
        {
            "type": "str",
            "data": Table("bytes"),
            "stringData": Table("str"),
            "immutable": "bool",
        }
    ),
)
CONFIG_MAPS = Resource(
    "",
    "v1",
    "configmaps",
    "ConfigMap",
    namespaced=True,
    short=("cm",),
    shape=schema.kind(
        {"data": Table("str"), "binaryData": Table("bytes"), "immutable": "bool"},
    ),
)
_OTHER_VOLUME = "only hostPath volumes exist here"
VOLUMES = Resource(
    "",
    "v1",
    "persistentvolumes",
    "PersistentVolume",
    namespaced=False,
    short=("pv",),
    status=True,
    returns=True,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "capacity": Table("quantity"),
                    "accessModes": Many("str"),
                    "persistentVolumeReclaimPolicy": "str",
                    "storageClassName": "str",
                    "volumeMode": "str",
                    "mountOptions": Refused("mount options cannot be honoured here"),
                    "claimRef": _OBJECT_REFERENCE,
                    "hostPath": Fields({"path": "str", "type": "str"}),
                    "nodeAffinity": Refused("there is one node; node affinity is not known here"),
                    **{
                        source: Refused(_OTHER_VOLUME)
                        for source in ("local", "nfs", "csi", "iscsi", "fc", "cephfs", "rbd")
                    },
                }
            ),
            "status": Fields(
                {
                    "phase": "str",
                    "message": "str",
                    "reason": "str",
                    "lastPhaseTransitionTime": "time",
                }
            ),
        }
    ),
)
CLAIMS = Resource(
    "",
    "v1",
    "persistentvolumeclaims",
    "PersistentVolumeClaim",
    namespaced=True,
    short=("pvc",),
    status=True,
    returns=True,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "accessModes": Many("str"),
                    "resources": _RESOURCES,
                    "storageClassName": "str",
                    "volumeMode": "str",
                    "volumeName": "str",
                    "selector": _LABEL_SELECTOR,
                    "dataSource": Refused("volumes cannot be filled from a source here"),
                    "dataSourceRef": Refused("volumes cannot be filled from a source here"),
                    "volumeAttributesClassName": Refused("volume attributes are not known here"),
                }
            ),
            "status": Fields(
                {
                    "phase": "str",
                    "accessModes": Many("str"),
                    "capacity": Table("quantity"),
                    "conditions": _CONDITIONS,
                }
            ),
        }
    ),
)
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    namespaced=True,
    short=("po",),
    status=True,
    subresources={"log": "Pod"},
    selectable=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    generation=True,
    returns=True,
    shape=podspec.SHAPE,
)
EVENTS = Resource(
    "",
    "v1",
    "events",
    "Event",
    namespaced=True,
    short=("ev",),
    selectable=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    shape=schema.kind(
        {
            "involvedObject": _OBJECT_REFERENCE,
            "related": _OBJECT_REFERENCE,
            "reason": "str",
            "message": "str",
            "type": "str",
            "action": "str",
            "source": _EVENT_SOURCE,
            "count": "int",
            "firstTimestamp": "time",
            "lastTimestamp": "time",
            "eventTime": "time",
            "reportingComponent": "str",
            "reportingInstance": "str",
            "series": Fields({"count": "int", "lastObservedTime": "time"}),
        }
    ),
)
NODES = Resource(
    "",
    "v1",
    "nodes",
    "Node",
    namespaced=False,
    short=("no",),
    status=True,
    selectable=("spec.unschedulable",),
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "unschedulable": "bool",
                    "podCIDR": "str",
                    "podCIDRs": Many("str", key="*"),
                    "providerID": "str",
                    "taints": Refused("taints are not known here; cordon the node instead"),
                }
            ),
            "status": Fields(
                {
                    "capacity": Table("quantity"),
                    "allocatable": Table("quantity"),
                    "conditions": _CONDITIONS,
                    "addresses": Many(Fields({"type": "str", "address": "str"}), key="type"),
                    "daemonEndpoints": "any",
                    "nodeInfo": "any",
                    "images": "any",
                    "phase": "str",
                    "features": "any",
                    "runtimeHandlers": "any",
                    "config": "any",
                    "volumesAttached": "any",
                    "volumesInUse": "any",
                }
            ),
        }
    ),
)
LEASES = Resource(
    "coordination.k8s.io",
    "v1",
    "leases",
    "Lease",
    namespaced=True,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "holderIdentity": "str",
                    "leaseDurationSeconds": "int",
                    "acquireTime": "time",
                    "renewTime": "time",
                    "leaseTransitions": "int",
                    "preferredHolder": "str",
                    "strategy": "str",
                }
            )
        }
    ),
)
_AGGREGATION = Refused("roles are not aggregated here; write the rules out")
ROLES = Resource(
    RBAC,
    "v1",
    "roles",
    "Role",
    namespaced=True,
    name_fault=names.segment_fault,
    shape=schema.kind({"rules": _RULES}),
)
CLUSTER_ROLES = Resource(
    RBAC,
    "v1",
    "clusterroles",
    "ClusterRole",
    namespaced=False,
    name_fault=names.segment_fault,
    shape=schema.kind({"rules": _RULES, "aggregationRule": _AGGREGATION}),
)
ROLE_BINDINGS = Resource(
    RBAC,
    "v1",
    "rolebindings",
    "RoleBinding",
    namespaced=True,
    name_fault=names.segment_fault,
    shape=schema.kind({"roleRef": _ROLE_REF, "subjects": _SUBJECTS}),
)
CLUSTER_ROLE_BINDINGS = Resource(
    RBAC,
    "v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
    namespaced=False,
    name_fault=names.segment_fault,
    shape=schema.kind({"roleRef": _ROLE_REF, "subjects": _SUBJECTS}),
)

STORED = (
    NAMESPACES,
    SERVICE_ACCOUNTS,
    SECRETS,
    CONFIG_MAPS,
    VOLUMES,
    CLAIMS,
    PODS,
    EVENTS,
    NODES,
    LEASES,
    ROLES,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
)
BY_KEY: Mapping[str, Resource] = {item.key: item for item in STORED}
BY_PATH: Mapping[tuple[str, str, str], Resource] = {
    (item.group, item.version, item.plural): item for item in STORED
}
BY_KIND: Mapping[tuple[str, str], Resource] = {
    (item.api_version, item.kind): item for item in STORED
}

# Answered on the spot, never stored.
ACCESS_REVIEW = "selfsubjectaccessreviews"
AUTHORIZATION = "authorization.k8s.io"


def body(resource: Resource, obj: JSON) -> JSON:
    """The object with apiVersion and kind in front, as the store keeps it."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        **{key: value for key, value in obj.items() if key not in ("apiVersion", "kind")},
    }
