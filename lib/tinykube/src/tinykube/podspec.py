"""Pods: their shape, their defaults and the rules that a new one must keep."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from tinykube import names, quantity, schema
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Refused, Shape, Table
from tinykube.status import (
    Cause,
    duplicate,
    forbidden_field,
    missing,
    required,
    unsupported,
    wrong,
)

_OWN_USER = "every container runs as the one user that tinykube itself runs as"
_NO_PROBES = "probes are not run here"
_NO_HOOKS = "lifecycle hooks are not run here"
_ONE_NODE = "there is one node, so that this would have no effect; use nodeSelector"
_VOLUME = "this kind of volume does not exist here"

_KEY: dict[str, Shape] = {"name": "str", "key": "str", "optional": "bool"}
_ITEMS = Many(Fields({"key": "str", "path": "str", "mode": "int"}), key="key")
_FIELD_REF = Fields({"apiVersion": "str", "fieldPath": "str"})
_RESOURCE_REF = Fields({"containerName": "str", "resource": "str", "divisor": "quantity"})
_DOWNWARD = Many(
    Fields(
        {
            "path": "str",
            "mode": "int",
            "fieldRef": _FIELD_REF,
            "resourceFieldRef": _RESOURCE_REF,
        }
    ),
    key="path",
)
_SECRET_SOURCE: dict[str, Shape] = {"items": _ITEMS, "optional": "bool"}
_ENV = Fields(
    {
        "name": "str",
        "value": "str",
        "valueFrom": Fields(
            {
                "secretKeyRef": Fields(_KEY),
                "configMapKeyRef": Fields(_KEY),
                "fieldRef": _FIELD_REF,
                "resourceFieldRef": _RESOURCE_REF,
            }
        ),
    }
)
_NAMED = Fields({"name": "str", "optional": "bool"})
_SECURITY: dict[str, Shape] = {
    "privileged": Refused("there are no privileged containers here", (False,)),
    "allowPrivilegeEscalation": Refused("no container can gain privileges here", (False,)),
    "readOnlyRootFilesystem": Refused("a container's own root is writable here", (False,)),
    "procMount": Refused("/proc is always the container's own", ("Default",)),
    # Containers have no capabilities and no set-user-id programs, whatever these say.
    "capabilities": Fields({"add": Refused("no capability can be added"), "drop": Many("str")}),
}
_IDENTITY: dict[str, Shape] = {
    "runAsUser": Refused(_OWN_USER),
    "runAsGroup": Refused(_OWN_USER),
    "runAsNonRoot": Refused(_OWN_USER, (False,)),
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
    }
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
            }
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
            }
        ),
        key="containerPort",
    ),
    "securityContext": Fields({**_IDENTITY, **_SECURITY}),
    "terminationMessagePath": "str",
    "terminationMessagePolicy": "str",
    "stdin": Refused("a container's standard input is empty here", (False,)),
    "stdinOnce": Refused("a container's standard input is empty here", (False,)),
    "tty": Refused("containers have no terminal here", (False,)),
    "livenessProbe": Refused(_NO_PROBES),
    "readinessProbe": Refused(_NO_PROBES),
    "startupProbe": Refused(_NO_PROBES),
    "lifecycle": Refused(_NO_HOOKS),
    "resizePolicy": Refused("running containers cannot be resized here"),
    "volumeDevices": Refused("block devices do not exist here"),
    "restartPolicy": Refused("side-car and per-container restart policies are not known here"),
    "restartPolicyRules": Refused("per-container restart policies are not known here"),
}
SOURCES: dict[str, Shape] = {
    "emptyDir": Fields(
        {
            # A folder on the disk in either case; its size is not bounded.
            "medium": "str",
            "sizeLimit": "quantity",
        }
    ),
    "persistentVolumeClaim": Fields({"claimName": "str", "readOnly": "bool"}),
    "secret": Fields({**_SECRET_SOURCE, "secretName": "str", "defaultMode": "int"}),
    "configMap": Fields({**_SECRET_SOURCE, "name": "str", "defaultMode": "int"}),
    "downwardAPI": Fields({"items": _DOWNWARD, "defaultMode": "int"}),
    "projected": Fields(
        {
            "defaultMode": "int",
            "sources": Many(
                Fields(
                    {
                        "secret": Fields({**_SECRET_SOURCE, "name": "str"}),
                        "configMap": Fields({**_SECRET_SOURCE, "name": "str"}),
                        "downwardAPI": Fields({"items": _DOWNWARD}),
                        "serviceAccountToken": Fields(
                            {"audience": "str", "expirationSeconds": "int", "path": "str"}
                        ),
                    }
                )
            ),
        }
    ),
    "image": Fields({"reference": "str", "pullPolicy": "str"}),
    "hostPath": Fields({"path": "str", "type": "str"}),
}
_STATES = Fields(
    {
        "waiting": Fields({"reason": "str", "message": "str"}),
        "running": Fields({"startedAt": "time"}),
        "terminated": Fields(
            {
                "exitCode": "int",
                "signal": "int",
                "reason": "str",
                "message": "str",
                "startedAt": "time",
                "finishedAt": "time",
                "containerID": "str",
            }
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
        }
    ),
)
SHAPE = schema.kind(
    {
        "spec": Fields(
            {
                "containers": Many(Fields(_CONTAINER), key="name"),
                "initContainers": Many(Fields(_CONTAINER), key="name"),
                "volumes": Many(
                    Fields(
                        {
                            "name": "str",
                            **SOURCES,
                            **{
                                name: Refused(_VOLUME)
                                for name in ("csi", "ephemeral", "gitRepo", "iscsi", "nfs", "rbd")
                            },
                        }
                    ),
                    key="name",
                ),
                "restartPolicy": "str",
                "activeDeadlineSeconds": "int",
                "terminationGracePeriodSeconds": "int",
                "nodeName": "str",
                "nodeSelector": Table("str"),
                "serviceAccountName": "str",
                "serviceAccount": "str",
                "automountServiceAccountToken": "bool",
                "securityContext": _POD_SECURITY,
                "hostname": "str",
                "hostAliases": Many(
                    Fields({"ip": "str", "hostnames": Many("str", key="*")}), key="ip"
                ),
                # The node has no taints and one pod class: these change nothing.
                "tolerations": "any",
                "priority": "int",
                "preemptionPolicy": "str",
                "schedulerName": "str",
                "enableServiceLinks": "bool",
                "dnsPolicy": "str",
                "imagePullSecrets": Many(Fields({"name": "str"}), key="name"),
                "os": Fields({"name": Refused("this is Linux", ("linux",))}),
                "subdomain": Refused("there is no cluster DNS here"),
                "dnsConfig": Refused("pods use the host's resolver"),
                "hostNetwork": Refused(
                    "pods share the host's network anyhow; leave the field out", (False,)
                ),
                "hostPID": Refused("every container has its own processes", (False,)),
                "hostIPC": Refused("every container has its own IPC", (False,)),
                "hostUsers": Refused("pods always have a user namespace", (False,)),
                "shareProcessNamespace": Refused("containers do not share processes", (False,)),
                "setHostnameAsFQDN": Refused("there is no cluster DNS here", (False,)),
                "affinity": Refused(_ONE_NODE, ({},)),
                "topologySpreadConstraints": Refused(_ONE_NODE),
                "priorityClassName": Refused("priority classes do not exist here"),
                "runtimeClassName": Refused("runtime classes do not exist here"),
                "schedulingGates": Refused("scheduling gates are not known here"),
                "readinessGates": Refused("readiness gates are not known here"),
                "resourceClaims": Refused("devices cannot be claimed here"),
                "resources": Refused("resources of a whole pod are not known; use containers'"),
                "overhead": Refused("pod overhead is not known here"),
                "ephemeralContainers": Refused("ephemeral containers do not exist here"),
            }
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
                        }
                    ),
                    key="type",
                ),
                "hostIP": "str",
                "hostIPs": Many(Fields({"ip": "str"}), key="ip"),
                "podIP": "str",
                "podIPs": Many(Fields({"ip": "str"}), key="ip"),
                "startTime": "time",
                "qosClass": "str",
                "nominatedNodeName": "str",
                "observedGeneration": "int",
                "containerStatuses": _CONTAINER_STATUSES,
                "initContainerStatuses": _CONTAINER_STATUSES,
                "ephemeralContainerStatuses": _CONTAINER_STATUSES,
            }
        ),
    }
)

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_ENV_NAME = re.compile(r"[^=\x00]+")
_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_FIELD_KEYED = re.compile(r"metadata\.(labels|annotations)\['[^']{1,317}'\]")
_SCHEDULED = ("cpu", "memory", "ephemeral-storage")


def containers(pod: Mapping[str, Any]) -> Iterator[tuple[str, JSON]]:
    """Every container with its path, those that initialise first."""
    for group in ("initContainers", "containers"):
        for index, item in enumerate(pod["spec"].get(group) or ()):
            yield f"spec.{group}[{index}]", item


def default(pod: JSON) -> None:
    """Fill in what Kubernetes fills in."""
    spec: JSON = pod.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("enableServiceLinks", True)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    for _, item in containers(pod):
        _default_container(item)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def _default_container(container: JSON) -> None:
    image = container.get("image") or ""
    tag = image.rpartition("/")[2]
    latest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if field := (variable.get("valueFrom") or {}).get("fieldRef"):
            field.setdefault("apiVersion", "v1")


def _default_volume(volume: JSON) -> None:
    if not any(source in volume for source in SOURCES):
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", 0o644)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    if "image" in volume:
        volume["image"].setdefault("pullPolicy", "IfNotPresent")


def mount_token(pod: JSON) -> None:
    """Give each container the service account's token, CA and namespace at the usual path."""
    wanting = [
        item
        for _, item in containers(pod)
        if all(mount.get("mountPath") != TOKEN_FOLDER for mount in item.get("volumeMounts") or ())
    ]
    if not wanting:
        return
    name = names.generate("kube-api-access-")
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }
                ]
            }
        },
    ]
    projected = {"sources": sources, "defaultMode": 0o644}
    pod["spec"].setdefault("volumes", []).append({"name": name, "projected": projected})
    for item in wanting:
        mount = {"name": name, "readOnly": True, "mountPath": TOKEN_FOLDER}
        item.setdefault("volumeMounts", []).append(mount)


