"""The operator's options, read from plain data."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_jobs import GpuMode, GpuOptions, Placement, PodOptions, PodOptionsError
from toolkit_jobs.options import read

BASE = PodOptions("ml", {"app": "x"})


def test_nothing_changes_nothing() -> None:
    assert read({}, BASE) == BASE


def test_everything() -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists"}
    found = read(
        {
            "gpu": {
                "mode": "dra",
                "resource": "nvidia.com/mig-1g.10gb",
                "count": 2,
                "memory": "8Gi",
                "device_class": "mig.nvidia.com",
            },
            "node_selector": {"pool": "ml"},
            "tolerations": [toleration],
            "affinity": {"nodeAffinity": {}},
            "runtime_class": "nvidia",
            "priority_class": "batch",
            "queue": "ml",
            "shm_size": "2Gi",
            "service_account": "steps",
        },
        BASE,
    )
    assert found == PodOptions(
        "ml",
        {"app": "x"},
        gpus=GpuOptions(GpuMode.DRA, "nvidia.com/mig-1g.10gb", 2, "8Gi", "mig.nvidia.com"),
        placement=Placement(
            {"pool": "ml"}, (toleration,), {"nodeAffinity": {}}, "nvidia", "batch"
        ),
        queue="ml",
        shm_size="2Gi",
        service_account="steps",
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"gpus": {}}, "unknown option gpus"),
        ({"gpu": {"kind": "a"}}, "unknown option gpu.kind"),
        ({"gpu": 1}, "gpu must be a map"),
        ({"gpu": {"mode": "host"}}, "gpu.mode must be one of none, extended, dra"),
        ({"gpu": {"count": -1}}, "gpu.count must be a whole number"),
        ({"gpu": {"count": True}}, "gpu.count must be a whole number"),
        ({"gpu": {"memory": "a lot"}}, "gpu.memory: "),
        ({"gpu": {"memory": "1"}}, "gpu.memory must be at least 1Mi"),
        ({"gpu": {"mode": "dra"}}, "gpu.device_class must be given"),
        ({"gpu": {"resource": 1}}, "gpu.resource must be a line of text"),
        ({"node_selector": {"a": 1}}, "node_selector must be a map of labels"),
        ({"tolerations": {}}, "tolerations must be a list"),
        ({"tolerations": ["a"]}, "tolerations[0] must be a map"),
        ({"affinity": []}, "affinity must be a map"),
        ({"queue": ["a"]}, "queue must be a line of text"),
        ({"shm_size": "big"}, "shm_size: "),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(PodOptionsError) as caught:
        read(data, BASE)
    assert problem in str(caught.value)
