from tinykube import kinds
from tinykube.options import Deletion
from tinykube.verbs import written


def test_finalizers_hold_a_deleted_object(create, change, registry, secret, refused, load):
    create(kinds.SECRETS, secret(metadata={"finalizers": ["example.com/x"]}))
    assert not registry.delete(kinds.SECRETS, "default", "s", Deletion()).gone
    assert load(kinds.SECRETS, "s")["metadata"]["deletionTimestamp"]
    added = {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}
    assert refused(change, "s", added).code == 422
    change("s", {"metadata": {"finalizers": None}})
    assert load(kinds.SECRETS, "s") is None


def test_what_keeps_a_deleted_object():
    gone = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}
    assert written.released(kinds.PODS, gone)
    assert not written.released(kinds.PODS, {"metadata": {}, "spec": {}})
    for more in ({"finalizers": ["example.com/x"]}, {"deletionGracePeriodSeconds": 30}):
        held = {**gone, "metadata": {**gone["metadata"], **more}}
        assert not written.released(kinds.PODS, held)
    held = {**gone, "spec": {"finalizers": ["kubernetes"]}}
    assert not written.released(kinds.NAMESPACES, held)
