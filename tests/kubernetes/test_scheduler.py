"""tinykube's scheduler against the real one: the same nodes and pods, the same words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from random import Random

import lightkube
import pytest
from lightkube.codecs import from_dict
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Node, Pod
from lightkube.types import PatchType

from tinykube import bootstrap, kinds
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.registry import Registry
from tinykube.scheduler import Scheduler, requirements
from tinykube.scheduler.cluster import Cluster, NodeInfo
from tinykube.scheduler.filters import Filter
from tinykube.scheduler.loop import sentence
from tinykube.store import Store

from .cluster.plane import ControlPlane

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
GPU = "nvidia.com/gpu"
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
SECONDS = 40.0


def node(name, zone, *, taints=(), unschedulable=False, **room):
    labels = {HOST: name, ZONE: zone, "gpus": room.get(GPU, "0")}
    size = {"cpu": "4", "memory": "8Gi", "pods": "10", **room}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "capacity": size,
            "allocatable": size,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


# Of odd sizes, so that there is one best place for each pod.
NODES = [
    node("a1", "a", cpu="8"),
    node("a2", "a", **{GPU: "2"}),
    node("b1", "b", cpu="2", memory="2Gi"),
    node(
        "b2",
        "b",
        taints=[{"key": GPU, "value": "present", "effect": "NoSchedule"}],
        **{GPU: "8"},
    ),
    node("c1", "c", unschedulable=True),
]


def pod(name, requests=None, labels=None, **spec):
    resources = {"requests": requests or {}, "limits": {}}
    resources["limits"] = {key: value for key, value in (requests or {}).items() if "/" in key}
    container = {"name": "main", "image": "busybox", "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def on(key, operator, *values):
    expression = {"key": key, "operator": operator, "values": list(values)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"affinity": {"nodeAffinity": {HARD: terms}}}


def named(name):
    field = {"key": "metadata.name", "operator": "In", "values": [name]}
    return {
        "affinity": {"nodeAffinity": {HARD: {"nodeSelectorTerms": [{"matchFields": [field]}]}}}
    }


def company(kind, topology, **labels):
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": topology}
    return {"affinity": {kind: {HARD: [term]}}}


def spread(topology, skew=1, **labels):
    constraint = {
        "maxSkew": skew,
        "topologyKey": topology,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    return {"topologySpreadConstraints": [constraint]}


CLASSES = [
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "preemptionPolicy": policy,
    }
    for name, value, policy in (
        ("never", 5, "Never"),
        ("low", 10, "PreemptLowerPriority"),
        ("high", 1000, "PreemptLowerPriority"),
    )
]
TOLERATES = {"tolerations": [{"key": GPU, "operator": "Exists"}]}
# In their order: each finds the world as those before it have left it.
PODS = [
    pod("large", {"cpu": "9"}),
    pod("many-gpus", {GPU: "9"}),
    pod("three-gpus", {GPU: "3"}),
    pod("three-gpus-tolerated", {GPU: "3"}, **TOLERATES),
    pod("two-gpus", {GPU: "2"}),
    pod("one-gpu-more", {GPU: "1"}),
    pod("one-gpu-never", {GPU: "1"}, priorityClassName="never"),
    pod("no-such-label", nodeSelector={"disk": "ssd"}),
    pod("not-in", **on(ZONE, "NotIn", "a", "b")),
    pod("more-than", {"cpu": "1"}, **on("gpus", "Gt", "7"), **TOLERATES),
    pod("by-name", {"memory": "1Gi"}, **named("b1")),
    pod("by-name-too-large", {"memory": "5Gi"}, **named("b1")),
    pod("by-no-name", **named("none")),
    pod("cordoned", **on(ZONE, "In", "c")),
    pod("first", {"cpu": "100m"}, {"app": "x"}, nodeSelector={HOST: "a1"}),
    pod(
        "near", {"cpu": "100m"}, nodeSelector={ZONE: "b"}, **company("podAffinity", ZONE, app="x")
    ),
    pod("beside", {"cpu": "100m"}, **company("podAffinity", HOST, app="x")),
    pod(
        "away",
        {"cpu": "100m"},
        nodeSelector={ZONE: "a"},
        **company("podAntiAffinity", ZONE, app="x"),
    ),
    pod(
        "lonely",
        {"cpu": "100m"},
        nodeSelector={HOST: "b1"},
        **company("podAntiAffinity", HOST, app="y"),
    ),
    pod("unwelcome", {"cpu": "100m"}, {"app": "y"}, nodeSelector={HOST: "b1"}),
    # Two nodes are as good for it, and Kubernetes draws lots.
    pod(
        "group-one",
        {"cpu": "100m"},
        {"app": "g"},
        nodeSelector={HOST: "a1"},
        **company("podAffinity", ZONE, app="g"),
    ),
    pod("spread-one", {"cpu": "100m"}, {"app": "s"}, nodeSelector={HOST: "a1"}),
    pod(
        "spread-two",
        {"cpu": "100m"},
        {"app": "s"},
        nodeSelector={ZONE: "a"},
        **spread(ZONE, app="s"),
    ),
    pod("spread-nowhere", {"cpu": "100m"}, {"app": "s"}, **spread("rack", app="s")),
    pod("filling", {"cpu": "3900m"}, nodeSelector={HOST: "a2"}),
    pod("no-room", {"cpu": "1"}, nodeSelector={HOST: "a2"}),
]


@pytest.fixture(scope="module")
def real(program, tmp_path_factory) -> Iterator[lightkube.Client]:
    """A control plane of its own: sentences count all nodes."""
    with ControlPlane(program("controlplane"), tmp_path_factory.mktemp("scheduler")) as plane:
        client = plane.client()
        # Who is not heard of is lost after a while: the nodes are as good as dead by then, and
        # the controller would taint them under way.
        plane.processes["kube-controller-manager"].stop()
        for body in (*CLASSES, *NODES):
            client.create(from_dict(body))
        for body in NODES:
            # A new node is tainted until its controller, which is gone, has seen it.
            patch = {"spec": {"taints": body["spec"]["taints"] or None}}
            client.patch(Node, body["metadata"]["name"], patch, patch_type=PatchType.MERGE)
        yield client
        client.close()


def judged(body):
    """Where a pod is, or why it is nowhere; None if nobody has looked at it yet."""
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled":
            return body["spec"].get("nodeName") or condition.get("message")
    return None


def ask(client, body):
    client.create(from_dict(body))
    name, end = body["metadata"]["name"], time.monotonic() + SECONDS
    while (found := judged(client.get(Pod, name, namespace="default").to_dict())) is None:
        assert time.monotonic() < end, f"nobody has looked at {name}"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def expected(real):
    """What the real scheduler says of each pod."""
    return {body["metadata"]["name"]: ask(real, body) for body in PODS}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What tinykube's says."""
    store = Store(tmp_path_factory.mktemp("tiny") / "state.db")
    registry = Registry(store)
    bootstrap.run(registry)

    def create(resource, namespace, body):
        clean = {key: value for key, value in body.items() if key != "status"}
        registry.create(resource, namespace, clean, SYSTEM, Options())

    for body in CLASSES:
        create(kinds.PRIORITY_CLASSES, "", body)
    for body in NODES:
        create(kinds.NODES, "", body)

        def fill(current, status=body["status"]):
            current["status"] = status
            return True

        registry.modify(kinds.NODES, "", body["metadata"]["name"], fill)
    scheduler = Scheduler(registry)
    scheduler.load()
    said = {}
    for body in PODS:
        name = body["metadata"]["name"]
        create(kinds.PODS, "default", body)
        while scheduler.step():
            pass
        said[name] = judged(json.loads(registry.get(kinds.PODS, "default", name)))
    store.close()
    return said


