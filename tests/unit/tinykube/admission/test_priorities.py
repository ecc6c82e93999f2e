"""The words are those of a real API server (1.37)."""

from __future__ import annotations

import pytest

from tinykube import kinds
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.status import ApiError


def priority(name, value, **fields):
    return {"metadata": {"name": name}, "value": value, **fields}


def test_a_class_gives_its_priority(create, pod):
    create(kinds.PRIORITY_CLASSES, priority("high", 5, preemptionPolicy="Never"))
    spec = create(kinds.PODS, pod(priorityClassName="high"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (5, "Never")


def test_without_a_class_the_default_counts(create, pod):
    spec = create(kinds.PODS, pod())["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert "priorityClassName" not in spec
    create(kinds.PRIORITY_CLASSES, priority("usual", 7, globalDefault=True))
    spec = create(kinds.PODS, pod("two"))["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (7, "usual")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"priorityClassName": "nope"}, "no PriorityClass with name nope was found"),
        (
            {"priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; priority "
            "admission controller computed 0 from the given PriorityClass name",
        ),
        ({"runtimeClassName": "nope"}, 'pod rejected: RuntimeClass "nope" not found'),
    ],
)
def test_refused_pods(create, pod, spec, message):
    with pytest.raises(ApiError) as caught:
        create(kinds.PODS, pod("p", **spec))
    assert caught.value.code == 403
    assert caught.value.message == f'pods "p" is forbidden: {message}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            priority("system-x", 1),
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved "
            "for system use only. error: system-x is not a known system priority class",
        ),
        (
            priority("x", 1000000001),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            priority("x", -5, preemptionPolicy="Foo"),
            'preemptionPolicy: Unsupported value: "Foo": supported values: '
            '"PreemptLowerPriority", "Never"',
        ),
    ],
)
def test_refused_classes(create, body, message):
    with pytest.raises(ApiError) as caught:
        create(kinds.PRIORITY_CLASSES, body)
    assert caught.value.message.endswith(f"is invalid: {message}")


def test_one_default_and_no_other_value(create, registry):
    made = create(kinds.PRIORITY_CLASSES, priority("w", 7, globalDefault=True))
    with pytest.raises(ApiError, match="PriorityClass w is already marked as default"):
        create(kinds.PRIORITY_CLASSES, priority("w2", 7, globalDefault=True))
    with pytest.raises(ApiError, match="value: Forbidden: may not be changed in an update"):
        registry.update(kinds.PRIORITY_CLASSES, "", "w", {**made, "value": 8}, SYSTEM, Options())


def test_the_classes_of_the_system_are_there(load, create, pod):
    assert load(kinds.PRIORITY_CLASSES, "system-node-critical")["value"] == 2000001000
    spec = create(kinds.PODS, pod(priorityClassName="system-cluster-critical"))["spec"]
    assert spec["priority"] == 2000000000


def test_a_runtime_class_chooses_nodes(create, pod):
    scheduling = {"nodeSelector": {"gpu": "yes"}, "tolerations": [{"key": "gpu"}]}
    body = {"metadata": {"name": "nvidia"}, "handler": "nvidia", "scheduling": scheduling}
    create(kinds.RUNTIME_CLASSES, body)
    spec = create(kinds.PODS, pod(runtimeClassName="nvidia"))["spec"]
    assert spec["nodeSelector"] == {"gpu": "yes"}
    assert {"key": "gpu"} in spec["tolerations"]
    with pytest.raises(ApiError, match="conflict"):
        create(kinds.PODS, pod("two", runtimeClassName="nvidia", nodeSelector={"gpu": "no"}))
    with pytest.raises(ApiError, match="handler: Required value"):
        create(kinds.RUNTIME_CLASSES, {"metadata": {"name": "x"}})
