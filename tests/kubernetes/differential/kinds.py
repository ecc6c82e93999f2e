"""The kinds that both are asked about, and what bodies they get: good ones, and spoiled ones."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

JSON = Any

NAMES = ("a", "b", "c.d")
_LABELS = st.dictionaries(
    st.sampled_from(["app", "tier", "example.com/x"]), st.sampled_from(["one", "two", ""])
)
_WORDS = st.sampled_from(["", "x", "two words", "ünï", "1", "true", "line\nline"])
_KEYS = st.sampled_from(["k", "l.m", "N_o-p"])


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that both serve.

    Attributes:
        plural: the last part of its path.
        group_version: `v1`, `batch/v1`, ...
        kind: its name in bodies.
        content: draws what is beside metadata.
        namespaced: False where it belongs to the whole cluster.
        status: whether it has a status subresource.
        restless: controllers write to it by themselves, so that its versions are not compared.
    """

    plural: str
    group_version: str
    kind: str
    content: Callable[[], st.SearchStrategy[JSON]]
    namespaced: bool = True
    status: bool = False
    restless: bool = False

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Its path; of one object, if a name is given."""
        root = "/api/v1" if self.group_version == "v1" else f"/apis/{self.group_version}"
        where = f"/namespaces/{namespace}" if self.namespaced else ""
        ends = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{where}/{self.plural}{ends}"

    def bodies(self, name: st.SearchStrategy[str]) -> st.SearchStrategy[JSON]:
        """Whole objects."""
        return st.builds(self._body, name, _metadata(), self.content())

    def _body(self, name: str, metadata: JSON, content: JSON) -> JSON:
        return {
            "apiVersion": self.group_version,
            "kind": self.kind,
            "metadata": {"name": name, **metadata},
            **content,
        }


def _metadata() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {},
        optional={
            "labels": _LABELS,
            "annotations": st.dictionaries(_KEYS, _WORDS, max_size=2),
            "finalizers": st.sampled_from([[], ["example.com/f"]]),
        },
    )


def _bytes() -> st.SearchStrategy[str]:
    return st.binary(max_size=6).map(lambda data: base64.b64encode(data).decode())


def _config_maps() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {},
        optional={
            "data": st.dictionaries(_KEYS, _WORDS, max_size=2),
            "binaryData": st.dictionaries(st.just("bin"), _bytes(), max_size=1),
            "immutable": st.sampled_from([False, False, True]),
        },
    )


def _secrets() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {},
        optional={
            "data": st.dictionaries(_KEYS, _bytes(), max_size=2),
            "stringData": st.dictionaries(_KEYS, _WORDS, max_size=2),
            "type": st.sampled_from(
                ["Opaque", "example.com/t", "kubernetes.io/basic-auth", "kubernetes.io/tls"]
            ),
        },
    )


def _accounts() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {},
        optional={
            "automountServiceAccountToken": st.booleans(),
            "imagePullSecrets": st.sampled_from([[], [{"name": "pull"}]]),
        },
    )


_RULES = st.lists(
    st.sampled_from(
        [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
            {"apiGroups": ["batch"], "resources": ["jobs", "jobs/status"], "verbs": ["*"]},
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "verbs": ["get"],
                "resourceNames": ["x"],
            },
            {"nonResourceURLs": ["/healthz"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": []},
            {"resources": ["pods"], "verbs": ["get"]},
        ]
    ),
    max_size=2,
)
_RBAC = "rbac.authorization.k8s.io"


def _roles() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries({}, optional={"rules": _RULES})


def _bindings() -> st.SearchStrategy[JSON]:
    subject = st.sampled_from(
        [
            {"kind": "ServiceAccount", "name": "a", "namespace": "default"},
            {"kind": "ServiceAccount", "name": "a"},
            {"kind": "User", "name": "u"},
            {"kind": "Group", "name": "g", "apiGroup": _RBAC},
            {"kind": "Thing", "name": "g"},
        ]
    )
    role = st.builds(
        lambda kind, name, group: {"apiGroup": group, "kind": kind, "name": name},
        st.sampled_from(["Role", "Role", "ClusterRole", "Pod"]),
        st.sampled_from(["a", "view", ""]),
        st.sampled_from([_RBAC, _RBAC, "", "v1"]),
    )
    return st.fixed_dictionaries(
        {"roleRef": role}, optional={"subjects": st.lists(subject, max_size=2)}
    )


def _leases() -> st.SearchStrategy[JSON]:
    spec = st.fixed_dictionaries(
        {},
        optional={
            "holderIdentity": st.sampled_from(["me", ""]),
            "leaseDurationSeconds": st.sampled_from([15, 1, 0, -1]),
            "leaseTransitions": st.sampled_from([0, 3, -1]),
            "renewTime": st.sampled_from(
                ["2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.000000Z"]
            ),
        },
    )
    return st.fixed_dictionaries({}, optional={"spec": spec})


def _services() -> st.SearchStrategy[JSON]:
    port = st.fixed_dictionaries(
        {"port": st.sampled_from([80, 443, 0, 70000])},
        optional={
            "name": st.sampled_from(["web", "other", "Bad_Name"]),
            "targetPort": st.sampled_from([8080, "web", 0]),
            "protocol": st.sampled_from(["TCP", "UDP", "ICMP"]),
        },
    )
    spec = st.fixed_dictionaries(
        {},
        optional={
            "ports": st.lists(port, max_size=2),
            "selector": _LABELS,
            "type": st.sampled_from(["ClusterIP", "ExternalName", "Nothing"]),
            "clusterIP": st.sampled_from(["None", ""]),
            "externalName": st.sampled_from(["example.com", ""]),
            "sessionAffinity": st.sampled_from(["None", "ClientIP"]),
        },
    )
    return st.fixed_dictionaries({"spec": spec})


def _claims() -> st.SearchStrategy[JSON]:
    spec = st.fixed_dictionaries(
        {
            "accessModes": st.sampled_from(
                [["ReadWriteOnce"], ["ReadWriteMany"], [], ["Sometimes"]]
            ),
            "resources": st.sampled_from(
                [{"requests": {"storage": "1Gi"}}, {"requests": {"storage": "0"}}, {}]
            ),
            # No class of this name: no controller acts.
            "storageClassName": st.just("nobody"),
        },
        optional={"volumeMode": st.sampled_from(["Filesystem", "Block", "Other"])},
    )
    return st.fixed_dictionaries({"spec": spec})


def _quotas() -> st.SearchStrategy[JSON]:
    hard = st.dictionaries(
        st.sampled_from(["pods", "requests.cpu", "count/secrets", "configmaps", "nonsense"]),
        st.sampled_from(["100", "1k", "-1", "1.5"]),
        max_size=2,
    )
    return st.fixed_dictionaries(
        {"spec": st.fixed_dictionaries({}, optional={"hard": hard})},
    )


def _limits() -> st.SearchStrategy[JSON]:
    item = st.fixed_dictionaries(
        {"type": st.sampled_from(["Container", "Pod", "PersistentVolumeClaim", "Other/thing"])},
        optional={
            "max": st.sampled_from([{"cpu": "2"}, {"memory": "1Gi"}]),
            "min": st.sampled_from([{"cpu": "100m"}, {"cpu": "3"}]),
            "default": st.sampled_from([{"cpu": "1"}, {"cpu": "9"}]),
            "defaultRequest": st.just({"cpu": "500m"}),
        },
    )
    limits = st.lists(item, max_size=2)
    return st.fixed_dictionaries({"spec": st.fixed_dictionaries({"limits": limits})})


def _priorities() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {"value": st.sampled_from([1000, 0, -5, 2_000_000_000])},
        optional={
            "description": _WORDS,
            "preemptionPolicy": st.sampled_from(["Never", "PreemptLowerPriority", "Perhaps"]),
        },
    )


def _events() -> st.SearchStrategy[JSON]:
    involved = {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "$namespace"}
    return st.fixed_dictionaries(
        {"involvedObject": st.sampled_from([involved, {**involved, "namespace": "elsewhere"}])},
        optional={
            "reason": st.sampled_from(["Started", ""]),
            "message": _WORDS,
            "type": st.sampled_from(["Normal", "Warning", ""]),
            "count": st.sampled_from([1, 0, -1]),
            "source": st.just({"component": "test"}),
        },
    )


_CONTAINER = st.fixed_dictionaries(
    {"name": st.sampled_from(["main", "main", "other", "Bad_Name"]), "image": st.just("busybox")},
    optional={
        "command": st.just(["sleep", "1"]),
        "args": st.just(["$(A)"]),
        "env": st.sampled_from(
            [
                [{"name": "A", "value": "b"}],
                [{"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                [{"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                [{"name": "", "value": "b"}],
                [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}],
            ]
        ),
        "resources": st.sampled_from(
            [
                {"limits": {"cpu": "1", "memory": "1Gi"}},
                {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
                {"limits": {"nvidia.com/gpu": "1"}},
                {"requests": {"nvidia.com/gpu": "1"}},
                {"requests": {"memory": "0.5Gi", "cpu": "1000m"}},
            ]
        ),
        "imagePullPolicy": st.sampled_from(["Always", "IfNotPresent", "Sometimes"]),
        "ports": st.sampled_from([[{"containerPort": 80}], [{"containerPort": 0}]]),
        "workingDir": st.just("/work"),
        "volumeMounts": st.sampled_from(
            [[{"name": "v", "mountPath": "/v"}], [{"name": "missing", "mountPath": "/v"}]]
        ),
    },
)


def _pod_spec() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries(
        {
            "containers": st.lists(_CONTAINER, min_size=1, max_size=2),
            # It never runs, so nobody but the test writes to it.
            "schedulerName": st.just("nobody"),
        },
        optional={
            "restartPolicy": st.sampled_from(["Never", "OnFailure", "Always", "Perhaps"]),
            "volumes": st.sampled_from(
                [
                    [{"name": "v", "emptyDir": {}}],
                    [{"name": "v", "secret": {"secretName": "s"}}],
                    [
                        {
                            "name": "v",
                            "configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]},
                        }
                    ],
                    [{"name": "v"}],
                ]
            ),
            "nodeSelector": st.just({"no": "where"}),
            "terminationGracePeriodSeconds": st.sampled_from([0, 5, -1]),
            "activeDeadlineSeconds": st.sampled_from([60, 0]),
            "tolerations": st.sampled_from(
                [
                    [{"key": "k", "operator": "Exists"}],
                    [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}],
                    [{"operator": "Whatever"}],
                ]
            ),
            "initContainers": st.just([{"name": "first", "image": "busybox"}]),
            "serviceAccountName": st.sampled_from(["default", "missing"]),
            "securityContext": st.sampled_from([{}, {"runAsNonRoot": True}, {"fsGroup": 1}]),
            "hostname": st.sampled_from(["host", "Bad_Host"]),
        },
    )


def _pods() -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries({"spec": _pod_spec()})


def _jobs() -> st.SearchStrategy[JSON]:
    template = st.builds(
        lambda spec, labels: {"metadata": {"labels": labels}, "spec": spec}, _pod_spec(), _LABELS
    )
    spec = st.fixed_dictionaries(
        {"template": template, "suspend": st.just(True)},
        optional={
            "completions": st.sampled_from([1, 3, -1]),
            "parallelism": st.sampled_from([1, 0, -1]),
            "backoffLimit": st.sampled_from([0, 6, -1]),
            "completionMode": st.sampled_from(["NonIndexed", "Indexed", "Other"]),
            "ttlSecondsAfterFinished": st.sampled_from([0, 100]),
            "activeDeadlineSeconds": st.sampled_from([0, 100]),
        },
    )
    return st.fixed_dictionaries({"spec": spec})


def _widgets() -> st.SearchStrategy[JSON]:
    spec = st.fixed_dictionaries(
        {},
        optional={
            "size": st.sampled_from([1, 5, 11, -1, 2.5]),
            "colour": st.sampled_from(["red", "blue", "none"]),
            "parts": st.lists(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["x", "y"])},
                    optional={"count": st.sampled_from([0, 7])},
                ),
                max_size=2,
            ),
            "free": st.sampled_from([{"any": ["thing"]}, {}]),
            "limit": st.sampled_from([3, 8]),
            "when": st.sampled_from(["2026-01-02T03:04:05Z", "yesterday"]),
            "port": st.sampled_from([80, "http", 1.5]),
            "unknown": st.just("pruned"),
        },
    )
    return st.fixed_dictionaries({}, optional={"spec": spec, "status": st.just({"ready": True})})


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.test.example.com"},
    "spec": {
        "group": "test.example.com",
        "scope": "Namespaced",
        "names": {
            "plural": "widgets",
            "singular": "widget",
            "kind": "Widget",
            "shortNames": ["wi"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "!has(self.limit) || self.size <= self.limit",
                                        "message": "size is over the limit",
                                    }
                                ],
                                "properties": {
                                    "size": {
                                        "type": "integer",
                                        "minimum": 0,
                                        "maximum": 10,
                                        "default": 2,
                                    },
                                    "colour": {"type": "string", "enum": ["red", "blue"]},
                                    "limit": {"type": "integer"},
                                    "when": {"type": "string", "format": "date-time"},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "free": {
                                        "type": "object",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                    },
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "count": {"type": "integer", "default": 1},
                                            },
                                        },
                                    },
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"ready": {"type": "boolean"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}
"""A definition that uses what definitions have."""

KINDS = (
    Kind("configmaps", "v1", "ConfigMap", _config_maps),
    Kind("secrets", "v1", "Secret", _secrets),
    Kind("serviceaccounts", "v1", "ServiceAccount", _accounts),
    Kind("events", "v1", "Event", _events),
    Kind("services", "v1", "Service", _services, status=True),
    Kind(
        "persistentvolumeclaims",
        "v1",
        "PersistentVolumeClaim",
        _claims,
        status=True,
        restless=True,
    ),
    Kind("resourcequotas", "v1", "ResourceQuota", _quotas, status=True, restless=True),
    Kind("limitranges", "v1", "LimitRange", _limits),
    Kind("pods", "v1", "Pod", _pods, status=True),
    Kind("roles", f"{_RBAC}/v1", "Role", _roles),
    Kind("rolebindings", f"{_RBAC}/v1", "RoleBinding", _bindings),
    Kind("clusterroles", f"{_RBAC}/v1", "ClusterRole", _roles, namespaced=False),
    Kind("leases", "coordination.k8s.io/v1", "Lease", _leases),
    Kind("jobs", "batch/v1", "Job", _jobs, status=True, restless=True),
    Kind(
        "priorityclasses", "scheduling.k8s.io/v1", "PriorityClass", _priorities, namespaced=False
    ),
    Kind("widgets", "test.example.com/v1", "Widget", _widgets, status=True),
)

_WRONG = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "A_B", "a/b/c", [], ["x"], [1], {}, {"x": "y"}, {"x": 1}]
)


def places(body: JSON, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of everything inside a body."""
    inner = body.items() if isinstance(body, dict) else enumerate(body)
    found: list[tuple[str | int, ...]] = []
    for key, value in inner if isinstance(body, dict | list) else ():
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


@st.composite
def spoiled(draw: st.DrawFn, good: st.SearchStrategy[JSON]) -> JSON:
    """A body with one thing wrong: another type, something missing, something unknown."""
    body = copy.deepcopy(draw(good))
    path = draw(st.sampled_from(places(body)))
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    how = draw(st.sampled_from(["change", "change", "remove", "add"]))
    if how == "change":
        holder[path[-1]] = draw(_WRONG)
    elif how == "remove":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder["unknownField"] = draw(_WRONG)
    else:
        holder.append(draw(_WRONG))
    return body