def quality(pod: Mapping[str, Any]) -> str:
    """The pod's QoS class."""
    requests: dict[str, Fraction] = {}
    limited = True
    any_limit = False
    for _, item in containers(pod):
        resources = item.get("resources") or {}
        limits = resources.get("limits") or {}
        for name, amount in (resources.get("requests") or {}).items():
            if name in ("cpu", "memory"):
                requests[name] = requests.get(name, Fraction(0)) + quantity.parse(amount)
        for name in ("cpu", "memory"):
            limit = limits.get(name)
            any_limit = any_limit or limit is not None
            same = limit is not None and quantity.parse(limit) == quantity.parse(
                (resources.get("requests") or {}).get(name, limit)
            )
            limited = limited and same
    if not any(requests.values()) and not any_limit:
        return "BestEffort"
    return "Guaranteed" if limited else "Burstable"


def demand(pod: Mapping[str, Any]) -> dict[str, Fraction]:
    """What the scheduler must find free: all requests, or the largest that initialises."""
    total: dict[str, Fraction] = {}
    for item in pod["spec"].get("containers") or ():
        for name, amount in ((item.get("resources") or {}).get("requests") or {}).items():
            total[name] = total.get(name, Fraction(0)) + quantity.parse(amount)
    for item in pod["spec"].get("initContainers") or ():
        for name, amount in ((item.get("resources") or {}).get("requests") or {}).items():
            total[name] = max(total.get(name, Fraction(0)), quantity.parse(amount))
    return total


