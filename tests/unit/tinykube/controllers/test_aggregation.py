import pytest

from tinykube import kinds
from tinykube.controllers.aggregation import Aggregator, aggregate
from tinykube.rbac import Caller
from tinykube.status import ApiError

LABEL = "example.com/feeds"


def rule(resource):
    return {"verbs": ["get"], "apiGroups": ["example.com"], "resources": [resource]}


def role(name, labels=None, rules=(), feeds_on=()):
    body = {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}
    if feeds_on:
        selectors = [{"matchLabels": {LABEL: item}} for item in feeds_on]
        body["aggregationRule"] = {"clusterRoleSelectors": selectors}
    return body


@pytest.fixture
def rules(registry, load):
    def read(name):
        return load(kinds.CLUSTER_ROLES, name).get("rules") or []

    return read


def test_rules_come_from_the_roles_that_are_selected(create, registry, rules):
    create(kinds.CLUSTER_ROLES, role("sum", feeds_on=["a", "b"]))
    create(kinds.CLUSTER_ROLES, role("one", {LABEL: "a"}, [rule("x")]))
    create(kinds.CLUSTER_ROLES, role("two", {LABEL: "b"}, [rule("y"), rule("x")]))
    create(kinds.CLUSTER_ROLES, role("other", {LABEL: "c"}, [rule("z")]))
    aggregate(registry)
    assert rules("sum") == [rule("x"), rule("y")]


def test_an_aggregated_role_feeds_another(create, registry, rules):
    create(kinds.CLUSTER_ROLES, role("a-top", feeds_on=["middle"]))
    create(kinds.CLUSTER_ROLES, role("b-middle", {LABEL: "middle"}, feeds_on=["low"]))
    create(kinds.CLUSTER_ROLES, role("c-low", {LABEL: "low"}, [rule("x")]))
    aggregate(registry)
    assert rules("a-top") == rules("b-middle") == [rule("x")]


def test_two_that_feed_each_other_come_to_rest(create, registry, rules):
    create(kinds.CLUSTER_ROLES, role("a", {LABEL: "a"}, feeds_on=["b"]))
    create(kinds.CLUSTER_ROLES, role("b", {LABEL: "b"}, feeds_on=["a", "c"]))
    create(kinds.CLUSTER_ROLES, role("c", {LABEL: "c"}, [rule("x")]))
    aggregate(registry)
    assert rules("a") == rules("b") == [rule("x")]


def test_the_loop_follows_changes(create, registry, rules):
    loop = Aggregator(registry)
    create(kinds.CLUSTER_ROLES, role("sum", feeds_on=["a"]))
    create(kinds.CLUSTER_ROLES, role("one", {LABEL: "a"}, [rule("x")]))
    loop.step()
    assert rules("sum") == [rule("x")]
    version = registry.store.version
    loop.step()
    assert registry.store.version == version


def test_custom_kinds_join_the_built_in_roles(create, registry, rules):
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    create(kinds.CLUSTER_ROLES, role("things", labels, [rule("things")]))
    aggregate(registry)
    for name in ("view", "edit", "admin"):
        assert rule("things") in rules(name)
    assert rule("things") not in rules("cluster-admin")


def test_only_those_who_may_do_all_aggregate(create):
    allowed = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["clusterroles"]}
    create(kinds.CLUSTER_ROLES, role("writer", rules=[allowed]))
    create(
        kinds.CLUSTER_ROLE_BINDINGS,
        {
            "metadata": {"name": "writer"},
            "roleRef": {"kind": "ClusterRole", "name": "writer"},
            "subjects": [{"kind": "User", "name": "bob"}],
        },
    )
    with pytest.raises(ApiError, match="must have cluster-admin privileges"):
        create(kinds.CLUSTER_ROLES, role("sum", feeds_on=["a"]), caller=Caller("bob"))
