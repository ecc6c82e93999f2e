from tinykube.scheduler.cluster import Cluster


def test_what_is_added_and_removed_is_counted_once(info, machine):
    node, pod = machine(), info(requests={"cpu": "1500m"})
    node.add(pod)
    node.add(pod)
    assert (node.used["cpu"], node.used["pods"]) == (1500, 1000)
    node.remove(pod.uid)
    node.remove(pod.uid)
    assert (node.used["cpu"], node.used["pods"]) == (0, 0)


def test_a_copy_without_some_leaves_the_original(info, machine):
    one, two = info(requests={"cpu": "1"}), info(requests={"cpu": "2"})
    node = machine(pods=[one, two])
    bare = node.without([one.uid])
    assert (bare.used["cpu"], node.used["cpu"]) == (2000, 3000)
    assert set(node.pods) == {one.uid, two.uid}


def test_room_is_promised_to_those_that_come_first(info, machine):
    node = machine()
    cluster = Cluster({node.name: node})
    waiting = info(requests={"cpu": "1"}, priority=5)
    cluster.nominated = {"node": {waiting.uid: waiting}}
    assert cluster.promised(node, info(priority=1))["cpu"] == 1000
    assert cluster.promised(node, info(priority=9))["cpu"] == 0
    assert cluster.promised(node, waiting)["cpu"] == 0
    cluster.forget(waiting.uid)
    assert cluster.nominated == {}