def validate(pod: Mapping[str, Any]) -> list[Cause]:
    """The faults of a new pod, defaults filled in."""
    spec = pod["spec"]
    faults: list[Cause] = []
    if not spec.get("containers"):
        faults.append(required("spec.containers"))
    volumes, found = _volumes(spec)
    faults += found
    seen: set[str] = set()
    for path, item in containers(pod):
        name = item.get("name", "")
        if name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
        faults += _container(path, item, volumes)
    faults += _pod_level(spec)
    return faults


def _pod_level(spec: Mapping[str, Any]) -> Iterator[Cause]:
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        yield unsupported(
            "spec.restartPolicy", spec["restartPolicy"], ("Always", "OnFailure", "Never")
        )
    if spec["dnsPolicy"] not in ("ClusterFirst", "ClusterFirstWithHostNet", "Default"):
        yield unsupported("spec.dnsPolicy", spec["dnsPolicy"], ("ClusterFirst", "Default"))
    if spec["schedulerName"] != "default-scheduler":
        yield forbidden_field("spec.schedulerName", "there is one scheduler: default-scheduler")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        yield wrong(
            "spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive"
        )
    if spec["terminationGracePeriodSeconds"] < 0:
        yield wrong(
            "spec.terminationGracePeriodSeconds",
            spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        )
    if fault := names.subdomain_fault(spec["serviceAccountName"]):
        yield wrong("spec.serviceAccountName", spec["serviceAccountName"], fault)
    if spec.get("hostname") and (fault := names.label_fault(spec["hostname"])):
        yield wrong("spec.hostname", spec["hostname"], fault)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if fault := names.label_key_fault(key):
            yield wrong("spec.nodeSelector", key, fault)
        if fault := names.label_value_fault(value):
            yield wrong("spec.nodeSelector", value, fault)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _alias(f"spec.hostAliases[{index}]", alias)


