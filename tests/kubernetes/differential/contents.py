"""What the objects of each small kind have beside their metadata; good and bad values."""

from __future__ import annotations

import base64

from hypothesis import strategies as st

from .words import JSON, KEYS, LABELS, RBAC, WORDS


def namespaces() -> st.SearchStrategy[JSON]:
    """Namespaces: a client's spec and status count for nothing."""
    return st.fixed_dictionaries(
        {},
        optional={
            "spec": st.sampled_from([{}, {"finalizers": []}, {"finalizers": ["example.com/f"]}]),
            "status": st.sampled_from([{}, {"phase": "Terminating"}]),
        },
    )


def _bytes() -> st.SearchStrategy[str]:
    return st.binary(max_size=6).map(lambda data: base64.b64encode(data).decode())


def config_maps() -> st.SearchStrategy[JSON]:
    """Config maps: text, bytes, some of them immutable."""
    return st.fixed_dictionaries(
        {},
        optional={
            "data": st.dictionaries(KEYS, WORDS, max_size=2),
            "binaryData": st.dictionaries(st.just("bin"), _bytes(), max_size=1),
            "immutable": st.sampled_from([False, False, True]),
        },
    )


def secrets() -> st.SearchStrategy[JSON]:
    """Secrets: of free types and of such as demand keys."""
    return st.fixed_dictionaries(
        {},
        optional={
            "data": st.dictionaries(KEYS, _bytes(), max_size=2),
            "stringData": st.dictionaries(KEYS, WORDS, max_size=2),
            "type": st.sampled_from(
                ["Opaque", "example.com/t", "kubernetes.io/basic-auth", "kubernetes.io/tls"]
            ),
        },
    )


def accounts() -> st.SearchStrategy[JSON]:
    """Service accounts."""
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


def roles() -> st.SearchStrategy[JSON]:
    """Roles and cluster roles, with rules that a role may not have."""
    return st.fixed_dictionaries({}, optional={"rules": _RULES})


def bindings() -> st.SearchStrategy[JSON]:
    """Role bindings, also to what cannot be bound."""
    subject = st.sampled_from(
        [
            {"kind": "ServiceAccount", "name": "a", "namespace": "default"},
            {"kind": "ServiceAccount", "name": "a"},
            {"kind": "User", "name": "u"},
            {"kind": "Group", "name": "g", "apiGroup": RBAC},
            {"kind": "Thing", "name": "g"},
        ]
    )
    role = st.builds(
        lambda kind, name, group: {"apiGroup": group, "kind": kind, "name": name},
        st.sampled_from(["Role", "Role", "ClusterRole", "Pod"]),
        st.sampled_from(["a", "view", ""]),
        st.sampled_from([RBAC, RBAC, "", "v1"]),
    )
    return st.fixed_dictionaries(
        {"roleRef": role}, optional={"subjects": st.lists(subject, max_size=2)}
    )


def leases() -> st.SearchStrategy[JSON]:
    """Leases."""
    spec = st.fixed_dictionaries(
        {},
        optional={
            "holderIdentity": st.sampled_from(["me", ""]),
            "leaseDurationSeconds": st.sampled_from([15, 1, 0, -1]),
            "leaseTransitions": st.sampled_from([0, 3, -1]),
            "renewTime": st.sampled_from(
                ["2001-02-03T03:04:05.678901Z", "2001-02-03T03:04:05.000000Z"]
            ),
        },
    )
    return st.fixed_dictionaries({}, optional={"spec": spec})


def services() -> st.SearchStrategy[JSON]:
    """Services with an address, without one, and such as nobody takes."""
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
            "selector": LABELS,
            "type": st.sampled_from(["ClusterIP", "ExternalName", "Nothing"]),
            "clusterIP": st.sampled_from(["None", ""]),
            "externalName": st.sampled_from(["example.com", ""]),
            "sessionAffinity": st.sampled_from(["None", "ClientIP"]),
        },
    )
    return st.fixed_dictionaries({"spec": spec})


def claims() -> st.SearchStrategy[JSON]:
    """Claims of a class that nobody serves."""
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


def quotas() -> st.SearchStrategy[JSON]:
    """Quotas that nothing exceeds."""
    hard = st.dictionaries(
        st.sampled_from(["pods", "requests.cpu", "count/secrets", "configmaps", "nonsense"]),
        st.sampled_from(["100", "1k", "-1", "1.5"]),
        max_size=2,
    )
    return st.fixed_dictionaries(
        {"spec": st.fixed_dictionaries({}, optional={"hard": hard})},
    )


def limits() -> st.SearchStrategy[JSON]:
    """Limit ranges, also such as contradict themselves."""
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


def priorities() -> st.SearchStrategy[JSON]:
    """Priority classes."""
    return st.fixed_dictionaries(
        {"value": st.sampled_from([1000, 0, -5, 2_000_000_000])},
        optional={
            "description": WORDS,
            "preemptionPolicy": st.sampled_from(["Never", "PreemptLowerPriority", "Perhaps"]),
        },
    )


def events() -> st.SearchStrategy[JSON]:
    """Events, also about another namespace."""
    involved = {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "$namespace"}
    return st.fixed_dictionaries(
        {"involvedObject": st.sampled_from([involved, {**involved, "namespace": "elsewhere"}])},
        optional={
            "reason": st.sampled_from(["Started", ""]),
            "message": WORDS,
            "type": st.sampled_from(["Normal", "Warning", ""]),
            "count": st.sampled_from([1, 0, -1]),
            "source": st.just({"component": "test"}),
        },
    )
