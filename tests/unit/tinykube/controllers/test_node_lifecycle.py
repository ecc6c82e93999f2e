import pytest

from tinykube import kinds
from tinykube.controllers.nodes.lifecycle import NodeLifecycle


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def lifecycle(registry, clock):
    made = NodeLifecycle(registry, lambda: clock[0])
    made.load()
    return made


@pytest.fixture
def taints(load):
    def read(name="node"):
        found = load(kinds.NODES, name)["spec"].get("taints") or ()
        return [(item["key"].rpartition("/")[2], item["effect"]) for item in found]

    return read


def ready(load, name="node"):
    conditions = load(kinds.NODES, name)["status"]["conditions"]
    return next(item for item in conditions if item["type"] == "Ready")


def lease(registry, second, name="node"):
    moment = f"2026-01-01T00:00:{second:02}.000000Z"
    body = {"metadata": {"name": name}, "spec": {"renewTime": moment}}

    def renew(current):
        current["spec"]["renewTime"] = moment
        return True

    if not registry.modify(kinds.LEASES, "kube-node-lease", name, renew):
        registry.ensure(kinds.LEASES, "kube-node-lease", body)


def test_conditions_and_cordons_become_taints_and_go_again(
    lifecycle, node, registry, taints, load
):
    node()

    def state(unschedulable, ready, pressure):
        def change(current):
            current.setdefault("spec", {})["unschedulable"] = unschedulable
            current["status"]["conditions"] = [
                {"type": "Ready", "status": ready},
                {"type": "MemoryPressure", "status": pressure},
            ]
            return True

        registry.modify(kinds.NODES, "", "node", change)
        lifecycle.step()

    state(True, "True", "True")
    assert taints() == [("memory-pressure", "NoSchedule"), ("unschedulable", "NoSchedule")]
    state(False, "False", "False")
    assert taints() == [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")]
    assert all(item["timeAdded"] for item in load(kinds.NODES, "node")["spec"]["taints"])
    state(False, "True", "False")
    assert taints() == []


def test_taints_of_others_stay(lifecycle, node, registry, taints):
    node()

    def change(current):
        current["spec"] = {
            "taints": [{"key": "a/gpu", "effect": "NoSchedule"}],
            "unschedulable": True,
        }
        return True

    registry.modify(kinds.NODES, "", "node", change)
    lifecycle.step()
    assert taints() == [("gpu", "NoSchedule"), ("unschedulable", "NoSchedule")]


def test_a_node_that_is_not_heard_of_is_unreachable_and_comes_back(
    lifecycle, node, registry, clock, taints, load, create, pod
):
    node()
    create(kinds.PODS, pod(nodeName="node"))

    def run(current):
        current["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        return True

    registry.modify(kinds.PODS, "default", "one", run)
    lease(registry, 1)
    for second in range(0, 60, 5):
        clock[0] += 5
        lease(registry, second)
        lifecycle.step()
    assert ready(load)["status"] == "True"
    clock[0] += 49
    lifecycle.step()
    assert ready(load)["status"] == "True"
    clock[0] += 2
    assert lifecycle.pause() == pytest.approx(3.0)
    clock[0] += 5
    assert lifecycle.pause() == 0
    lifecycle.step()
    assert ready(load)["reason"] == "NodeStatusUnknown"
    assert taints() == [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]
    (condition,) = load(kinds.PODS, "one")["status"]["conditions"]
    assert condition["status"] == "False"
    lease(registry, 1)

    def recover(current):
        current["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        return True

    registry.modify(kinds.NODES, "", "node", recover)
    lifecycle.step()
    assert taints() == []


def test_a_new_start_gives_everybody_time(lifecycle, node, registry, clock, load):
    node()
    lease(registry, 1)
    clock[0] += 1000
    another = NodeLifecycle(registry, lambda: clock[0])
    another.load()
    another.step()
    assert ready(load)["status"] == "True"
