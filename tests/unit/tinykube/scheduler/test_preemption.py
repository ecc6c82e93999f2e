import pytest

from tinykube.scheduler import preemption
from tinykube.scheduler.filters import Filter


@pytest.fixture
def found(cluster):
    def find(pod, *nodes):
        made = cluster(*nodes)
        misfits = {node.name: Filter(made, pod).misfit(node) for node in nodes}
        assert None not in misfits.values()
        return preemption.find(made, pod, misfits)

    return find


def test_as_few_and_as_unimportant_as_possible_go(found, info, machine):
    kept = info("kept", {"cpu": "3"}, priority=5)
    gone = info("gone", {"cpu": "1"}, priority=1)
    candidate, _ = found(info(requests={"cpu": "1"}, priority=9), machine(pods=[kept, gone]))
    assert (candidate.node, candidate.victims) == ("node", [gone])


def test_the_node_of_the_least_important_victims_is_taken(found, info, machine):
    a = machine("a", [info("x", {"cpu": "4"}, priority=5)])
    b = machine("b", [info("y", {"cpu": "4"}, priority=3)])
    candidate, _ = found(info(requests={"cpu": "1"}, priority=9), a, b)
    assert candidate.node == "b"


def test_why_nobody_can_make_room(found, info, machine):
    a = machine("a", [info("x", {"cpu": "4"}, priority=9)])
    b = machine("b", cpu="1")
    candidate, reasons = found(info(requests={"cpu": "2"}, priority=9), a, b)
    assert candidate is None
    assert reasons == {
        "a": ["No preemption victims found for incoming pod"],
        "b": ["Preemption is not helpful for scheduling"],
    }
