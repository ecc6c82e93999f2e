from datetime import UTC, datetime, timedelta

import pytest

from tinykube import kinds, objects
from tinykube.controllers.nodes.eviction import TaintEviction, stay
from tinykube.scheduler.taints import Taint

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GONE = {"key": "gone", "operator": "Exists", "effect": "NoExecute"}


def taint(seconds=0):
    return Taint("gone", "NoExecute", "", objects.stamp(NOW - timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    ("tolerations", "age", "left"),
    [
        ([], 0, 0),
        ([GONE], 0, None),
        ([{**GONE, "tolerationSeconds": 60}], 0, 60),
        ([{**GONE, "tolerationSeconds": 60}], 20, 40),
        ([{**GONE, "tolerationSeconds": 60}], 90, 0),
        # A clock that was set back does not keep a pod for longer.
        ([{**GONE, "tolerationSeconds": 60}], -1000, 60),
        ([{**GONE, "tolerationSeconds": -5}], 0, 0),
        ([GONE, {**GONE, "tolerationSeconds": 60}], 0, 60),
    ],
)
def test_how_long_a_pod_may_stay(tolerations, age, left):
    found = stay({"spec": {"tolerations": tolerations}}, [taint(age)], NOW)
    assert (found and found.total_seconds()) == left or found == timedelta(0) == timedelta(left)


@pytest.fixture
def clock():
    return [NOW]


@pytest.fixture
def eviction(registry, clock):
    made = TaintEviction(registry, lambda: clock[0])
    made.load()
    return made


@pytest.fixture
def put(registry, eviction):
    """Put NoExecute taints on the node."""

    def change(*keys):
        def alter(current):
            current.setdefault("spec", {})["taints"] = [
                {"key": key, "effect": "NoExecute", "timeAdded": objects.stamp(NOW)}
                for key in keys
            ]
            return True

        registry.modify(kinds.NODES, "", "node", alter)
        eviction.step()

    return change


def leaving(load, name):
    return "deletionTimestamp" in load(kinds.PODS, name)["metadata"]


def test_pods_go_in_their_time(create, pod, node, put, eviction, load, clock):
    node()
    create(kinds.PODS, pod("none", nodeName="node"))
    create(
        kinds.PODS, pod("some", nodeName="node", tolerations=[{**GONE, "tolerationSeconds": 60}])
    )
    create(kinds.PODS, pod("all", nodeName="node", tolerations=[GONE]))
    create(kinds.PODS, pod("elsewhere", nodeName="other"))
    put("gone")
    assert leaving(load, "none")
    (condition,) = load(kinds.PODS, "none")["status"]["conditions"]
    assert condition["reason"] == "DeletionByTaintManager"
    assert not leaving(load, "some")
    assert eviction.pause() == 60
    clock[0] += timedelta(seconds=60)
    eviction.step()
    assert leaving(load, "some")
    assert not leaving(load, "all")
    assert not leaving(load, "elsewhere")
    assert eviction.pause() is None


def test_a_taint_that_goes_in_time_changes_nothing(create, pod, node, put, eviction, load, clock):
    node()
    create(
        kinds.PODS, pod("some", nodeName="node", tolerations=[{**GONE, "tolerationSeconds": 60}])
    )
    put("gone")
    put()
    assert eviction.pause() is None
    clock[0] += timedelta(seconds=90)
    eviction.step()
    assert not leaving(load, "some")


def test_a_pod_that_comes_to_a_tainted_node(create, pod, node, put, eviction, load):
    node()
    put("gone")
    create(kinds.PODS, pod("late", nodeName="node"))
    eviction.step()
    assert leaving(load, "late")


def test_an_outage_is_tolerated_for_five_minutes(create, pod, node, put, eviction, load, clock):
    node()
    create(kinds.PODS, pod("plain", nodeName="node"))
    put("node.kubernetes.io/unreachable")
    assert eviction.pause() == 300
    another = TaintEviction(eviction.registry, lambda: NOW + timedelta(seconds=301))
    another.load()
    another.step()
    assert leaving(load, "plain")
