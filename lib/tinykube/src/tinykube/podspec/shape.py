"""The shape of pods: every field that is read, and those that are refused by name."""

from __future__ import annotations

from tinykube import schema
from tinykube.podspec import claims, handlers, placement
from tinykube.schema import Fields, Many, Refused, Shape, Table

_OWN_USER = "every container runs as the one user that tinykube itself runs as"
_VOLUME = "this kind of volume does not exist here"

_KEY: dict[str, Shape] = {"name": "str", "key": "str", "optional": "bool"}
_ITEMS = Many(
    Fields(
        {"key": "str", "path": "str", "mode": "int"},
        optional=("mode",),
        always=("key", "path"),
    ),
)
_FIELD_REF = Fields({"apiVersion": "str", "fieldPath": "str"}, atomic=True, always=("fieldPath",))
_RESOURCE_REF = Fields(
    {"containerName": "str", "resource": "str", "divisor": "quantity"},
    atomic=True,
    always=("resource", "divisor"),
)
_DOWNWARD = Many(
    Fields(
        {
            "path": "str",
            "mode": "int",
            "fieldRef": _FIELD_REF,
            "resourceFieldRef": _RESOURCE_REF,
        },
        optional=("mode",),
        always=("path",),
    ),
)
_SECRET_SOURCE: dict[str, Shape] = {"items": _ITEMS, "optional": "bool"}
_ENV = Fields(
    {
        "name": "str",
        "value": "str",
        "valueFrom": Fields(
            {
                "secretKeyRef": Fields(_KEY, atomic=True, optional=("optional",), always=("key",)),
                "configMapKeyRef": Fields(
                    _KEY, atomic=True, optional=("optional",), always=("key",)
                ),
                "fieldRef": _FIELD_REF,
                "resourceFieldRef": _RESOURCE_REF,
            }
        ),
    },
    always=("name",),
)
_NAMED = Fields({"name": "str", "optional": "bool"}, optional=("optional",))
_SECURITY: dict[str, Shape] = {
    "privileged": Refused("there are no privileged containers here", (False,)),
    "allowPrivilegeEscalation": Refused("no container can gain privileges here", (False,)),
    "readOnlyRootFilesystem": "bool",
    "procMount": Refused("/proc is always the container's own", ("Default",)),
    # Containers have no capabilities and no set-user-id programs, whatever these say.
    "capabilities": Fields({"add": Refused("no capability can be added"), "drop": Many("str")}),
}
_IDENTITY: dict[str, Shape] = {
    # What the one user and its group are called inside.
    "runAsUser": "int",
    "runAsGroup": "int",
    "runAsNonRoot": "bool",
    "seLinuxOptions": Refused("SELinux labels are not set here"),
    "windowsOptions": Refused("this is Linux"),
    "seccompProfile": Fields(
        {
            "type": Refused("no seccomp profile is set here", ("Unconfined", "RuntimeDefault")),
            "localhostProfile": Refused("no seccomp profile is set here"),
        }
    ),
    "appArmorProfile": Fields(
        {
            "type": Refused("no AppArmor profile is set here", ("Unconfined", "RuntimeDefault")),
            "localhostProfile": Refused("no AppArmor profile is set here"),
        }
    ),
}
_POD_SECURITY = Fields(
    {
        **_IDENTITY,
        # One user owns every file of every volume: the group changes nothing.
        "fsGroup": "int",
        "fsGroupChangePolicy": "str",
        "supplementalGroups": Refused(_OWN_USER),
        "supplementalGroupsPolicy": Refused(_OWN_USER),
        "sysctls": Refused("kernel parameters cannot be set here"),
    },
    optional=("runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "fsGroupChangePolicy"),
)
_CONTAINER: dict[str, Shape] = {
    "name": "str",
    "image": "str",
    "imagePullPolicy": "str",
    "command": Many("str"),
    "args": Many("str"),
    "workingDir": "str",
    "env": Many(_ENV, key="name"),
    "envFrom": Many(Fields({"prefix": "str", "secretRef": _NAMED, "configMapRef": _NAMED})),
    "resources": Fields(
        {
            "requests": Table("quantity"),
            "limits": Table("quantity"),
            "claims": Refused("devices cannot be claimed here"),
        }
    ),
    "volumeMounts": Many(
        Fields(
            {
                "name": "str",
                "mountPath": "str",
                "subPath": "str",
                "readOnly": "bool",
                "subPathExpr": "str",
                "mountPropagation": Refused("mounts do not propagate here", ("None",)),
                "recursiveReadOnly": Refused(
                    "read-only mounts are so in full", ("Disabled", "IfPossible")
                ),
            },
            always=("name", "mountPath"),
        ),
        key="mountPath",
    ),
    "ports": Many(
        Fields(
            {
                "name": "str",
                "containerPort": "int",
                "protocol": "str",
                "hostIP": Refused("containers use the host's network; bind the address instead"),
                "hostPort": Refused("containers use the host's network; bind the port instead"),
            },
            always=("containerPort",),
        ),
        key="containerPort",
        keys=(("containerPort", None), ("protocol", "TCP")),
    ),
    "securityContext": Fields(
        {**_IDENTITY, **_SECURITY},
        optional=("runAsUser", "runAsGroup", "runAsNonRoot", "readOnlyRootFilesystem"),
    ),
    "terminationMessagePath": "str",
    "terminationMessagePolicy": "str",
    "stdin": Refused("a container's standard input is empty here", (False,)),
    "stdinOnce": Refused("a container's standard input is empty here", (False,)),
    "tty": Refused("containers have no terminal here", (False,)),
    **handlers.SHAPES,
    "resizePolicy": Refused("running containers cannot be resized here"),
    "volumeDevices": Refused("block devices do not exist here"),
}
SOURCES: dict[str, Shape] = {
    "emptyDir": Fields(
        {
            "medium": "str",
            "sizeLimit": "quantity",
        }
    ),
    "persistentVolumeClaim": Fields(
        {"claimName": "str", "readOnly": "bool"}, always=("claimName",)
    ),
    "secret": Fields(
        {**_SECRET_SOURCE, "secretName": "str", "defaultMode": "int"},
        optional=("optional", "defaultMode"),
    ),
    "configMap": Fields(
        {**_SECRET_SOURCE, "name": "str", "defaultMode": "int"},
        optional=("optional", "defaultMode"),
    ),
    "downwardAPI": Fields({"items": _DOWNWARD, "defaultMode": "int"}, optional=("defaultMode",)),
    "projected": Fields(
        {
            "defaultMode": "int",
            "sources": Many(
                Fields(
                    {
                        "secret": Fields(
                            {**_SECRET_SOURCE, "name": "str"}, optional=("optional",)
                        ),
                        "configMap": Fields(
                            {**_SECRET_SOURCE, "name": "str"}, optional=("optional",)
                        ),
                        "downwardAPI": Fields({"items": _DOWNWARD}),
                        "serviceAccountToken": Fields(
                            {"audience": "str", "expirationSeconds": "int", "path": "str"},
                            optional=("expirationSeconds",),
                            always=("path",),
                        ),
                    }
                )
            ),
        },
        optional=("defaultMode",),
    ),
    "ephemeral": claims.EPHEMERAL,
    "image": Fields({"reference": "str", "pullPolicy": "str"}),
    "hostPath": Fields({"path": "str", "type": "str"}, optional=("type",), always=("path",)),
}
_STATES = Fields(
    {
        "waiting": Fields({"reason": "str", "message": "str"}),
        "running": Fields({"startedAt": "time"}, always=("startedAt",)),
        "terminated": Fields(
            {
                "exitCode": "int",
                "signal": "int",
                "reason": "str",
                "message": "str",
                "startedAt": "time",
                "finishedAt": "time",
                "containerID": "str",
            },
            always=("exitCode", "startedAt", "finishedAt"),
        ),
    }
)
_CONTAINER_STATUSES = Many(
    Fields(
        {
            "name": "str",
            "state": _STATES,
            "lastState": _STATES,
            "ready": "bool",
            "started": "bool",
            "restartCount": "int",
            "image": "str",
            "imageID": "str",
            "containerID": "str",
            "allocatedResources": Table("quantity"),
            "resources": "any",
            "volumeMounts": "any",
            "user": "any",
            "stopSignal": "str",
        },
        optional=("started", "stopSignal"),
        always=("name", "state", "lastState", "ready", "restartCount", "image", "imageID"),
    ),
)
_CONTAINERS = Many(
    Fields(_CONTAINER, optional=("restartPolicy",), always=("name", "resources")), key="name"
)
SHAPE = schema.kind(
    {
        "spec": Fields(
            {
                **placement.SHAPE,
                "containers": _CONTAINERS,
                "initContainers": _CONTAINERS,
                "volumes": Many(
                    Fields(
                        {
                            "name": "str",
                            **SOURCES,
                            **{
                                name: Refused(_VOLUME)
                                for name in ("csi", "gitRepo", "iscsi", "nfs", "rbd")
                            },
                        },
                        always=("name",),
                    ),
                    key="name",
                ),
                "restartPolicy": "str",
                "activeDeadlineSeconds": "int",
                "terminationGracePeriodSeconds": "int",
                "serviceAccountName": "str",
                "serviceAccount": "str",
                "automountServiceAccountToken": "bool",
                "securityContext": _POD_SECURITY,
                "hostname": "str",
                "hostAliases": Many(
                    Fields({"ip": "str", "hostnames": Many("str")}, always=("ip",)),
                    key="ip",
                ),
                "enableServiceLinks": "bool",
                "dnsPolicy": "str",
                "imagePullSecrets": Many(Fields({"name": "str"}, atomic=True), key="name"),
                "os": Fields({"name": Refused("this is Linux", ("linux",))}),
                "subdomain": "str",
                "dnsConfig": Refused("pods use the host's resolver"),
                "hostNetwork": Refused(
                    "pods share the host's network anyhow; leave the field out", (False,)
                ),
                "hostPID": Refused("every container has its own processes", (False,)),
                "hostIPC": Refused("every container has its own IPC", (False,)),
                "hostUsers": Refused("pods always have a user namespace", (False,)),
                "shareProcessNamespace": Refused("containers do not share processes", (False,)),
                "setHostnameAsFQDN": Refused("there is no cluster DNS here", (False,)),
                "priorityClassName": "str",
                "readinessGates": Many(
                    Fields({"conditionType": "str"}, always=("conditionType",))
                ),
                "resources": Refused("resources of a whole pod are not known; use containers'"),
                "overhead": Refused("pod overhead is not known here"),
                "ephemeralContainers": Refused("ephemeral containers do not exist here"),
            },
            optional=(
                "preemptionPolicy",
                "priority",
                "runtimeClassName",
                "activeDeadlineSeconds",
                "terminationGracePeriodSeconds",
                "automountServiceAccountToken",
                "enableServiceLinks",
            ),
        ),
        "status": Fields(
            {
                "phase": "str",
                "reason": "str",
                "message": "str",
                "conditions": Many(
                    Fields(
                        {
                            "type": "str",
                            "status": "str",
                            "reason": "str",
                            "message": "str",
                            "lastTransitionTime": "time",
                            "lastProbeTime": "time",
                            "observedGeneration": "int",
                        },
                        always=("type", "status", "lastProbeTime", "lastTransitionTime"),
                    ),
                    key="type",
                ),
                "hostIP": "str",
                "hostIPs": Many(Fields({"ip": "str"}, always=("ip",)), key="ip", atomic=True),
                "podIP": "str",
                "podIPs": Many(Fields({"ip": "str"}, always=("ip",)), key="ip"),
                "startTime": "time",
                "qosClass": "str",
                "nominatedNodeName": "str",
                "observedGeneration": "int",
                "containerStatuses": _CONTAINER_STATUSES,
                "initContainerStatuses": _CONTAINER_STATUSES,
                "ephemeralContainerStatuses": _CONTAINER_STATUSES,
            }
        ),
    },
    always=("spec", "status"),
)
