"""The kinds of the core group, `v1`."""

from __future__ import annotations

from tinykube import names, podspec, schema
from tinykube.kinds.resource import ALL_VERBS, Resource
from tinykube.kinds.shapes import CONDITIONS, OBJECT_REFERENCE
from tinykube.schema import Fields, Many, Refused, Table

_EVENT_SOURCE = Fields({"component": "str", "host": "str"})
NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    namespaced=False,
    short=("ns",),
    verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    status=True,
    subresources={"finalize": "Namespace"},
    selectable=("status.phase",),
    name_fault=names.label_fault,
    shape=schema.kind(
        {
            "spec": Fields({"finalizers": Many("str")}),
            "status": Fields({"phase": "str", "conditions": CONDITIONS}),
        },
        always=("spec", "status"),
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
            "secrets": Many(OBJECT_REFERENCE, key="name"),
            "imagePullSecrets": Many(Fields({"name": "str"})),
            "automountServiceAccountToken": "bool",
        },
        optional=("automountServiceAccountToken",),
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
        },
        optional=("immutable",),
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
        {"data": Table("str"), "binaryData": Table("bytes", kept=True), "immutable": "bool"},
        optional=("immutable",),
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
                    "claimRef": Fields(OBJECT_REFERENCE.fields),
                    "hostPath": Fields(
                        {"path": "str", "type": "str"}, optional=("type",), always=("path",)
                    ),
                    "nodeAffinity": Refused("there is one node; node affinity is not known here"),
                    **{
                        source: Refused(_OTHER_VOLUME)
                        for source in ("local", "nfs", "csi", "iscsi", "fc", "cephfs", "rbd")
                    },
                },
                optional=("volumeMode",),
            ),
            "status": Fields(
                {
                    "phase": "str",
                    "message": "str",
                    "reason": "str",
                    "lastPhaseTransitionTime": "time",
                }
            ),
        },
        always=("spec", "status"),
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
            "spec": podspec.CLAIM_SPEC,
            "status": Fields(
                {
                    "phase": "str",
                    "accessModes": Many("str"),
                    "capacity": Table("quantity"),
                    "conditions": CONDITIONS,
                }
            ),
        },
        always=("spec", "status"),
    ),
)
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    namespaced=True,
    categories=("all",),
    short=("po",),
    status=True,
    subresources={
        "binding": "Binding",
        "eviction": "Eviction",
        "log": "Pod",
        "exec": "PodExecOptions",
        "attach": "PodAttachOptions",
        "portforward": "PodPortForwardOptions",
    },
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
QUOTAS = Resource(
    "",
    "v1",
    "resourcequotas",
    "ResourceQuota",
    namespaced=True,
    short=("quota",),
    status=True,
    returns=True,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "hard": Table("quantity"),
                    "scopes": Many("str"),
                    "scopeSelector": Fields(
                        {
                            "matchExpressions": Many(
                                Fields(
                                    {
                                        "scopeName": "str",
                                        "operator": "str",
                                        "values": Many("str"),
                                    },
                                    always=("scopeName", "operator"),
                                )
                            )
                        },
                        atomic=True,
                    ),
                }
            ),
            "status": Fields({"hard": Table("quantity"), "used": Table("quantity")}),
        },
        always=("spec", "status"),
    ),
)
_LIMITS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
LIMIT_RANGES = Resource(
    "",
    "v1",
    "limitranges",
    "LimitRange",
    namespaced=True,
    upserts=True,
    short=("limits",),
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "limits": Many(
                        Fields(
                            {"type": "str", **{name: Table("quantity") for name in _LIMITS}},
                            always=("type",),
                        ),
                        kept=True,
                    )
                },
                always=("limits",),
            )
        },
        always=("spec",),
    ),
)
EVENTS = Resource(
    "",
    "v1",
    "events",
    "Event",
    namespaced=True,
    upserts=True,
    name_fault=names.segment_fault,
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
            "involvedObject": OBJECT_REFERENCE,
            "related": OBJECT_REFERENCE,
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
            "series": Fields(
                {"count": "int", "lastObservedTime": "time"}, always=("lastObservedTime",)
            ),
        },
        always=(
            "involvedObject",
            "source",
            "reportingComponent",
            "reportingInstance",
            "firstTimestamp",
            "lastTimestamp",
            "eventTime",
        ),
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
                    "taints": Many(
                        Fields(
                            {"key": "str", "value": "str", "effect": "str", "timeAdded": "time"},
                            always=("key", "effect"),
                        )
                    ),
                }
            ),
            "status": Fields(
                {
                    "capacity": Table("quantity"),
                    "allocatable": Table("quantity"),
                    "conditions": CONDITIONS,
                    "addresses": Many(
                        Fields(
                            {"type": "str", "address": "str"},
                            always=("type", "address"),
                        ),
                        key="type",
                    ),
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
        },
        always=("spec", "status"),
    ),
)
