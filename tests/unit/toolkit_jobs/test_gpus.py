"""GPUs: whose word holds, and how a manifest says it."""

from __future__ import annotations

import pytest

from toolkit_jobs import GpuMode, GpuOptions, GpuRequest
from toolkit_jobs.gpus import Gpus, resolve

ONE = GpuOptions(count=1, memory="16Gi")
DEVICES = GpuOptions(GpuMode.DRA, count=2, memory="16Gi", device_class="gpu.nvidia.com")
NONE = GpuOptions(GpuMode.NONE, count=4)
GPU = "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("request_", "options", "found"),
    [
        (GpuRequest(), GpuOptions(), Gpus()),
        (GpuRequest(), ONE, Gpus(1, GPU, "16Gi")),
        (GpuRequest(0), ONE, Gpus()),
        (GpuRequest(3), ONE, Gpus(3, GPU, "16Gi")),
        (GpuRequest(memory="40Gi"), ONE, Gpus(1, GPU, "40Gi")),
        (GpuRequest(2, "amd.com/gpu"), ONE, Gpus(2, "amd.com/gpu")),
        (GpuRequest(resource="amd.com/gpu"), GpuOptions(), Gpus(1, "amd.com/gpu")),
        (GpuRequest(resource=GPU), GpuOptions(count=2), Gpus(2, GPU)),
        (GpuRequest(), NONE, Gpus()),
        (GpuRequest(2), NONE, Gpus(2, GPU)),
        (GpuRequest(resource=GPU), NONE, Gpus(1, GPU)),
        (GpuRequest(), DEVICES, Gpus(2, GPU, "16Gi", "gpu.nvidia.com")),
        (GpuRequest(1, GPU), DEVICES, Gpus(1, GPU, "16Gi", "gpu.nvidia.com")),
        (GpuRequest(1, "habana.ai/gaudi"), DEVICES, Gpus(1, "habana.ai/gaudi")),
    ],
)
def test_the_request_wins_field_by_field(
    request_: GpuRequest, options: GpuOptions, found: Gpus
) -> None:
    assert resolve(request_, options) == found


def test_an_extended_resource_is_a_limit() -> None:
    assert Gpus(2, "nvidia.com/mig-1g.10gb").limits == {"nvidia.com/mig-1g.10gb": "2"}
    assert Gpus(2, GPU).template({}) is None
    assert Gpus().limits == {}


@pytest.mark.parametrize(
    ("resource", "label"),
    [
        (GPU, "nvidia.com/gpu.memory"),
        ("nvidia.com/gpu.shared", "nvidia.com/gpu.memory"),
        ("nvidia.com/mig-1g.10gb", "nvidia.com/mig-1g.10gb.memory"),
    ],
)
def test_memory_is_a_label_of_the_node(resource: str, label: str) -> None:
    found = Gpus(1, resource, "8Gi").node_requirement
    assert found == {"key": label, "operator": "Gt", "values": ["8191"]}


def test_memory_that_no_label_tells_of() -> None:
    assert Gpus(1, "amd.com/gpu", "8Gi").node_requirement is None
    assert Gpus(0, GPU, "8Gi").node_requirement is None
    assert Gpus(1, GPU, "8Gi", "gpu.nvidia.com").node_requirement is None


def test_a_device_is_claimed_by_a_template() -> None:
    found = Gpus(2, GPU, "16Gi", "gpu.nvidia.com").template({"app": "x"})
    assert found is not None
    assert found["metadata"]["labels"] == {"app": "x"}
    (request,) = found["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["deviceClassName"] == "gpu.nvidia.com"
    assert request["exactly"]["count"] == 2
    (selector,) = request["exactly"]["selectors"]
    assert 'quantity("16Gi")' in selector["cel"]["expression"]
    assert Gpus(2, GPU, "16Gi", "gpu.nvidia.com").limits == {}


def test_a_template_is_named_by_what_is_in_it() -> None:
    def name(*parts: object, labels: dict[str, str]) -> str:
        found = Gpus(*parts).template(labels)  # type: ignore[arg-type]
        assert found is not None
        return str(found["metadata"]["name"])

    first = name(1, GPU, "", "c", labels={"app": "x"})
    assert first == name(1, GPU, "", "c", labels={"app": "x"})
    others = {
        name(2, GPU, "", "c", labels={"app": "x"}),
        name(1, GPU, "1Gi", "c", labels={"app": "x"}),
        name(1, GPU, "", "d", labels={"app": "x"}),
        name(1, GPU, "", "c", labels={"app": "y"}),
    }
    assert len(others | {first}) == 5
