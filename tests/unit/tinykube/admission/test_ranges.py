"""The words are those of a real API server (1.37)."""

from __future__ import annotations

import pytest

from tinykube import kinds
from tinykube.status import ApiError

CONTAINER = {
    "type": "Container",
    "min": {"cpu": "100m"},
    "max": {"cpu": "1"},
    "default": {"memory": "1Gi"},
    "maxLimitRequestRatio": {"cpu": "2"},
}
POD = {"type": "Pod", "max": {"cpu": "1500m", "memory": "3Gi"}}
CLAIM = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}


def limits(*items):
    return {"metadata": {"name": "l"}, "spec": {"limits": list(items)}}


def body(*resources):
    containers = [
        {"name": name, "image": "b", "resources": item}
        for name, item in zip("cd", resources, strict=False)
    ]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers}}


@pytest.mark.parametrize(
    ("item", "faults"),
    [
        (
            {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}},
            [
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max '
                "value 1",
                'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater '
                "than default request value 1",
                'spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than '
                "default value 1",
            ],
        ),
        (
            {"type": "Pod", "default": {"cpu": "1"}},
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            {"type": "X"},
            [
                'spec.limits[0].type: Invalid value: "X": must be a standard limit type or fully '
                "qualified"
            ],
        ),
        (
            {"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}},
            [
                'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 '
                "is greater than max value 1",
                'spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than '
                "max value 1",
            ],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}},
            [
                'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is '
                "less than 1"
            ],
        ),
        (
            {"type": "PersistentVolumeClaim"},
            [
                "spec.limits[0].limits: Required value: either minimum or maximum storage value "
                "is required, but neither was provided"
            ],
        ),
    ],
)
def test_refused_ranges(create, item, faults):
    with pytest.raises(ApiError) as caught:
        create(kinds.LIMIT_RANGES, limits(item))
    assert [str(cause) for cause in caught.value.causes] == faults


def test_defaults_follow_from_each_other(create):
    made = create(kinds.LIMIT_RANGES, limits(CONTAINER))
    (item,) = made["spec"]["limits"]
    assert item["default"] == {"memory": "1Gi", "cpu": "1"}
    assert item["defaultRequest"] == {"memory": "1Gi", "cpu": "1"}


def test_a_container_gets_the_defaults(create):
    create(kinds.LIMIT_RANGES, limits(CONTAINER))
    made = create(kinds.PODS, body({}))
    amounts = {"cpu": "1", "memory": "1Gi"}
    (container,) = made["spec"]["containers"]
    assert container["resources"] == {"limits": amounts, "requests": amounts}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for "
        "container c"
    )
    assert made["status"]["qosClass"] == "Guaranteed"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            [{"requests": {"cpu": "50m"}}],
            "[minimum cpu usage per Container is 100m, but request is 50m, cpu max limit to "
            "request ratio per Container is 2, but provided ratio is 20.000000]",
        ),
        (
            [{"limits": {"cpu": "2"}}],
            "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is "
            "1500m, but limit is 2]",
        ),
        (
            [{"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}],
            "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000",
        ),
        (
            [{"limits": {"cpu": "1"}}, {"limits": {"cpu": "1"}}],
            "maximum cpu usage per Pod is 1500m, but limit is 2",
        ),
    ],
)
def test_refused_pods(create, resources, message):
    create(kinds.LIMIT_RANGES, limits(CONTAINER, POD))
    with pytest.raises(ApiError) as caught:
        create(kinds.PODS, body(*resources))
    assert caught.value.message == f'pods "p" is forbidden: {message}'


def test_a_default_below_the_request_is_an_invalid_pod(create):
    create(kinds.LIMIT_RANGES, limits(CONTAINER))
    with pytest.raises(ApiError, match="must be less than or equal to memory limit of 1Gi"):
        create(kinds.PODS, body({"requests": {"memory": "2Gi"}}))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("500Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"),
        ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ("1Gi", ""),
    ],
)
def test_claims(create, size, message):
    create(kinds.LIMIT_RANGES, limits(CLAIM))
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    claim = {"metadata": {"name": "a"}, "spec": spec}
    if not message:
        assert create(kinds.CLAIMS, claim)["spec"]["storageClassName"] == "standard"
        return
    with pytest.raises(ApiError) as caught:
        create(kinds.CLAIMS, claim)
    assert caught.value.message == f'persistentvolumeclaims "a" is forbidden: {message}'
