import pytest

from tinykube import kinds
from tinykube.registry import Deletion
from tinykube.scheduler import Scheduler


@pytest.fixture
def scheduler(registry):
    made = Scheduler(registry)
    made.load()
    return made


@pytest.fixture
def settle(scheduler):
    def run():
        while scheduler.step():
            pass

    return run


@pytest.fixture
def where(load):
    return lambda name: load(kinds.PODS, name)["spec"].get("nodeName")


@pytest.fixture
def why(load):
    def read(name):
        (condition,) = load(kinds.PODS, name)["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
        assert condition["reason"] == "Unschedulable"
        return condition["message"]

    return read


def test_a_pod_that_fits_is_bound(create, pod, node, settle, where, load, store):
    node()
    create(kinds.PODS, pod(requests={"cpu": "1"}))
    settle()
    assert where("one") == "node"
    (condition,) = load(kinds.PODS, "one")["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    (event,) = store.rows(kinds.EVENTS.key)
    assert "Successfully assigned default/one to node" in event.data


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ({"memory": "9Gi"}, "0/1 nodes are available: 1 Insufficient memory."),
        (
            {"memory": "9Gi", "cpu": "5"},
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
        ),
        ({"example.com/gpu": "1"}, "0/1 nodes are available: 1 Insufficient example.com/gpu."),
    ],
)
def test_one_that_does_not_fit_waits_and_says_why(
    create, pod, node, settle, why, requests, message
):
    node()
    body = pod(requests=requests)
    body["spec"]["containers"][0]["resources"]["limits"] = requests
    create(kinds.PODS, body)
    settle()
    assert why("one") == message


def test_no_node(create, pod, settle, why):
    create(kinds.PODS, pod())
    settle()
    assert why("one") == "no nodes available to schedule pods"


def test_labels_readiness_and_cordons(create, pod, node, settle, why, where, registry):
    node(labels={"disk": "hdd"})
    create(kinds.PODS, pod(nodeSelector={"disk": "ssd"}))
    settle()
    assert "didn't match Pod's node affinity/selector" in why("one")

    def relabel(current):
        current["metadata"]["labels"] = {"disk": "ssd"}
        current["spec"] = {"unschedulable": True}
        return True

    registry.modify(kinds.NODES, "", "node", relabel)
    settle()
    assert "were unschedulable" in why("one")
    registry.modify(kinds.NODES, "", "node", lambda item: bool(item.pop("spec")))
    settle()
    assert where("one") == "node"


def test_a_node_that_is_not_ready(create, pod, node, settle, why):
    node(ready=False)
    create(kinds.PODS, pod())
    settle()
    assert "untolerated taint" in why("one")


def test_room_that_comes_free_is_used_in_order(create, pod, node, settle, where, registry):
    node(cpu="2")
    for name in ("one", "two", "three", "four"):
        create(kinds.PODS, pod(name, requests={"cpu": "2" if name != "four" else "1"}))
    settle()
    assert [where(name) for name in ("one", "two", "three", "four")] == ["node", None, None, None]

    def end(current):
        current["status"]["phase"] = "Succeeded"
        return True

    registry.modify(kinds.PODS, "default", "one", end)
    settle()
    assert [where(name) for name in ("two", "three")] == ["node", None]
    registry.delete(kinds.PODS, "default", "two", Deletion(grace=0))
    settle()
    assert where("three") == "node"


def test_a_small_pod_passes_a_large_one(create, pod, node, settle, where):
    node(cpu="2")
    create(kinds.PODS, pod("large", requests={"cpu": "4"}))
    create(kinds.PODS, pod("small", requests={"cpu": "1"}))
    settle()
    assert where("small") == "node"
    assert where("large") is None


def test_the_number_of_pods_is_bounded(create, pod, node, settle, why):
    node(pods="1")
    create(kinds.PODS, pod("one"))
    create(kinds.PODS, pod("two"))
    settle()
    assert why("two") == "0/1 nodes are available: 1 Too many pods."


def test_a_new_scheduler_knows_what_is_taken(create, pod, node, settle, registry, why):
    node(cpu="2")
    create(kinds.PODS, pod("one", requests={"cpu": "2"}))
    settle()
    create(kinds.PODS, pod("two", requests={"cpu": "1"}))
    another = Scheduler(registry)
    another.load()
    another.step()
    assert "Insufficient cpu" in why("two")


def test_more_capacity_lets_pods_in(create, pod, node, settle, where, registry):
    node(cpu="1")
    create(kinds.PODS, pod(requests={"cpu": "2"}))
    settle()

    def grow(current):
        current["status"]["allocatable"]["cpu"] = "4"
        return True

    registry.modify(kinds.NODES, "", "node", grow)
    settle()
    assert where("one") == "node"


def test_a_pod_deleted_while_it_waits_is_forgotten(create, pod, node, settle, registry, scheduler):
    create(kinds.PODS, pod())
    settle()
    registry.delete(kinds.PODS, "default", "one", Deletion())
    node()
    settle()
    assert scheduler._waiting == {}
    assert scheduler._bound == {}
