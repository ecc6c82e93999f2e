import pytest

from tinykube import kinds, nodeauthorizer
from tinykube.nodeauthorizer import NodeAuthorizer
from tinykube.rbac import Attributes, Caller

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.fixture
def allowed(store, create, pod):
    """What the node `mine` may do; pods `here` and `there` are on it and on another."""
    volumes = [
        {"name": "a", "secret": {"secretName": "mounted"}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}},
    ]
    here = pod("here", nodeName="mine", volumes=volumes)
    here["spec"]["containers"][0] |= {
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
        "envFrom": [{"configMapRef": {"name": "all"}}],
    }
    create(kinds.PODS, here)
    other = [{"name": "a", "secret": {"secretName": "others"}}]
    create(kinds.PODS, pod("there", nodeName="other", volumes=other))
    judge = NodeAuthorizer(store)

    def ask(verb, resource, name="", namespace="default", group="", node=""):
        asked = Attributes(verb, group, resource, namespace, name, node=node)
        return judge.allowed("mine", asked)

    return ask


@pytest.mark.parametrize(
    ("verb", "resource", "name"),
    [
        ("get", "secrets", "mounted"),
        ("get", "secrets", "key"),
        ("get", "configmaps", "projected"),
        ("get", "configmaps", "all"),
        ("get", "configmaps", "kube-root-ca.crt"),
        ("get", "persistentvolumeclaims", "claim"),
        ("get", "persistentvolumeclaims", "here-own"),
        ("create", "serviceaccounts/token", "default"),
        ("get", "pods", "here"),
        ("patch", "pods/status", "here"),
        ("delete", "pods", "here"),
        ("create", "events", ""),
        ("get", "nodes", "mine"),
        ("patch", "nodes/status", "mine"),
        ("create", "nodes", ""),
    ],
)
def test_what_a_node_may(allowed, verb, resource, name):
    assert allowed(verb, resource, name)


@pytest.mark.parametrize(
    ("verb", "resource", "name"),
    [
        ("get", "secrets", "others"),
        ("get", "secrets", "none"),
        ("list", "secrets", ""),
        ("update", "secrets", "mounted"),
        ("get", "configmaps", "mounted"),
        ("create", "serviceaccounts/token", "admin"),
        ("create", "pods", ""),
        ("list", "pods", ""),
        ("get", "pods", "there"),
        ("patch", "pods", "here"),
        ("patch", "pods/status", "there"),
        ("delete", "pods", "there"),
        ("delete", "nodes", "mine"),
        ("patch", "nodes/status", "other"),
        ("list", "nodes", ""),
        ("get", "roles", "x"),
        ("get", "persistentvolumeclaims", "there-own"),
    ],
)
def test_what_it_may_not(allowed, verb, resource, name):
    assert not allowed(verb, resource, name)


def test_it_lists_its_own_pods(allowed):
    assert allowed("watch", "pods", namespace="", node="mine")
    assert not allowed("watch", "pods", namespace="", node="other")


def test_its_own_lease_and_reviews(allowed):
    group, space = "coordination.k8s.io", "kube-node-lease"
    assert allowed("patch", "leases", "mine", space, group)
    assert allowed("create", "leases", "", space, group)
    assert not allowed("patch", "leases", "other", space, group)
    assert not allowed("patch", "leases", "mine", "default", group)
    review = ("create", "subjectaccessreviews", "", "", "authorization.k8s.io")
    assert allowed(*review)


def test_who_is_a_node():
    nodes = ("system:nodes",)
    assert nodeauthorizer.name_of(Caller("system:node:a", nodes)) == "a"
    assert nodeauthorizer.name_of(Caller("system:node:a", ())) == ""
    assert nodeauthorizer.name_of(Caller("a", nodes)) == ""
