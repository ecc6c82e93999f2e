import pytest

from tinykube import kinds, rbac
from tinykube.rbac import AUTHENTICATED, Attributes, Caller

BOB = Caller("bob", ("team", AUTHENTICATED))


@pytest.fixture
def grant(create):
    """Bind a new role to bob: in a namespace, or everywhere."""

    def make(rules, namespace=None, subject=None):
        role, binding = (
            (kinds.ROLES, kinds.ROLE_BINDINGS)
            if namespace
            else (kinds.CLUSTER_ROLES, kinds.CLUSTER_ROLE_BINDINGS)
        )
        create(role, {"metadata": {"name": "r"}, "rules": rules}, namespace=namespace)
        create(
            binding,
            {
                "metadata": {"name": "b"},
                "roleRef": {"kind": role.kind, "name": "r"},
                "subjects": [subject or {"kind": "User", "name": "bob"}],
            },
            namespace=namespace,
        )

    return make


def rule(verbs, resources, groups=("",), names=()):
    made = {"verbs": list(verbs), "resources": list(resources), "apiGroups": list(groups)}
    return {**made, "resourceNames": list(names)} if names else made


def may(registry, verb, resource, namespace="default", name="", group="", caller=BOB):
    asked = Attributes(verb, group, resource, namespace, name)
    return registry.authorizer.allowed(caller, asked)


def test_without_a_binding_nothing_is_allowed(registry):
    assert not may(registry, "get", "pods")
    assert not may(registry, "create", "secrets")


def test_a_rule_allows_what_it_says_and_no_more(registry, grant):
    grant([rule(["get", "list"], ["pods", "pods/log"])])
    assert may(registry, "get", "pods")
    assert may(registry, "get", "pods", "other")
    assert may(registry, "get", "pods/log")
    assert not may(registry, "get", "pods/status")
    assert not may(registry, "delete", "pods")
    assert not may(registry, "get", "pods", group="apps")
    assert not may(registry, "get", "secrets")


def test_a_role_is_for_its_namespace(registry, grant):
    grant([rule(["get"], ["pods"])], namespace="default")
    assert may(registry, "get", "pods", "default")
    assert not may(registry, "get", "pods", "kube-system")
    assert not may(registry, "get", "pods", "")


def test_wildcards_and_names(registry, grant):
    grant([rule(["*"], ["*/log"]), rule(["get"], ["secrets"], names=["mine"])])
    assert may(registry, "get", "pods/log")
    assert not may(registry, "get", "pods")
    assert may(registry, "get", "secrets", name="mine")
    assert not may(registry, "get", "secrets", name="other")
    assert not may(registry, "list", "secrets")


@pytest.mark.parametrize(
    ("subject", "caller"),
    [
        ({"kind": "Group", "name": "team"}, BOB),
        (
            {"kind": "ServiceAccount", "name": "a", "namespace": "ns"},
            rbac.account_caller("ns", "a", "u"),
        ),
    ],
)
def test_subjects(registry, grant, subject, caller):
    grant([rule(["get"], ["pods"])], subject=subject)
    assert may(registry, "get", "pods", caller=caller)
    assert not may(registry, "get", "pods", caller=rbac.account_caller("ns", "b", "u"))


def test_a_revoked_binding_is_gone_at_once(registry, grant):
    grant([rule(["get"], ["pods"])])
    assert may(registry, "get", "pods")
    from tinykube.options import Deletion

    registry.delete(kinds.CLUSTER_ROLE_BINDINGS, "", "b", Deletion())
    assert not may(registry, "get", "pods")


def test_paths(registry):
    assert registry.authorizer.allowed(BOB, Attributes("get", path="/apis/apps/v1"))
    assert not registry.authorizer.allowed(BOB, Attributes("get", path="/metrics"))


def test_what_is_not_covered(registry, grant):
    grant([rule(["get", "list"], ["pods"])])
    lacking = registry.authorizer.uncovered(BOB, [rule(["get", "delete"], ["pods"])], "")
    assert lacking == [rule(["delete"], ["pods"])]
    assert registry.authorizer.uncovered(BOB, [rule(["get"], ["pods"], names=["x"])], "") == []
    assert registry.authorizer.uncovered(BOB, [rule(["get"], ["*"])], "")
    assert registry.authorizer.uncovered(rbac.SYSTEM, [rule(["*"], ["*"])], "") == []


def test_refusals_in_kubernetes_words():
    assert Attributes("list", "", "pods", "ns").denial(BOB) == (
        'User "bob" cannot list resource "pods" in API group "" in the namespace "ns"'
    )
    assert (
        Attributes("list", "apps", "deployments")
        .denial(BOB)
        .endswith('in API group "apps" at the cluster scope')
    )


@pytest.mark.parametrize(
    ("role", "verb", "resource", "allowed"),
    [
        ("view", "get", "pods", True),
        ("view", "get", "secrets", False),
        ("view", "create", "pods", False),
        ("edit", "create", "pods", True),
        ("edit", "create", "roles", False),
        ("cluster-admin", "delete", "nodes", True),
    ],
)
def test_the_built_in_roles(registry, create, role, verb, resource, allowed):
    create(
        kinds.CLUSTER_ROLE_BINDINGS,
        {
            "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": "bob"}],
        },
    )
    assert may(registry, verb, resource) is allowed
