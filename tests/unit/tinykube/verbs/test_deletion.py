import json

import pytest

from tinykube import kinds
from tinykube.options import Deletion


def test_preconditions_of_a_deletion(create, registry, secret, refused):
    made = create(kinds.SECRETS, secret())["metadata"]
    for deletion in (Deletion(uid="other"), Deletion(version="1")):
        error = refused(registry.delete, kinds.SECRETS, "default", "s", deletion)
        assert (error.code, error.reason) == (409, "Conflict")
    good = Deletion(uid=made["uid"], version=made["resourceVersion"])
    assert registry.delete(kinds.SECRETS, "default", "s", good).gone
    assert refused(registry.delete, kinds.SECRETS, "default", "s", Deletion()).code == 404


def test_a_running_pod_is_given_time(create, registry, pod, load):
    create(kinds.PODS, pod(nodeName="node", terminationGracePeriodSeconds=20))
    registry.delete(kinds.PODS, "default", "one", Deletion())
    first = load(kinds.PODS, "one")["metadata"]
    assert first["deletionGracePeriodSeconds"] == 20
    registry.delete(kinds.PODS, "default", "one", Deletion(grace=25))
    assert load(kinds.PODS, "one")["metadata"] == first
    registry.delete(kinds.PODS, "default", "one", Deletion(grace=5))
    assert load(kinds.PODS, "one")["metadata"]["deletionGracePeriodSeconds"] == 5
    assert registry.delete(kinds.PODS, "default", "one", Deletion(grace=0)).gone


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_pod_goes_at_once(create, change, registry, pod, phase):
    create(kinds.PODS, pod(nodeName="node"))
    body = {"status": {"phase": phase}}
    change("one", body, resource=kinds.PODS, subresource="status")
    assert registry.delete(kinds.PODS, "default", "one", Deletion()).gone


def test_a_pod_without_a_node_goes_at_once(create, registry, pod):
    create(kinds.PODS, pod())
    assert registry.delete(kinds.PODS, "default", "one", Deletion()).gone


def test_watchers_see_that_a_pod_is_to_go_before_it_is_gone(create, registry, pod):
    made = create(kinds.PODS, pod())["metadata"]
    gone = json.loads(registry.delete(kinds.PODS, "default", "one", Deletion()).data)["metadata"]
    since = int(made["resourceVersion"])
    marked, removed = registry.store.changes(kinds.PODS.key, since, 9)
    assert [marked.type, removed.type] == ["MODIFIED", "DELETED"]
    for change in (marked, removed):
        meta = json.loads(change.data)["metadata"]
        assert (meta["deletionGracePeriodSeconds"], meta["generation"]) == (0, 2)
    assert gone["resourceVersion"] == str(removed.version)
