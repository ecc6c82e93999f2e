"""What each kind demands of its objects: defaults, validity, and who may write them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tinykube import kinds, names, objects, podspec, quantity, rbac
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.rbac import Attributes, Caller
from tinykube.status import (
    Cause,
    forbidden,
    forbidden_field,
    required,
    unsupported,
    wrong,
)

if TYPE_CHECKING:
    from tinykube.registry import Registry

_MAX_DATA = 2**20
_MAX_ANNOTATIONS = 256 * 2**10
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
# What a claim without a class gets; see `tinykube.volumes`.
DEFAULT_CLASS = "standard"
_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


class Rules:
    """The rules of kinds that have no more than the common ones."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """Fill in defaults; `old` is None for a new object."""

    def validate(self, new: JSON, old: JSON | None) -> Iterable[Cause]:
        """The faults of an object, beyond its metadata."""
        del new, old
        return ()

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """Refuse (ApiError) what depends on the caller or on other objects, or complete it."""


class NamespaceRules(Rules):
    """Namespaces: deleted in two steps, so that their contents go first."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        new["spec"] = old["spec"] if old else {"finalizers": ["kubernetes"]}
        if old is None:
            new["status"] = {"phase": "Active"}
        labels = new["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = objects.name(new)


class SecretRules(Rules):
    """Secrets: `stringData` is folded into `data`; an immutable one stays as it is."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        for key, value in new.pop("stringData", {}).items():
            encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")
            new.setdefault("data", {})[key] = encoded
        new.setdefault("type", old["type"] if old else "Opaque")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        yield from _keys("data", new.get("data") or {})
        yield from _size((new.get("data") or {}).values(), "data")
        if old:
            yield from _immutable(new, old, ("data",))
            if new["type"] != old["type"]:
                yield wrong("type", new["type"], "field is immutable")


class ConfigMapRules(Rules):
    """Config maps: a key is either text or binary."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        text, binary = new.get("data") or {}, new.get("binaryData") or {}
        yield from _keys("data", text)
        yield from _keys("binaryData", binary)
        for key in text.keys() & binary.keys():
            yield wrong(f"data[{key}]", key, "duplicate of key present in binaryData")
        yield from _size((*text.values(), *binary.values()), "")
        if old:
            yield from _immutable(new, old, ("data", "binaryData"))


def _keys(field: str, data: Mapping[str, Any]) -> Iterator[Cause]:
    for key in data:
        if fault := names.config_key_fault(key):
            yield wrong(f"{field}[{key[:80]}]", key, fault)


def _size(values: Iterable[str], field: str) -> Iterator[Cause]:
    if sum(map(len, values)) > _MAX_DATA:
        yield Cause(
            "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA} bytes", field
        )


def _immutable(new: JSON, old: JSON, fields: Iterable[str]) -> Iterator[Cause]:
    if not old.get("immutable"):
        return
    why = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        yield forbidden_field("immutable", why)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield forbidden_field(field, why)


class VolumeRules(Rules):
    """Persistent volumes: folders of the machine."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec = new.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        if "hostPath" in spec:
            spec["hostPath"].setdefault("type", "")
        if old is None:
            new["status"] = {"phase": "Pending"}
            _finalizer(new, VOLUME_FINALIZER)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        yield from _access("spec.accessModes", spec.get("accessModes"))
        if "storage" not in (spec.get("capacity") or {}):
            yield required("spec.capacity[storage]")
        elif quantity.parse(spec["capacity"]["storage"]) <= 0:
            yield wrong(
                "spec.capacity[storage]", spec["capacity"]["storage"], "must be greater than zero"
            )
        if spec["persistentVolumeReclaimPolicy"] not in ("Retain", "Delete"):
            yield unsupported(
                "spec.persistentVolumeReclaimPolicy",
                spec["persistentVolumeReclaimPolicy"],
                ("Retain", "Delete"),
            )
        if spec["volumeMode"] != "Filesystem":
            yield unsupported("spec.volumeMode", spec["volumeMode"], ("Filesystem",))
        if "hostPath" not in spec:
            yield required("spec", "must specify a volume type: hostPath")
        else:
            yield from podspec.host_path("spec.hostPath", spec["hostPath"])
        if old and spec.get("hostPath") != old["spec"].get("hostPath"):
            yield forbidden_field(
                "spec.persistentvolumesource",
                "spec.persistentvolumesource is immutable after creation",
            )


class ClaimRules(Rules):
    """Persistent volume claims."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec = new.setdefault("spec", {})
        spec.setdefault("volumeMode", "Filesystem")
        # A claim that names its volume takes that volume's class, whatever it is.
        if old is None and not spec.get("volumeName"):
            spec.setdefault("storageClassName", DEFAULT_CLASS)
        if old is None:
            new["status"] = {"phase": "Pending"}
            _finalizer(new, CLAIM_FINALIZER)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        yield from _access("spec.accessModes", spec.get("accessModes"))
        requests = (spec.get("resources") or {}).get("requests") or {}
        if "storage" not in requests:
            yield required("spec.resources[storage]")
        elif quantity.parse(requests["storage"]) <= 0:
            yield wrong(
                "spec.resources[storage]", requests["storage"], "must be greater than zero"
            )
        if spec["volumeMode"] != "Filesystem":
            yield unsupported("spec.volumeMode", spec["volumeMode"], ("Filesystem",))
        if old:
            free = {"resources"} if old["spec"].get("volumeName") else {"resources", "volumeName"}
            before = {key: value for key, value in old["spec"].items() if key not in free}
            if before != {key: value for key, value in spec.items() if key not in free}:
                yield forbidden_field(
                    "spec",
                    "spec is immutable after creation except resources.requests and volumeName "
                    "for unbound claims",
                )


def _access(path: str, modes: list[str] | None) -> Iterator[Cause]:
    if not modes:
        yield required(path, "at least 1 access mode is required")
    for mode in modes or ():
        if mode not in _MODES:
            yield unsupported(path, mode, _MODES)


def _finalizer(obj: JSON, name: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if name not in finalizers:
        finalizers.append(name)


class PodRules(Rules):
    """Pods; their fields' rules are in `tinykube.podspec`."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        podspec.default(new)
        if old is None:
            new["spec"].setdefault("priority", 0)
            new["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")

    def validate(self, new: JSON, old: JSON | None) -> Iterable[Cause]:
        """See Rules."""
        if old:
            return podspec.changed(new, old)
        return podspec.validate(new)

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old:
            return
        self._host_paths(registry, caller, new)
        new["status"] = {"phase": "Pending", "qosClass": podspec.quality(new)}
        namespace, spec = objects.namespace(new), new["spec"]
        name = spec["serviceAccountName"]
        account = registry.store.load(kinds.SERVICE_ACCOUNTS.key, namespace, name)
        if account is None:
            raise forbidden(
                "pods",
                "",
                objects.name(new),
                f"error looking up service account {namespace}/{name}: "
                f'serviceaccount "{name}" not found',
            )
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken", True)
        if wanted:
            podspec.mount_token(new)

    def _host_paths(self, registry: Registry, caller: Caller, pod: JSON) -> None:
        """A folder of the machine is only for those who could make a persistent volume of it."""
        asked = Attributes("create", "", kinds.VOLUMES.plural)
        for volume in pod["spec"].get("volumes") or ():
            if "hostPath" in volume and not registry.authorizer.allowed(caller, asked):
                raise forbidden(
                    "pods",
                    "",
                    objects.name(pod),
                    f'volume "{volume["name"]}" is a hostPath: only users who can create '
                    "persistentvolumes may mount the machine's folders "
                    f"({asked.denial(caller)})",
                )


class EventRules(Rules):
    """Events: about an object of their own namespace."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        about = new.setdefault("involvedObject", {})
        if old is None:
            about.setdefault("namespace", objects.namespace(new))
        new.setdefault("type", "Normal")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        about = new["involvedObject"].get("namespace") or "default"
        if about != objects.namespace(new):
            yield wrong("involvedObject.namespace", about, "does not match event.namespace")


class RoleRules(Rules):
    """Roles and cluster roles: nobody grants what they do not have."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        for index, rule in enumerate(new.get("rules") or ()):
            path = f"rules[{index}]"
            if not rule.get("verbs"):
                yield required(f"{path}.verbs", "verbs must contain at least one value")
            if rule.get("nonResourceURLs"):
                if new["kind"] == "Role":
                    yield wrong(
                        f"{path}.nonResourceURLs",
                        "",
                        "namespaced rules cannot apply to non-resource URLs",
                    )
                if rule.get("resources") or rule.get("apiGroups"):
                    yield wrong(
                        f"{path}.nonResourceURLs",
                        "",
                        "rules cannot apply to both regular resources and non-resource URLs",
                    )
                continue
            for field in ("apiGroups", "resources"):
                if not rule.get(field):
                    yield required(
                        f"{path}.{field}",
                        f"resource rules must supply at least one {_words(field)}",
                    )

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old and (old.get("rules") or []) == (new.get("rules") or []):
            return
        resource = kinds.BY_KIND[new["apiVersion"], new["kind"]]
        namespace = objects.namespace(new)
        _escalation(registry, caller, resource, new, new.get("rules") or (), namespace, "escalate")


def _words(field: str) -> str:
    return "api group" if field == "apiGroups" else "resource"


class BindingRules(Rules):
    """Role bindings: the role is fixed, and only those who hold it (or may bind it) bind it."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del old
        reference = new.setdefault("roleRef", {})
        reference.setdefault("apiGroup", kinds.RBAC)
        for subject in new.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", kinds.RBAC)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        reference = new["roleRef"]
        if old and reference != old["roleRef"]:
            yield wrong("roleRef", objects.dump(reference), "cannot change roleRef")
        allowed = (
            ("ClusterRole",) if new["kind"] == "ClusterRoleBinding" else ("ClusterRole", "Role")
        )
        if reference.get("kind") not in allowed:
            yield unsupported("roleRef.kind", reference.get("kind", ""), allowed)
        if reference["apiGroup"] != kinds.RBAC:
            yield unsupported("roleRef.apiGroup", reference["apiGroup"], (kinds.RBAC,))
        if not reference.get("name"):
            yield required("roleRef.name")
        for index, subject in enumerate(new.get("subjects") or ()):
            path = f"subjects[{index}]"
            if subject.get("kind") not in ("User", "Group", "ServiceAccount"):
                yield unsupported(
                    f"{path}.kind", subject.get("kind", ""), ("User", "Group", "ServiceAccount")
                )
            if not subject.get("name"):
                yield required(f"{path}.name")
            homeless = subject.get("kind") == "ServiceAccount" and not subject.get("namespace")
            if homeless and new["kind"] == "ClusterRoleBinding":
                yield required(f"{path}.namespace")

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old and (old.get("subjects") or []) == (new.get("subjects") or []):
            return
        reference, namespace = new["roleRef"], objects.namespace(new)
        target = kinds.CLUSTER_ROLES if reference["kind"] == "ClusterRole" else kinds.ROLES
        asked = Attributes("bind", kinds.RBAC, target.plural, namespace, reference["name"])
        if registry.authorizer.allowed(caller, asked):
            return
        rules = registry.authorizer.role(reference, namespace)
        resource = kinds.BY_KIND[new["apiVersion"], new["kind"]]
        _escalation(registry, caller, resource, new, rules, namespace, "")


def _escalation(
    registry: Registry,
    caller: Caller,
    resource: Resource,
    obj: JSON,
    rules: Iterable[Mapping[str, Any]],
    namespace: str,
    verb: str,
) -> None:
    name = objects.name(obj)
    if verb:
        asked = Attributes(verb, kinds.RBAC, resource.plural, namespace, name)
        if registry.authorizer.allowed(caller, asked):
            return
    lacking = registry.authorizer.uncovered(caller, rules, namespace)
    if lacking:
        shown = "\n".join(rbac.spell(rule) for rule in lacking[:20])
        raise forbidden(
            resource.plural,
            resource.group,
            name,
            f'user "{caller.name}" (groups={objects.dump(list(caller.groups))}) is attempting to '
            f"grant RBAC permissions not currently held:\n{shown}",
        )


_COMMON = Rules()
_RULES: Mapping[str, Rules] = {
    kinds.NAMESPACES.key: NamespaceRules(),
    kinds.SECRETS.key: SecretRules(),
    kinds.CONFIG_MAPS.key: ConfigMapRules(),
    kinds.VOLUMES.key: VolumeRules(),
    kinds.CLAIMS.key: ClaimRules(),
    kinds.PODS.key: PodRules(),
    kinds.EVENTS.key: EventRules(),
    kinds.ROLES.key: RoleRules(),
    kinds.CLUSTER_ROLES.key: RoleRules(),
    kinds.ROLE_BINDINGS.key: BindingRules(),
    kinds.CLUSTER_ROLE_BINDINGS.key: BindingRules(),
}


def of(resource: Resource) -> Rules:
    """The rules of a resource."""
    return _RULES.get(resource.key, _COMMON)


def metadata(resource: Resource, new: JSON, old: JSON | None) -> Iterator[Cause]:
    """The faults of an object's metadata."""
    meta = new["metadata"]
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif old is None and (fault := resource.name_fault(name)):
        yield wrong("metadata.name", name, fault)
    yield from _labels(meta)
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield wrong(f"metadata.ownerReferences[{index}].{field}", "", "must not be empty")
    for finalizer in meta.get("finalizers") or ():
        if fault := names.label_key_fault(finalizer):
            yield wrong("metadata.finalizers", finalizer, fault)
    if old and old["metadata"].get("deletionTimestamp"):
        before = old["metadata"].get("finalizers") or ()
        added = [item for item in meta.get("finalizers") or () if item not in before]
        if added:
            yield forbidden_field(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {objects.dump(added)}",
            )


def _labels(meta: JSON) -> Iterator[Cause]:
    for key, value in (meta.get("labels") or {}).items():
        if fault := names.label_key_fault(key):
            yield wrong("metadata.labels", key, fault)
        if fault := names.label_value_fault(value):
            yield wrong("metadata.labels", value, fault)
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        size += len(key) + len(value)
        if fault := names.label_key_fault(key.lower()):
            yield wrong("metadata.annotations", key, fault)
    if size > _MAX_ANNOTATIONS:
        why = f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        yield Cause("FieldValueTooLong", why, "metadata.annotations")