@pytest.mark.parametrize("name", [body["metadata"]["name"] for body in PODS])
def test_both_say_the_same(expected, found, name):
    assert found[name] == expected[name]


def test_lesser_pods_make_room_on_both(real):
    """A pod of a high class pushes away what it must, and nothing more."""
    for index in (1, 2):
        ask(
            real,
            pod(
                f"low-{index}",
                {"memory": "1Gi"},
                priorityClassName="low",
                nodeSelector={HOST: "a2"},
            ),
        )
    high = pod("high", {"memory": "7Gi"}, priorityClassName="high", nodeSelector={HOST: "a2"})
    real.create(from_dict(high))
    end = time.monotonic() + SECONDS
    while True:
        try:
            names = {item.metadata.name for item in real.list(Pod, namespace="default")}
        except ApiError:
            names = set()
        message = judged(real.get(Pod, "high", namespace="default").to_dict())
        if message is not None and len(names & {"low-1", "low-2"}) == 1:
            break
        assert time.monotonic() < end, "nobody made room"
        time.sleep(0.05)


KEYS = (ZONE, HOST, "rack")
APPS = ("x", "y", "z")


def drawn(random, index):
    """A pod of any wishes."""

    def selector():
        return {"matchLabels": {"app": random.choice(APPS)}}

    spec = {}
    requests = random.choice(
        [{}, {"cpu": "100m"}, {"cpu": "700m"}, {"memory": "900Mi"}, {GPU: "1"}, {GPU: "3"}]
    )
    if random.random() < 0.3:
        spec |= TOLERATES
    if random.random() < 0.2:
        spec["nodeSelector"] = {ZONE: random.choice(("a", "b", "d"))}
    affinity = {}
    if random.random() < 0.3:
        operator = random.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
        values = {"In": ["a", "b"], "NotIn": ["a"], "Gt": ["1"], "Lt": ["1"]}.get(operator, [])
        key = "gpus" if operator in ("Gt", "Lt") else random.choice(KEYS)
        affinity["nodeAffinity"] = on(key, operator, *values)["affinity"]["nodeAffinity"]
    for kind in ("podAffinity", "podAntiAffinity"):
        if random.random() < 0.15:
            term = {"labelSelector": selector(), "topologyKey": random.choice(KEYS)}
            if random.random() < 0.2:
                term["namespaceSelector"] = {}
            affinity[kind] = {HARD: [term]}
    if affinity:
        spec["affinity"] = affinity
    if random.random() < 0.25:
        constraint = {
            "maxSkew": random.choice([1, 2]),
            "topologyKey": random.choice(KEYS),
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": selector(),
        }
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if random.random() < 0.3:
                constraint[field] = random.choice(["Honor", "Ignore"])
        if random.random() < 0.2:
            constraint["minDomains"] = random.choice([2, 4])
        spec["topologySpreadConstraints"] = [constraint]
    return pod(f"drawn-{index}", requests, {"app": random.choice(APPS)}, **spec)


