"""Placement: how a pod's own word joins the operator's."""

from __future__ import annotations

from toolkit_jobs import Placement

NODE = "requiredDuringSchedulingIgnoredDuringExecution"
SPOT = {"key": "spot", "operator": "Exists"}
GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
EXPRESSION = {"key": "zone", "operator": "In", "values": ["a"]}
MORE = {"key": "memory", "operator": "Gt", "values": ["1"]}


def test_labels_and_kinds_of_affinity_are_compared_one_by_one() -> None:
    own = Placement({"pool": "mine"}, affinity={"podAffinity": {"a": 1}}, runtime_class="kata")
    defaults = Placement(
        {"pool": "theirs", "zone": "a"},
        affinity={"podAffinity": {"b": 1}, "nodeAffinity": {"c": 1}},
        runtime_class="nvidia",
        priority_class="batch",
    )
    assert own.over(defaults) == Placement(
        {"pool": "mine", "zone": "a"},
        affinity={"podAffinity": {"a": 1}, "nodeAffinity": {"c": 1}},
        runtime_class="kata",
        priority_class="batch",
    )


def test_tolerations_of_both_hold_each_once() -> None:
    found = Placement(tolerations=(GPU,)).over(Placement(tolerations=(SPOT, dict(GPU))))
    assert found.tolerations == (GPU, SPOT)


def test_a_requirement_goes_into_every_term() -> None:
    terms = [{"matchExpressions": [EXPRESSION]}, {"matchFields": [EXPRESSION]}]
    given = Placement(affinity={"nodeAffinity": {NODE: {"nodeSelectorTerms": terms}}})
    found = given.requiring(MORE).affinity["nodeAffinity"][NODE]["nodeSelectorTerms"]
    assert [each["matchExpressions"] for each in found] == [[EXPRESSION, MORE], [MORE]]
    assert terms == [{"matchExpressions": [EXPRESSION]}, {"matchFields": [EXPRESSION]}]
    assert given.requiring(None) is given


def test_a_requirement_alone() -> None:
    found = Placement().requiring(MORE).affinity
    assert found == {"nodeAffinity": {NODE: {"nodeSelectorTerms": [{"matchExpressions": [MORE]}]}}}


def test_a_manifest_says_only_what_is_asked() -> None:
    assert Placement().manifest() == {}
    assert Placement({"a": "b"}, (SPOT,), {"nodeAffinity": {}}, "r", "p").manifest() == {
        "nodeSelector": {"a": "b"},
        "tolerations": [SPOT],
        "affinity": {"nodeAffinity": {}},
        "runtimeClassName": "r",
        "priorityClassName": "p",
    }
