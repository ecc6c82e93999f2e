"""The rules that a new pod must keep, and a changed one."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinykube import names, quantity, resourcelist
from tinykube.objects import JSON
from tinykube.podspec import handlers, placement
from tinykube.podspec.defaults import containers
from tinykube.podspec.shape import SOURCES
from tinykube.status import (
    Cause,
    duplicate,
    forbidden_field,
    missing,
    required,
    unsupported,
    wrong,
)

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
# Fields of a pod that cannot be had in a variable.
_FIELDS_ELSEWHERE = (
    "metadata.annotations",
    "metadata.labels",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
)
_FIELD_KEYED = re.compile(r"metadata\.(labels|annotations)\['[^']{1,317}'\]")


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


def template_faults(template: Mapping[str, Any], path: str) -> list[Cause]:
    """The faults of a template of pods that is at `path` of its object."""
    # A template has no account until a pod is made of it.
    account = {"serviceAccountName": "default", **template["spec"]}
    return [
        dataclasses.replace(fault, field=f"{path}.{fault.field}")
        for fault in validate({**template, "spec": account})
    ]


def _pod_level(spec: Mapping[str, Any]) -> Iterator[Cause]:
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        allowed = ("Always", "OnFailure", "Never")
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], allowed, ordered=True)
    if spec["dnsPolicy"] not in ("ClusterFirst", "ClusterFirstWithHostNet", "Default"):
        yield unsupported("spec.dnsPolicy", spec["dnsPolicy"], ("ClusterFirst", "Default"))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        yield wrong(
            "spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive"
        )
    if fault := names.subdomain_fault(spec["serviceAccountName"]):
        yield wrong("spec.serviceAccountName", spec["serviceAccountName"], fault)
    if spec.get("hostname") and (fault := names.label_fault(spec["hostname"])):
        yield wrong("spec.hostname", spec["hostname"], fault)
    if spec.get("subdomain") and (fault := names.label_fault(spec["subdomain"])):
        yield wrong("spec.subdomain", spec["subdomain"], fault)
    yield from placement.validate(spec)
    yield from _identity("spec.securityContext", spec["securityContext"])
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        for fault in names.label_key_faults(gate.get("conditionType", "")):
            where = f"spec.readinessGates[{index}].conditionType"
            yield wrong(where, gate.get("conditionType", ""), fault)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _alias(f"spec.hostAliases[{index}]", alias)


def _identity(path: str, security: Mapping[str, Any]) -> Iterator[Cause]:
    for name in ("runAsUser", "runAsGroup"):
        value = security.get(name)
        if value is not None and not 0 <= value <= 2**31 - 1:
            yield wrong(f"{path}.{name}", value, "must be between 0 and 2147483647, inclusive")


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
            ordered=True,
        )
    yield from handlers.validate(path, container, init=path.startswith("spec.initContainers"))
    yield from _identity(f"{path}.securityContext", container.get("securityContext") or {})
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
        why = ""
        if not source:
            why = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                "`secretKeyRef` or `fileKeyRef`"
            )
        elif variable.get("value"):
            why = "may not be specified when `value` is not empty"
        elif len(source) > 1:
            why = "may not have more than one field specified at a time"
        if why:
            yield wrong(f"{where}.valueFrom", "", why)
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
            elif field in _FIELDS_ELSEWHERE:
                yield unsupported(f"{path}.fieldPath", field, _FIELD_PATHS)
            elif field not in _FIELD_PATHS and not _FIELD_KEYED.fullmatch(field):
                why = f"error converting fieldPath: field label not supported: {field[:200]}"
                yield wrong(f"{path}.fieldPath", field, why)
        case "resourceFieldRef":
            resource = reference.get("resource", "")
            known = [
                f"{group}.{name}"
                for group in ("limits", "requests")
                for name in resourcelist.COMPUTE
            ]
            if resource not in known:
                yield unsupported(f"{path}.resource", resource, known)
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
        if name not in volumes:
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


def _resources(path: str, given: Mapping[str, Any]) -> Iterator[Cause]:
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for group, amounts in (("limits", limits), ("requests", requests)):
        yield from resourcelist.amount_faults(
            f"{path}.{group}", amounts, resourcelist.container_faults
        )
    for name, amount in requests.items():
        limit = limits.get(name)
        where = f"{path}.requests"
        if limit is None:
            if resourcelist.exact(name):
                why = "Limit must be set for non overcommitable resources"
                yield required(f"{path}.limits", why)
        elif resourcelist.exact(name) and quantity.parse(amount) != quantity.parse(limit):
            yield wrong(where, amount, f"must be equal to {name} limit of {limit}")
        elif quantity.parse(amount) > quantity.parse(limit):
            yield wrong(where, amount, f"must be less than or equal to {name} limit of {limit}")


def _ports(path: str, container: Mapping[str, Any]) -> Iterator[Cause]:
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{path}.ports[{index}]"
        number = port.get("containerPort")
        if not number:
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
    before, after = old["spec"], new["spec"]
    faults = validate(new)
    for group in ("containers", "initContainers"):
        if len(before.get(group) or ()) != len(after.get(group) or ()):
            why = "pod updates may not add or remove containers"
            return [*faults, forbidden_field(f"spec.{group}", why)]
    free = {"tolerations", "schedulingGates"}
    was, now = (item.get("activeDeadlineSeconds") for item in (before, after))
    deadline = "spec.activeDeadlineSeconds"
    if was is not None and now is None:
        why = "must not update from a positive integer to nil value"
        faults.append(wrong(deadline, None, why))
        free.add("activeDeadlineSeconds")
    elif was is not None and now is not None and now > was:
        return [*faults, wrong(deadline, now, "must be less than or equal to previous value")]
    faults += placement.changed(after, before)
    fields = sorted(
        key for key in (before.keys() | after.keys()) - free if before.get(key) != after.get(key)
    )
    if fields:
        why = (
            "pod updates may not change fields other than `spec.tolerations` (only additions) and "
            f"`spec.schedulingGates` (only removals) here, but {', '.join(fields)} would change; "
            "delete the pod and create it anew"
        )
        faults.append(forbidden_field("spec", why))
    return faults
