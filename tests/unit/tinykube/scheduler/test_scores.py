from tinykube.scheduler import scores

SOFT = "preferredDuringSchedulingIgnoredDuringExecution"


def test_the_emptier_node_is_better_and_names_decide_among_equals(info, machine, cluster):
    one, two = machine("a"), machine("b")
    assert scores.best(cluster(one, two), info(), [two, one]) is one
    one.add(info(requests={"cpu": "2", "memory": "4Gi"}))
    assert scores.best(cluster(one, two), info(), [one, two]) is two


def test_a_preference_outweighs_room(info, machine, cluster):
    wish = {
        "weight": 50,
        "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]},
    }
    pod = info(affinity={"nodeAffinity": {SOFT: [wish]}})
    busy = machine("b", [info(requests={"cpu": "2"})], {"disk": "ssd"})
    assert scores.best(cluster(machine("a"), busy), pod, [machine("a"), busy]) is busy


def test_a_taint_that_only_prefers_is_avoided(info, machine, cluster):
    soft = machine("a", taints=[{"key": "slow", "effect": "PreferNoSchedule"}])
    other = machine("b")
    assert scores.best(cluster(soft, other), info(), [soft, other]) is other


def test_nearness_and_distance_that_are_preferred(info, machine, cluster):
    def pod(kind):
        term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}
        return info(affinity={kind: {SOFT: [{"weight": 100, "podAffinityTerm": term}]}})

    one = machine("a", [info(labels={"app": "db"})], {"zone": "a"})
    two = machine("b", labels={"zone": "b"})
    nodes = cluster(one, two)
    assert scores.best(nodes, pod("podAffinity"), [one, two]) is one
    assert scores.best(nodes, pod("podAntiAffinity"), [one, two]) is two


def test_spreading_that_is_preferred(info, machine, cluster):
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "a"}},
    }
    pod = info(labels={"app": "a"}, topologySpreadConstraints=[constraint])
    one = machine("a", [info(labels={"app": "a"})], {"zone": "a"})
    two = machine("b", [info(requests={"cpu": "1"})], {"zone": "b"})
    assert scores.best(cluster(one, two), pod, [one, two]) is two
