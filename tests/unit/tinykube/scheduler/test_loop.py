import pytest

from tinykube import kinds
from tinykube.options import Deletion
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


@pytest.fixture
def important(create, load):
    """The name of a priority class of a given value."""

    def make(value, policy="PreemptLowerPriority"):
        name = f"p{value}"
        if load(kinds.PRIORITY_CLASSES, name) is None:
            body = {"metadata": {"name": name}, "value": value, "preemptionPolicy": policy}
            create(kinds.PRIORITY_CLASSES, body)
        return name

    return make


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
        ({"memory": "9Gi"}, "1 Insufficient memory."),
        ({"memory": "9Gi", "cpu": "5"}, "1 Insufficient cpu, 1 Insufficient memory."),
        ({"example.com/gpu": "1"}, "1 Insufficient example.com/gpu."),
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
    # What no node of this size could ever hold cannot be had by pushing others away either.
    unhelpful = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    assert why("one") == f"0/1 nodes are available: {message} {unhelpful}"


def test_no_node(create, pod, settle, why):
    create(kinds.PODS, pod())
    settle()
    assert why("one") == "no nodes available to schedule pods"


def test_a_pod_waits_until_its_claims_are_bound(
    create, pod, node, settle, why, where, registry, scheduler
):
    node()
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    create(kinds.PODS, pod(volumes=[volume]))
    create(kinds.PODS, pod("two"))
    settle()
    assert where("two") == "node"
    unhelpful = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."

    def said(reason):
        settle()
        return why("one") == f"0/1 nodes are available: {reason}. {unhelpful}"

    assert said('persistentvolumeclaim "data" not found')
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    create(kinds.CLAIMS, {"metadata": {"name": "data"}, "spec": spec})
    assert said("pod has unbound immediate PersistentVolumeClaims")

    def phase(value):
        def change(current):
            current["spec"]["volumeName"] = "pv"
            current["status"]["phase"] = value
            return True

        registry.modify(kinds.CLAIMS, "default", "data", change)

    phase("Lost")
    assert said('persistentvolumeclaim "data" bound to non-existent persistentvolume "pv"')
    phase("Bound")
    settle()
    assert where("one") == "node"


def test_a_pod_waits_for_the_claim_of_its_own_volume(create, pod, node, settle, why, registry):
    node()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    create(kinds.PODS, pod(volumes=[volume]))
    settle()
    waiting = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "one-v"'
    assert f"0/1 nodes are available: {waiting}." in why("one")
    create(kinds.CLAIMS, {"metadata": {"name": "one-v"}, "spec": spec})
    settle()
    assert 'PVC "default/one-v" was not created for pod "one"' in why("one")

    def own(current):
        uid = registry.store.load(kinds.PODS.key, "default", "one")["metadata"]["uid"]
        current["metadata"]["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": uid, "controller": True}
        ]
        return True

    registry.modify(kinds.CLAIMS, "default", "one-v", own)
    settle()
    assert "unbound immediate PersistentVolumeClaims" in why("one")


def test_a_claim_that_is_being_deleted_is_for_no_new_pod(create, pod, node, settle, why, registry):
    node()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    create(kinds.CLAIMS, {"metadata": {"name": "data"}, "spec": spec})
    registry.delete(kinds.CLAIMS, "default", "data", Deletion())
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    create(kinds.PODS, pod(volumes=[volume]))
    settle()
    assert 'persistentvolumeclaim "data" is being deleted' in why("one")


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
    assert why("two") == (
        "0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: "
        "1 No preemption victims found for incoming pod."
    )


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


GPU = "nvidia.com/gpu"


def test_three_nodes_and_a_sentence_for_each_reason(create, pod, node, settle, why, registry):
    for name, gpus in (("a", "1"), ("b", "8"), ("c", "8")):
        node(name=name, **{GPU: gpus})
    for name in ("b", "c"):
        registry.modify(kinds.NODES, "", name, taint)
    body = pod(requests={GPU: "2"})
    body["spec"]["containers"][0]["resources"]["limits"] = {GPU: "2"}
    create(kinds.PODS, body)
    settle()
    assert why("one") == (
        "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated "
        "taint(s). preemption: 0/3 nodes are available: 3 Preemption is not helpful for "
        "scheduling."
    )


