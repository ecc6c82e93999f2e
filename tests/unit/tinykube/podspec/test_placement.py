import pytest

from tinykube import podspec
from tinykube.podspec import placement

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
SOFT = "preferredDuringSchedulingIgnoredDuringExecution"


def faults(**spec):
    return [str(cause) for cause in placement.validate({"schedulerName": "x", **spec})]


def node(expression, kind="matchExpressions"):
    return {"affinity": {"nodeAffinity": {HARD: {"nodeSelectorTerms": [{kind: [expression]}]}}}}


def near(**term):
    body = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone", **term}
    return {"affinity": {"podAffinity": {HARD: [body]}}}


def spread(**fields):
    body = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", **fields}
    return {"topologySpreadConstraints": [body]}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        node({"key": "a", "operator": "In", "values": ["b"]}),
        node({"key": "a", "operator": "Gt", "values": ["1"]}),
        node({"key": "metadata.name", "operator": "In", "values": ["b"]}, "matchFields"),
        near(),
        near(namespaceSelector={}, matchLabelKeys=["x"]),
        {"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b"}]},
        spread(minDomains=2, nodeTaintsPolicy="Honor"),
        {"schedulingGates": [{"name": "a.io/b"}]},
    ],
)
def test_what_is_well_formed_is_good(spec):
    assert faults(**spec) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeSelector": {"a b": "c"}}, "spec.nodeSelector: Invalid value"),
        (
            {"affinity": {"nodeAffinity": {HARD: {}}}},
            "nodeSelectorTerms: Required value: must have at least one",
        ),
        (node({"key": "a", "operator": "In"}), "values: Required value: must be specified when"),
        (node({"key": "a", "operator": "Gt", "values": []}), "values: Required value"),
        (node({"key": "a", "operator": "Like"}), "operator: Invalid value"),
        (
            node({"key": "a", "operator": "Exists", "values": ["x"]}),
            "values: Forbidden: may not be specified",
        ),
        (node({"key": "a", "operator": "In", "values": ["b"]}, "matchFields"), "key: Invalid"),
        (node({"key": "metadata.name", "operator": "In"}, "matchFields"), "values: Required"),
        (
            {"affinity": {"nodeAffinity": {SOFT: [{"weight": 0, "preference": {}}]}}},
            "weight: Invalid value: 0: must be in the range 1-100",
        ),
        (near(topologyKey=""), "topologyKey: Required value: can not be empty"),
        (near(namespaces=["A"]), "namespace: Invalid value"),
        (near(labelSelector=None, matchLabelKeys=["x"]), "matchLabelKeys: Forbidden"),
        (near(labelSelector={"matchLabels": {"a": "b c"}}), "matchLabels: Invalid value"),
        ({"tolerations": [{"value": "x"}]}, "operator must be Exists when `key` is empty"),
        ({"tolerations": [{"key": "a", "operator": "Lt"}]}, "operator: Unsupported value"),
        ({"tolerations": [{"key": "a", "effect": "Never"}]}, "effect: Unsupported value"),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]},
            "value must be empty when `operator` is 'Exists'",
        ),
        (
            {"tolerations": [{"key": "a", "tolerationSeconds": 5}]},
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
        (spread(maxSkew=0), "maxSkew: Invalid value: 0: must be greater than zero"),
        (spread(whenUnsatisfiable="Cry"), "whenUnsatisfiable: Unsupported value"),
        (spread(whenUnsatisfiable="ScheduleAnyway", minDomains=2), "can only use minDomains"),
        (spread(nodeAffinityPolicy="x"), "nodeAffinityPolicy: Unsupported value"),
        (
            {"topologySpreadConstraints": spread()["topologySpreadConstraints"] * 2},
            'Duplicate value: "{zone, DoNotSchedule}"',
        ),
        ({"schedulingGates": [{"name": "a"}, {"name": "a"}]}, "Duplicate value"),
        ({"schedulingGates": [{"name": "a"}], "nodeName": "n"}, "nodeName: Forbidden"),
    ],
)
def test_what_is_not_is_named(spec, expected):
    assert any(expected in fault for fault in faults(**spec)), faults(**spec)


def test_tolerations_are_only_added_and_gates_only_removed():
    old = {"tolerations": [{"key": "a", "operator": "Exists"}], "schedulingGates": [{"name": "g"}]}
    more = {"tolerations": [*old["tolerations"], {"operator": "Exists"}]}
    assert list(placement.changed(more, old)) == []
    (fault,) = placement.changed({"tolerations": []}, old)
    assert "existing toleration can not be modified" in str(fault)
    (fault,) = placement.changed({**old, "schedulingGates": [{"name": "h"}]}, old)
    assert "only deletion is allowed, but found new scheduling gate 'h'" in str(fault)


def test_an_outage_is_tolerated_for_five_minutes_unless_the_pod_says_else():
    spec = {}
    podspec.tolerate_outage(spec)
    assert [item["tolerationSeconds"] for item in spec["tolerations"]] == [300, 300]
    own = {"tolerations": [{"operator": "Exists"}]}
    podspec.tolerate_outage(own)
    assert own == {"tolerations": [{"operator": "Exists"}]}


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        ([{"key": "a", "effect": "NoSchedule"}], []),
        ([{"key": "", "effect": "NoSchedule"}], ["key: Invalid value"] * 2),
        ([{"key": "a"}], ["effect: Required value"]),
        ([{"key": "a", "effect": "x"}], ["effect: Unsupported value"]),
        ([{"key": "a", "effect": "NoSchedule"}] * 2, ["taints must be unique by key and effect"]),
    ],
)
def test_taints(taints, expected):
    found = [str(cause) for cause in podspec.taints("spec.taints", taints)]
    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))
