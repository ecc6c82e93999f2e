import pytest

from tinykube import kinds
from tinykube.controllers.garbage import Collector, NamespaceCleaner
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM


@pytest.fixture
def collect(registry):
    collector = Collector(registry)
    collector.load()

    def run():
        while collector.step() or collector._wake.is_set():
            collector._wake.clear()

    return run


@pytest.fixture
def owned(create):
    def make(name, *owners, block=False, finalizers=()):
        references = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": block,
            }
            for owner in owners
        ]
        meta = {"name": name, "ownerReferences": references, "finalizers": list(finalizers)}
        return create(kinds.SECRETS, {"metadata": meta})

    return make


def delete(registry, name, **options):
    registry.delete(kinds.SECRETS, "default", name, Deletion(**options))


def test_owned_objects_follow_down_the_line(owned, registry, collect, load):
    a = owned("a")
    b = owned("b", a)
    owned("c", b)
    delete(registry, "a")
    collect()
    assert load(kinds.SECRETS, "b") is None
    assert load(kinds.SECRETS, "c") is None


def test_an_object_with_another_owner_stays_without_the_gone_one(owned, registry, collect, load):
    a, b = owned("a"), owned("b")
    owned("c", a, b)
    delete(registry, "a")
    collect()
    (left,) = load(kinds.SECRETS, "c")["metadata"]["ownerReferences"]
    assert left["name"] == "b"


def test_orphans_are_let_go(owned, registry, collect, load):
    a = owned("a")
    owned("b", a)
    delete(registry, "a", propagation="Orphan")
    collect()
    assert load(kinds.SECRETS, "a") is None
    assert "ownerReferences" not in load(kinds.SECRETS, "b")["metadata"]


def test_in_the_foreground_the_owner_goes_last(owned, registry, collect, load):
    a = owned("a")
    owned("b", a, block=True, finalizers=["example.com/hold"])
    delete(registry, "a", propagation="Foreground")
    collect()
    assert load(kinds.SECRETS, "a")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert load(kinds.SECRETS, "b")["metadata"]["deletionTimestamp"]
    registry.remove_finalizer(kinds.SECRETS, load(kinds.SECRETS, "b"), "example.com/hold")
    collect()
    assert load(kinds.SECRETS, "a") is None
    assert load(kinds.SECRETS, "b") is None


def test_an_owner_that_never_was(owned, collect, load):
    owned("a", {"metadata": {"name": "ghost", "uid": "ghost"}})
    collect()
    assert load(kinds.SECRETS, "a") is None


def test_what_cannot_be_told_stays(create, owned, collect, load):
    """As on a real control plane (1.37): only a reference that surely dangles is acted on."""
    b = owned("b")
    uid = b["metadata"]["uid"]

    def refer(name, kind="Secret", api="v1", owner="b", **where):
        reference = {"apiVersion": api, "kind": kind, "name": owner, "uid": where.get("uid", uid)}
        return {"metadata": {"name": name, "ownerReferences": [reference]}}

    create(kinds.SECRETS, refer("foreign-kind", "Foo", "example.com/v1", uid="ghost"))
    create(kinds.SECRETS, refer("another-name", owner="other"))
    create(kinds.NAMESPACES, {"metadata": {"name": "far"}})
    create(kinds.SECRETS, refer("elsewhere"), namespace="far")
    create(kinds.NODES, refer("of-the-cluster"))
    create(kinds.NODES, refer("of-a-ghost", uid="ghost"))
    collect()
    assert load(kinds.SECRETS, "foreign-kind")
    assert load(kinds.SECRETS, "another-name") is None
    assert load(kinds.SECRETS, "elsewhere", "far") is None
    assert load(kinds.NODES, "of-the-cluster")
    assert load(kinds.NODES, "of-a-ghost")


def test_in_the_foreground_what_another_owns_stays(owned, registry, collect, load):
    a, b = owned("a"), owned("b")
    owned("c", a, b, block=True)
    delete(registry, "a", propagation="Foreground")
    collect()
    assert load(kinds.SECRETS, "a") is None
    (left,) = load(kinds.SECRETS, "c")["metadata"]["ownerReferences"]
    assert left["name"] == "b"


def test_in_the_foreground_what_both_own_goes_with_the_last(owned, registry, collect, load):
    a, b = owned("a"), owned("b", finalizers=["example.com/hold"])
    owned("c", a, b, block=True)
    delete(registry, "b", propagation="Foreground")
    delete(registry, "a", propagation="Foreground")
    collect()
    assert load(kinds.SECRETS, "c") is None
    assert load(kinds.SECRETS, "a") is None


def test_a_restart_finds_what_was_left(owned, registry, load):
    a = owned("a")
    owned("b", a)
    delete(registry, "a")
    late = Collector(registry)
    late.load()
    late.step()
    assert load(kinds.SECRETS, "b") is None


@pytest.fixture
def clean(registry):
    cleaner = NamespaceCleaner(registry)
    cleaner.load()

    def run():
        while cleaner.step() or cleaner._wake.is_set():
            cleaner._wake.clear()

    return run


def test_a_namespace_is_emptied_and_goes(create, registry, clean, load, store, pod):
    create(kinds.NAMESPACES, {"metadata": {"name": "new"}})
    for number in range(250):
        create(kinds.SECRETS, {"metadata": {"name": f"s{number}"}}, namespace="new")
    create(kinds.PODS, pod(), namespace="new")
    registry.delete(kinds.NAMESPACES, "", "new", Deletion())
    clean()
    assert load(kinds.NAMESPACES, "new") is None
    assert store.resources_in("new") == []
    assert load(kinds.SERVICE_ACCOUNTS, "default")


def test_a_namespace_says_what_it_waits_for(create, registry, clean, load):
    create(kinds.NAMESPACES, {"metadata": {"name": "new"}})
    held = {"metadata": {"name": "stuck", "finalizers": ["example.com/hold"]}}
    create(kinds.CONFIG_MAPS, held, namespace="new")
    registry.delete(kinds.NAMESPACES, "", "new", Deletion())
    clean()
    found = {
        item["type"]: (item["status"], item["reason"], item["message"])
        for item in load(kinds.NAMESPACES, "new")["status"]["conditions"]
    }
    assert found["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: configmaps. has 1 resource instances",
    )
    assert found["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource "
        "instances",
    )
    assert found["NamespaceDeletionContentFailure"][0] == "False"


def test_a_namespace_waits_for_what_is_held(create, registry, clean, load, pod):
    create(kinds.NAMESPACES, {"metadata": {"name": "new"}})
    create(kinds.PODS, pod(nodeName="node"), namespace="new")
    registry.delete(kinds.NAMESPACES, "", "new", Deletion())
    clean()
    assert load(kinds.NAMESPACES, "new")
    registry.delete(kinds.PODS, "new", "one", Deletion(grace=0))
    clean()
    assert load(kinds.NAMESPACES, "new") is None


def test_a_namespace_waits_for_others_that_empty_it(create, registry, clean, load):
    body = {"metadata": {"name": "new"}, "spec": {"finalizers": ["example.com/empties"]}}
    made = create(kinds.NAMESPACES, body)
    assert made["spec"]["finalizers"] == ["example.com/empties", "kubernetes"]
    registry.delete(kinds.NAMESPACES, "", "new", Deletion())
    clean()
    left = load(kinds.NAMESPACES, "new")
    assert left["spec"]["finalizers"] == ["example.com/empties"]
    left["spec"]["finalizers"] = []
    registry.update(kinds.NAMESPACES, "", "new", left, SYSTEM, Options(), subresource="finalize")
    assert load(kinds.NAMESPACES, "new") is None