@pytest.mark.parametrize("seed", [1, 2])
def test_pods_of_any_wishes(real, seed):
    """Among equally good nodes the real one takes any: what it takes must be one that fits."""
    random = Random(seed)
    for item in real.list(Pod, namespace="default"):
        real.delete(Pod, item.metadata.name, namespace="default", grace_period=0)
    cluster = Cluster({body["metadata"]["name"]: NodeInfo.read(body) for body in NODES})
    cluster.spaces = {"default": {}}
    bound = 0
    for index in range(60):
        body = drawn(random, index)
        said = ask(real, body)
        info = requirements.read(
            real.get(Pod, body["metadata"]["name"], namespace="default").to_dict()
        )
        judge = Filter(cluster, info)
        misfits = {name: judge.misfit(item) for name, item in cluster.nodes.items()}
        fitting = [name for name, misfit in misfits.items() if misfit is None]
        if fitting:
            assert said in fitting, (body, said)
            cluster.nodes[said].add(info)
            bound += 1
        else:
            reasons = sentence(len(NODES), (misfit.reasons for misfit in misfits.values()))
            assert said.startswith(f"{reasons} preemption: "), (body, said)
            # It would be tried again whenever another one comes.
            real.delete(Pod, body["metadata"]["name"], namespace="default", grace_period=0)
    assert 15 < bound < 55