def _alias(path: str, alias: Mapping[str, Any]) -> Iterator[Cause]:
    if not re.fullmatch(r"[0-9a-fA-F.:]{2,45}", alias.get("ip", "")):
        yield wrong(f"{path}.ip", alias.get("ip", ""), "must be a valid IP address")
    for index, name in enumerate(alias.get("hostnames") or ()):
        if fault := names.subdomain_fault(name):
            yield wrong(f"{path}.hostnames[{index}]", name, fault)


def _container(
    path: str, container: Mapping[str, Any], volumes: Mapping[str, JSON]
) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif fault := names.label_fault(name):
        yield wrong(f"{path}.name", name, fault)
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip() or "\0" in image:
        yield wrong(f"{path}.image", image, "must not have leading or trailing whitespace")
    for group in ("command", "args"):
        for index, word in enumerate(container.get(group) or ()):
            if "\0" in word:
                yield wrong(f"{path}.{group}[{index}]", word, "must not contain NUL")
    if "\0" in container.get("workingDir", ""):
        yield wrong(f"{path}.workingDir", container["workingDir"], "must not contain NUL")
    if container["imagePullPolicy"] not in ("Always", "IfNotPresent", "Never"):
        yield unsupported(
            f"{path}.imagePullPolicy",
            container["imagePullPolicy"],
            ("Always", "IfNotPresent", "Never"),
        )
    if container["terminationMessagePolicy"] not in ("File", "FallbackToLogsOnError"):
        yield unsupported(
            f"{path}.terminationMessagePolicy",
            container["terminationMessagePolicy"],
            ("File", "FallbackToLogsOnError"),
        )
    yield from _environment(path, container)
    yield from _mounts(path, container, volumes)
    yield from _resources(f"{path}.resources", container["resources"])
    yield from _ports(path, container)


