import pytest

from tinykube import kinds
from tinykube.controllers.nodes.orphans import OrphanCollector
from tinykube.options import Deletion


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def collector(registry, clock):
    made = OrphanCollector(registry, lambda: clock[0])
    made.load()
    return made


def test_pods_of_a_deleted_node_go_after_a_while(
    create, pod, node, collector, clock, load, registry
):
    node()
    create(kinds.PODS, pod("one", nodeName="node"))
    create(kinds.PODS, pod("free"))
    assert collector.pause() is None
    registry.delete(kinds.NODES, "", "node", Deletion())
    clock[0] = 39.0
    collector.step()
    assert load(kinds.PODS, "one")
    assert collector.pause() == 1.0
    clock[0] = 40.0
    collector.step()
    assert load(kinds.PODS, "one") is None
    assert load(kinds.PODS, "free")
    assert collector.pause() is None


def test_a_node_that_comes_back_in_time_keeps_its_pods(create, pod, node, collector, clock, load):
    create(kinds.PODS, pod("one", nodeName="late"))
    clock[0] = 10.0
    node(name="late")
    clock[0] = 50.0
    collector.step()
    assert load(kinds.PODS, "one")
