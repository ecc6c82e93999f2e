"""Manifests: what a request says wins, what it leaves open the options fill in."""

from __future__ import annotations

import pytest

from toolkit_jobs import (
    ClaimMount,
    EmptyMount,
    ImageMount,
    PodOptions,
    PodRequest,
    Resources,
    SecretKey,
)
from toolkit_jobs.pod import manifest

OPTIONS = PodOptions("ml", {"app": "x"}, Resources("100m", "128Mi", "", "1Gi"))


def test_a_manifest() -> None:
    request = PodRequest(
        "p",
        "image",
        ("run", "it"),
        env={"A": "b", "T": SecretKey("s", "k")},
        mounts=(
            ClaimMount("/data", "claim", "a/b", read_only=True),
            ClaimMount("/data/own", "claim", "a/b/c"),
            ImageMount("/tools", "tools:1", "opt"),
            EmptyMount("/scratch"),
        ),
        labels={"run": "r", "app": "not mine to set"},
        annotations={"n": "m"},
        deadline=60,
    )
    found = manifest(request, OPTIONS)
    assert found["metadata"]["labels"] == {"run": "r", "app": "x"}
    spec = found["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 60
    (container,) = spec["containers"]
    assert container["env"] == [
        {"name": "A", "value": "b"},
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert spec["volumes"] == [
        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "volume-1", "image": {"reference": "tools:1"}},
        {"name": "volume-2", "emptyDir": {}},
    ]
    assert container["volumeMounts"] == [
        {"name": "volume-0", "mountPath": "/data", "subPath": "a/b", "readOnly": True},
        {"name": "volume-0", "mountPath": "/data/own", "subPath": "a/b/c"},
        {"name": "volume-1", "mountPath": "/tools", "subPath": "opt", "readOnly": True},
        {"name": "volume-2", "mountPath": "/scratch"},
    ]


@pytest.mark.parametrize(
    ("own", "found"),
    [
        (
            Resources(),
            {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        ),
        (
            Resources(memory_limit="64Mi"),
            {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
        ),
        (
            Resources("2", "4Gi"),
            {"requests": {"cpu": "2", "memory": "4Gi"}},
        ),
    ],
)
def test_defaults_never_contradict_the_request(own: Resources, found: object) -> None:
    assert own.over(OPTIONS.resources).manifest() == found


def test_the_selector() -> None:
    assert PodOptions("n", {"b": "2", "a": "1"}).selector == "a=1,b=2"