def _environment(path: str, container: Mapping[str, Any]) -> Iterator[Cause]:
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        name = variable.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif not _ENV_NAME.fullmatch(name):
            yield wrong(f"{where}.name", name, "a valid name must not contain '=' or NUL")
        if "\0" in variable.get("value", ""):
            yield wrong(f"{where}.value", variable["value"], "must not contain NUL")
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            yield wrong(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
        if len(source) != 1:
            yield wrong(f"{where}.valueFrom", "", "must specify exactly one source")
        for kind, reference in source.items():
            yield from _reference(f"{where}.valueFrom.{kind}", kind, reference)
    for index, item in enumerate(container.get("envFrom") or ()):
        where = f"{path}.envFrom[{index}]"
        sources = [kind for kind in ("secretRef", "configMapRef") if kind in item]
        if len(sources) != 1:
            yield wrong(where, "", "must specify exactly one of `configMapRef` or `secretRef`")
        for kind in sources:
            if not item[kind].get("name"):
                yield required(f"{where}.{kind}.name")


def _reference(path: str, kind: str, reference: Mapping[str, Any]) -> Iterator[Cause]:
    match kind:
        case "fieldRef":
            field = reference.get("fieldPath", "")
            if not field:
                yield required(f"{path}.fieldPath")
            elif field not in _FIELD_PATHS and not _FIELD_KEYED.fullmatch(field):
                allowed = (*_FIELD_PATHS, "metadata.labels['KEY']", "metadata.annotations['KEY']")
                yield unsupported(f"{path}.fieldPath", field, allowed)
        case "resourceFieldRef":
            resource = reference.get("resource", "")
            resources = tuple(
                f"{group}.{name}" for group in ("limits", "requests") for name in _SCHEDULED
            )
            if resource not in resources:
                yield unsupported(f"{path}.resource", resource, resources)
        case _:
            if not reference.get("name"):
                yield required(f"{path}.name")
            key = reference.get("key", "")
            if not key:
                yield required(f"{path}.key")
            elif fault := names.config_key_fault(key):
                yield wrong(f"{path}.key", key, fault)


def _mounts(
    path: str, container: Mapping[str, Any], volumes: Mapping[str, JSON]
) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        name, target = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield missing(f"{where}.name", name)
        if not target:
            yield required(f"{where}.mountPath")
        elif not target.startswith("/") or "\0" in target or ":" in target:
            yield wrong(f"{where}.mountPath", target, "must be an absolute path without ':'")
        elif ".." in target.split("/"):
            yield wrong(f"{where}.mountPath", target, "must not contain '..'")
        elif posixpath.normpath(target) in ("/", "//"):
            yield wrong(f"{where}.mountPath", target, "must not be the root")
        elif target in seen:
            yield wrong(f"{where}.mountPath", target, "must be unique")
        seen.add(target)
        yield from _relative(f"{where}.subPath", mount.get("subPath", ""))
        yield from _relative(f"{where}.subPathExpr", mount.get("subPathExpr", ""))
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield wrong(
                f"{where}.subPathExpr",
                mount["subPathExpr"],
                "subPathExpr and subPath are mutually exclusive",
            )


def _relative(path: str, value: str) -> Iterator[Cause]:
    if value.startswith("/"):
        yield wrong(path, value, "must be a relative path")
    elif ".." in value.split("/"):
        yield wrong(path, value, "must not contain '..'")
    elif "\0" in value:
        yield wrong(path, value, "must not contain NUL")


def _resources(path: str, resources: Mapping[str, Any]) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for group, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = f"{path}.{group}[{name[:80]}]"
            if name not in _SCHEDULED and "/" not in name:
                yield wrong(where, name, "must be a standard resource for containers")
            elif name not in _SCHEDULED and (fault := names.label_key_fault(name)):
                yield wrong(where, name, fault)
            value = quantity.parse(amount)
            if value < 0:
                yield wrong(where, amount, "must be greater than or equal to 0")
            elif name not in _SCHEDULED and value.denominator != 1:
                yield wrong(where, amount, "must be an integer")
    for name, amount in requests.items():
        limit = limits.get(name)
        where = f"{path}.requests"
        if limit is None:
            if name not in _SCHEDULED and "/" in name:
                yield required(f"{path}.limits[{name[:80]}]", "Limit must be set for it")
        elif name not in _SCHEDULED and quantity.parse(amount) != quantity.parse(limit):
            yield wrong(where, amount, f"must be equal to {name} limit of {limit}")
        elif quantity.parse(amount) > quantity.parse(limit):
            yield wrong(where, amount, f"must be less than or equal to {name} limit of {limit}")


def _ports(path: str, container: Mapping[str, Any]) -> Iterator[Cause]:
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{path}.ports[{index}]"
        number = port.get("containerPort")
        if number is None:
            yield required(f"{where}.containerPort")
        elif not 1 <= number <= 65535:
            yield wrong(f"{where}.containerPort", number, "must be between 1 and 65535, inclusive")
        if port["protocol"] not in ("TCP", "UDP", "SCTP"):
            yield unsupported(f"{where}.protocol", port["protocol"], ("TCP", "UDP", "SCTP"))


def _volumes(spec: Mapping[str, Any]) -> tuple[dict[str, JSON], list[Cause]]:
    volumes: dict[str, JSON] = {}
    faults: list[Cause] = []
    for index, volume in enumerate(spec.get("volumes") or ()):
        where = f"spec.volumes[{index}]"
        name = volume.get("name", "")
        if not name:
            faults.append(required(f"{where}.name"))
        elif fault := names.label_fault(name):
            faults.append(wrong(f"{where}.name", name, fault))
        elif name in volumes:
            faults.append(duplicate(f"{where}.name", name))
        volumes[name] = volume
        sources = [source for source in SOURCES if source in volume]
        faults += [
            forbidden_field(f"{where}.{source}", "may not specify more than 1 volume type")
            for source in sources[1:]
        ]
        for source in sources[:1]:
            faults += _source(f"{where}.{source}", source, volume[source])
    return volumes, faults


def _source(path: str, kind: str, source: Mapping[str, Any]) -> Iterator[Cause]:
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        yield wrong(
            f"{path}.defaultMode",
            mode,
            "must be a number between 0 and 0777 (octal), both inclusive",
        )
    match kind:
        case "emptyDir":
            if source.get("medium", "") not in ("", "Memory"):
                yield unsupported(f"{path}.medium", source["medium"], ("", "Memory"))
        case "persistentVolumeClaim":
            if not source.get("claimName"):
                yield required(f"{path}.claimName")
        case "secret" | "configMap":
            name = "secretName" if kind == "secret" else "name"
            if not source.get(name):
                yield required(f"{path}.{name}")
            yield from _items(f"{path}.items", source.get("items") or ())
        case "downwardAPI":
            yield from _downward(f"{path}.items", source.get("items") or ())
        case "projected":
            for index, item in enumerate(source.get("sources") or ()):
                yield from _projection(f"{path}.sources[{index}]", item)
        case "image":
            if not source.get("reference"):
                yield required(f"{path}.reference")
        case "hostPath":
            yield from host_path(path, source)


def host_path(path: str, source: Mapping[str, Any]) -> Iterator[Cause]:
    """The faults of a hostPath source of a pod or a persistent volume."""
    folder = source.get("path", "")
    if not folder:
        yield required(f"{path}.path")
    elif not folder.startswith("/") or ".." in folder.split("/") or "\0" in folder:
        yield wrong(f"{path}.path", folder, "must be an absolute path and not contain '..'")
    kinds = ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File")
    if source.get("type", "") not in kinds:
        yield unsupported(f"{path}.type", source["type"], kinds)


def _items(path: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Cause]:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("key"):
            yield required(f"{where}.key")
        if not item.get("path"):
            yield required(f"{where}.path")
        yield from _relative(f"{where}.path", item.get("path", ""))
        yield from _mode(f"{where}.mode", item.get("mode"))


def _mode(path: str, mode: int | None) -> Iterator[Cause]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield wrong(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")


def _downward(path: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Cause]:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("path"):
            yield required(f"{where}.path")
        yield from _relative(f"{where}.path", item.get("path", ""))
        yield from _mode(f"{where}.mode", item.get("mode"))
        field = (item.get("fieldRef") or {}).get("fieldPath", "")
        if "fieldRef" in item and field not in ("metadata.labels", "metadata.annotations"):
            yield from _reference(f"{where}.fieldRef", "fieldRef", item["fieldRef"])
        if "resourceFieldRef" in item:
            yield from _reference(
                f"{where}.resourceFieldRef", "resourceFieldRef", item["resourceFieldRef"]
            )
            if not item["resourceFieldRef"].get("containerName"):
                yield required(f"{where}.resourceFieldRef.containerName")


def _projection(path: str, item: Mapping[str, Any]) -> Iterator[Cause]:
    if len(item) != 1:
        yield wrong(path, "", "must specify exactly one source")
    for kind, source in item.items():
        match kind:
            case "secret" | "configMap":
                if not source.get("name"):
                    yield required(f"{path}.{kind}.name")
                yield from _items(f"{path}.{kind}.items", source.get("items") or ())
            case "downwardAPI":
                yield from _downward(f"{path}.{kind}.items", source.get("items") or ())
            case _:
                seconds = source["expirationSeconds"]
                if not 600 <= seconds <= 2**32:
                    yield wrong(
                        f"{path}.{kind}.expirationSeconds",
                        seconds,
                        "may not specify a duration less than 10 minutes",
                    )
                if not source.get("path"):
                    yield required(f"{path}.{kind}.path")
                yield from _relative(f"{path}.{kind}.path", source.get("path", ""))


def changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    """The faults of a pod that is to replace `old`: a pod's spec does not change."""
    # Tolerations decide nothing here, so that adding some is as harmless as having them.
    free = ("tolerations",)
    before = {key: value for key, value in old["spec"].items() if key not in free}
    after = {key: value for key, value in new["spec"].items() if key not in free}
    if before == after:
        return []
    fields = sorted(
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    )
    return [
        forbidden_field(
            f"spec.{field}",
            "pod updates may not change fields other than `spec.tolerations` here; "
            "delete the pod and create it anew",
        )
        for field in fields
    ]
