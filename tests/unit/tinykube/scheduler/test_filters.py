import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinykube.scheduler.cluster import Cluster, NodeInfo
from tinykube.scheduler.filters import Filter
from tinykube.scheduler.requirements import Needs, PodInfo

ZONE = "zone"
HARD = "requiredDuringSchedulingIgnoredDuringExecution"


def company(kind, **labels):
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": ZONE}
    return {kind: {HARD: [term]}}


def spread(skew=1, **fields):
    return [
        {
            "maxSkew": skew,
            "topologyKey": ZONE,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "a"}},
            **fields,
        }
    ]


@pytest.fixture
def judged(cluster):
    """The reasons of each node, by its name; None where the pod fits."""

    def judge(pod, *nodes):
        misfits = {node.name: Filter(cluster(*nodes), pod).misfit(node) for node in nodes}
        return {name: misfit and list(misfit.reasons) for name, misfit in misfits.items()}

    return judge


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, None),
        ({"requests": {"cpu": "5"}}, "Insufficient cpu"),
        ({"requests": {"ephemeral-storage": "1"}}, "Insufficient ephemeral-storage"),
        ({"nodeSelector": {"disk": "ssd"}}, "node(s) didn't match Pod's node affinity/selector"),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        HARD: {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
                            ]
                        }
                    }
                }
            },
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        HARD: {
                            "nodeSelectorTerms": [
                                {
                                    "matchFields": [
                                        {
                                            "key": "metadata.name",
                                            "operator": "In",
                                            "values": ["other"],
                                        }
                                    ]
                                }
                            ]
                        }
                    }
                }
            },
            "node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
        (
            {"affinity": company("podAffinity", app="db")},
            "node(s) didn't match pod affinity rules",
        ),
        ({"affinity": company("podAntiAffinity", app="db")}, None),
        (
            {"topologySpreadConstraints": spread()},
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ],
)
def test_reasons_of_an_empty_node(judged, info, machine, spec, reason):
    assert judged(info(**spec), machine()) == {"node": reason and [reason]}


def test_the_whole_list_of_what_is_lacking(judged, info, machine):
    pod = info(requests={"nvidia.com/gpu": "1", "memory": "9Gi", "cpu": "5"})
    full = machine(pods=[info(f"p{number}") for number in range(10)])
    assert judged(pod, full) == {
        "node": [
            "Too many pods",
            "Insufficient cpu",
            "Insufficient memory",
            "Insufficient nvidia.com/gpu",
        ]
    }


def test_a_cordon_can_be_tolerated(judged, info, machine):
    node = machine()
    node.unschedulable = True
    key = "node.kubernetes.io/unschedulable"
    assert judged(info(), node) == {"node": ["node(s) were unschedulable"]}
    assert judged(info(tolerations=[{"key": key, "operator": "Exists"}]), node) == {"node": None}


def test_affinity_is_by_domain_and_the_first_of_a_group_goes_anywhere(judged, info, machine):
    pod = info(labels={"app": "a"}, affinity=company("podAffinity", app="a"))
    empty = [machine(name, labels={ZONE: name[0]}) for name in ("a1", "a2", "b1")]
    assert set(judged(pod, *empty).values()) == {None}
    empty[0].add(info("other", labels={"app": "a"}))
    reason = ["node(s) didn't match pod affinity rules"]
    assert judged(pod, *empty) == {"a1": None, "a2": None, "b1": reason}


def test_anti_affinity_holds_in_both_directions(judged, info, machine):
    lonely = info("lonely", labels={"app": "a"}, affinity=company("podAntiAffinity", app="b"))
    plain = info("plain", labels={"app": "b"})
    nodes = machine("a1", [lonely], {ZONE: "a"}), machine("b1", labels={ZONE: "b"})
    assert judged(plain, *nodes) == {
        "a1": ["node(s) didn't satisfy existing pods anti-affinity rules"],
        "b1": None,
    }
    nodes = machine("a1", [plain], {ZONE: "a"}), machine("b1", labels={ZONE: "b"})
    assert judged(lonely, *nodes) == {
        "a1": ["node(s) didn't match pod anti-affinity rules"],
        "b1": None,
    }


def test_pods_are_spread_over_domains(judged, info, machine):
    pod = info(labels={"app": "a"}, topologySpreadConstraints=spread())
    busy = machine("a1", [info("x", labels={"app": "a"})], {ZONE: "a"})
    free = machine("b1", labels={ZONE: "b"})
    reason = ["node(s) didn't match pod topology spread constraints"]
    assert judged(pod, busy, free) == {"a1": reason, "b1": None}
    wide = info(labels={"app": "a"}, topologySpreadConstraints=spread(skew=2))
    assert judged(wide, busy, free) == {"a1": None, "b1": None}
    three = info(labels={"app": "a"}, topologySpreadConstraints=spread(minDomains=3))
    other = machine("c1", [info("y", labels={"app": "a"})], {ZONE: "c"})
    assert judged(three, busy, other) == {"a1": reason, "c1": reason}


def test_a_constraint_looks_at_nodes_that_the_pod_could_use(judged, info, machine):
    full = machine("a1", [info("x", labels={"app": "a"})], {ZONE: "a", "disk": "ssd"})
    out = machine("b1", labels={ZONE: "b"})
    fields = {"labels": {"app": "a"}, "nodeSelector": {"disk": "ssd"}}
    honour = info(**fields, topologySpreadConstraints=spread())
    assert judged(honour, full, out)["a1"] is None
    ignore = info(**fields, topologySpreadConstraints=spread(nodeAffinityPolicy="Ignore"))
    assert judged(ignore, full, out)["a1"] == [
        "node(s) didn't match pod topology spread constraints"
    ]


amounts = st.integers(0, 4000)
sizes = st.fixed_dictionaries({"cpu": amounts, "memory": amounts, "example.com/gpu": amounts})


@settings(max_examples=150, deadline=None)
@given(
    rooms=st.lists(sizes, min_size=1, max_size=4),
    demands=st.lists(sizes, max_size=12),
    limit=st.integers(1, 6),
)
def test_no_node_is_overcommitted_and_none_that_fits_is_missed(rooms, demands, limit):
    nodes = {
        f"n{index}": NodeInfo(f"n{index}", room={**room, "pods": limit * 1000})
        for index, room in enumerate(rooms)
    }
    cluster = Cluster(nodes)
    for number, demand in enumerate(demands):
        wanted = tuple((name, amount) for name, amount in demand.items() if amount)
        pod = PodInfo(f"u{number}", "default", f"p{number}", Needs(demand=wanted))
        judge = Filter(cluster, pod)
        fitting = [node for node in nodes.values() if judge.misfit(node) is None]
        possible = [
            node
            for node in nodes.values()
            if len(node.pods) < limit
            and all(node.used[name] + amount <= node.room[name] for name, amount in wanted)
        ]
        assert fitting == possible
        if fitting:
            fitting[0].add(pod)
    for node in nodes.values():
        assert all(node.used[name] <= room for name, room in node.room.items())
        held = [pod.needs.demand for pod in node.pods.values()]
        total = {name: sum(dict(item).get(name, 0) for item in held) for name in sizes_of(rooms)}
        assert total == {name: node.used[name] for name in total}


def sizes_of(rooms):
    return rooms[0].keys()