def taint(node):
    node["spec"] = {"taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}]}
    return True


def test_a_toleration_lets_a_pod_in(create, pod, node, settle, where, registry):
    node()
    registry.modify(kinds.NODES, "", "node", taint)
    create(kinds.PODS, pod("out"))
    create(kinds.PODS, pod("in", tolerations=[{"key": GPU, "operator": "Exists"}]))
    settle()
    assert (where("out"), where("in")) == (None, "node")


def test_the_emptier_node_is_taken(create, pod, node, settle, where):
    node(name="a")
    node(name="b")
    for name in ("one", "two", "three", "four"):
        create(kinds.PODS, pod(name, requests={"cpu": "1"}))
    settle()
    assert sorted(where(name) for name in ("one", "two", "three", "four")) == ["a", "a", "b", "b"]


def test_the_more_important_comes_first(create, pod, node, settle, where, important):
    node(cpu="1")
    for name, priority in (("low", 1), ("high", 5)):
        create(kinds.PODS, pod(name, requests={"cpu": "1"}, priorityClassName=important(priority)))
    settle()
    assert (where("low"), where("high")) == (None, "node")


def test_a_gated_pod_is_let_alone_until_its_gates_are_gone(
    create, pod, node, settle, where, load, registry
):
    node()
    create(kinds.PODS, pod(schedulingGates=[{"name": "example.com/wait"}]))
    settle()
    (condition,) = load(kinds.PODS, "one")["status"]["conditions"]
    assert (condition["reason"], condition["message"]) == (
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
    )

    def open_(current):
        del current["spec"]["schedulingGates"]
        return True

    registry.modify(kinds.PODS, "default", "one", open_)
    settle()
    assert where("one") == "node"


def test_pods_of_another_scheduler_are_its_own(create, pod, node, settle, where, load):
    node()
    create(kinds.PODS, pod(schedulerName="other"))
    settle()
    assert where("one") is None
    assert "conditions" not in load(kinds.PODS, "one")["status"]


def test_lesser_pods_make_room(create, pod, node, settle, where, load, store, registry, important):
    node(cpu="2")
    create(kinds.PODS, pod("least", requests={"cpu": "1"}, priorityClassName=important(1)))
    create(kinds.PODS, pod("lesser", requests={"cpu": "1"}, priorityClassName=important(2)))
    settle()
    create(kinds.PODS, pod("great", requests={"cpu": "1"}, priorityClassName=important(10)))
    settle()
    great, victim = load(kinds.PODS, "great"), load(kinds.PODS, "least")
    assert great["status"]["nominatedNodeName"] == "node"
    assert "found a potential placement" in " ".join(
        row.data for row in store.rows(kinds.EVENTS.key)
    )
    assert victim["metadata"]["deletionTimestamp"]
    assert any(item["type"] == "DisruptionTarget" for item in victim["status"]["conditions"])
    assert "deletionTimestamp" not in load(kinds.PODS, "lesser")["metadata"]
    # The room is kept for it: another one that comes meanwhile does not get it.
    create(kinds.PODS, pod("sly", requests={"cpu": "1"}, priorityClassName=important(3)))
    registry.delete(kinds.PODS, "default", "least", Deletion(grace=0))
    settle()
    assert (where("great"), where("sly")) == ("node", None)
    assert "nominatedNodeName" not in load(kinds.PODS, "great")["status"]


def test_who_may_not_preempt_waits(create, pod, node, settle, why, load, important):
    node(cpu="1")
    create(kinds.PODS, pod("low", requests={"cpu": "1"}))
    settle()
    body = pod("high", requests={"cpu": "1"}, priorityClassName=important(9, "Never"))
    create(kinds.PODS, body)
    settle()
    assert why("high").endswith("preemption: not eligible due to preemptionPolicy=Never.")
    assert "deletionTimestamp" not in load(kinds.PODS, "low")["metadata"]


def test_a_friend_that_comes_lets_a_pod_in(create, pod, node, settle, where, registry):
    node(labels={"kubernetes.io/hostname": "node"})
    term = {
        "labelSelector": {"matchLabels": {"app": "db"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    create(kinds.PODS, pod("web", affinity=affinity))
    settle()
    assert where("web") is None
    database = pod("db")
    database["metadata"]["labels"] = {"app": "db"}
    create(kinds.PODS, database)
    settle()
    assert where("web") == "node"


def test_a_status_that_changes_nothing_tries_nothing_again(create, pod, node, settle, scheduler):
    node(cpu="1")
    create(kinds.PODS, pod(requests={"cpu": "4"}))
    settle()
    assert not scheduler._todo


def test_many_of_a_kind_that_wait_are_told_once(create, pod, node, settle, registry, store):
    node(cpu="1")
    for index in range(5):
        create(kinds.PODS, pod(f"p{index}", requests={"cpu": "1"}))
    settle()
    before = store.version

    def touch(current):
        current["metadata"]["labels"] = {"a": "b"}
        return True

    registry.modify(kinds.NODES, "", "node", touch)
    settle()
    assert store.version == before + 1


def test_it_can_be_read_again_while_pods_wait_to_be_looked_at(
    create, pod, node, scheduler, settle, where
):
    node()
    for name in ("one", "two", "three"):
        create(kinds.PODS, pod(name))
    scheduler.load()
    settle()
    assert {where(name) for name in ("one", "two", "three")} == {"node"}
