"""The options of charms that run pods: from config to a workload's settings."""

from pathlib import Path

import pytest
import yaml

import toolkit_charm
from toolkit_charm import OptionsError
from toolkit_charm.pods import PodOptions
from toolkit_jobs import PodOptions as Wanted
from toolkit_jobs import options as workload_options

TEXT = yaml.safe_load((Path(toolkit_charm.__file__).parent / "pods.yaml").read_text())
DEFAULTS = {name: option["default"] for name, option in TEXT.items()}
BASE = Wanted("ml", {"app": "x"})


def load(**options):
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return PodOptions.load(DEFAULTS | named)


def given(options):
    return options.pods(service_account="", priority_class="made")


def test_the_defaults_change_nothing():
    assert workload_options.read(given(load()), BASE) == workload_options.read(
        {"gpu": {"device_class": "gpu.nvidia.com"}}, BASE
    )


def test_everything_reaches_the_workload():
    found = workload_options.read(
        load(
            gpu_mode="dra",
            gpu_resource="nvidia.com/mig-1g.10gb",
            gpu_count=2,
            gpu_memory="8Gi",
            device_class="mig.nvidia.com",
            node_selector='{pool: gpu, zone: "1"}',
            tolerations='[{"key": "nvidia.com/gpu", "operator": "Exists"}]',
            affinity="nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}",
            runtime_class="nvidia",
            priority_class="batch",
            queue="ml",
            shm_size="2Gi",
            priority=7,
        ).pods(service_account="steps", priority_class="made"),
        BASE,
    )
    assert (found.gpus.mode, found.gpus.count, found.gpus.memory) == ("dra", 2, "8Gi")
    assert found.gpus.resource == "nvidia.com/mig-1g.10gb"
    assert found.gpus.device_class == "mig.nvidia.com"
    assert found.placement.node_selector == {"pool": "gpu", "zone": "1"}
    assert found.placement.tolerations == ({"key": "nvidia.com/gpu", "operator": "Exists"},)
    assert found.placement.affinity == {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}
    }
    assert found.placement.runtime_class == "nvidia"
    assert found.placement.priority_class == "batch"
    assert (found.queue, found.shm_size, found.service_account) == ("ml", "2Gi", "steps")


def test_a_priority_of_its_own():
    assert given(load(priority=-10))["priority_class"] == "made"
    assert given(load(priority=-10, priority_class="batch"))["priority_class"] == "batch"


def test_quotas():
    assert load().quota() == {}
    assert load(quota_gpu=0, gpu_resource="amd.com/gpu").quota() == {"requests.amd.com/gpu": "0"}
    assert load(quota_gpu=2, gpu_mode="dra").quota() == {
        "gpu.nvidia.com.deviceclass.resource.k8s.io/devices": "2"
    }


@pytest.mark.parametrize(
    "resource",
    [
        "nvidia.com/gpu",
        "nvidia.com/mig-1g.10gb",
        "nvidia.com/gpu.shared",
        "amd.com/gpu",
        "gpu.intel.com/xe",
        "gpu.intel.com/i915",
        "habana.ai/gaudi",
    ],
)
def test_resources_of_all_vendors(resource):
    assert given(load(gpu_resource=resource))["gpu"]["resource"] == resource


@pytest.mark.parametrize(
    ("options", "named", "reason"),
    [
        ({"gpu_mode": "host"}, "gpu-mode", "'none', 'extended' or 'dra'"),
        ({"gpu_resource": "gpu"}, "gpu-resource", "such as nvidia.com/gpu"),
        ({"gpu_resource": "NVIDIA.com/gpu"}, "gpu-resource", "such as nvidia.com/gpu"),
        ({"gpu_count": -1}, "gpu-count", "greater than or equal to 0"),
        ({"gpu_count": 1025}, "gpu-count", "less than or equal to 1024"),
        ({"gpu_memory": "lots"}, "gpu-memory", "a quantity as Kubernetes does"),
        ({"gpu_memory": "16"}, "gpu-memory", "a size such as"),
        ({"gpu_memory": "1500m"}, "gpu-memory", "a size such as"),
        ({"gpu_memory": "16Gi", "gpu_resource": "amd.com/gpu"}, "gpu-memory", "amd.com/gpu has"),
        ({"gpu_mode": "dra", "device_class": ""}, "device-class", "gpu-mode=dra needs one"),
        ({"device_class": "A B"}, "device-class", "the name of an object"),
        ({"node_selector": "pool"}, "node-selector", "a map of labels such as {pool: gpu}"),
        ({"node_selector": "{a: 1}"}, "node-selector", "quote numbers"),
        ({"node_selector": "{a b: c}"}, "node-selector", "not the name of a label"),
        ({"node_selector": "{a: [}"}, "node-selector", "write YAML or JSON such as"),
        ({"node_selector": "a" * 20_000}, "node-selector", "at most"),
        ({"tolerations": "{key: a}"}, "tolerations", "a list such as"),
        ({"tolerations": "[a]"}, "tolerations", "a list such as"),
        ({"tolerations": "[{taint: a}]"}, "tolerations", "has no 'taint'"),
        ({"tolerations": "[{key: a, operator: Has}]"}, "tolerations", "one of Exists and Equal"),
        ({"tolerations": "[{key: a, effect: No}]"}, "tolerations", "NoSchedule"),
        ({"tolerations": "[{value: a}]"}, "tolerations", "without a key"),
        ({"tolerations": "[{key: a, operator: Exists, value: b}]"}, "tolerations", "no value"),
        ({"tolerations": "[{key: a, value: true}]"}, "tolerations", "quote numbers"),
        ({"tolerations": "[{key: 2020-01-01}]"}, "tolerations", "write YAML or JSON"),
        ({"affinity": "[]"}, "affinity", "a map such as"),
        ({"affinity": "{nodes: {}}"}, "affinity", "'nodes' is none of nodeAffinity"),
        ({"affinity": "{nodeAffinity: []}"}, "affinity", "nodeAffinity is a map"),
        ({"affinity": "{podAffinity: {required: []}}"}, "affinity", "has no 'required'"),
        (
            {"affinity": "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: []}}"},
            "affinity",
            "a map with nodeSelectorTerms",
        ),
        ({"affinity": "a: &a [1]\nb: *a"}, "affinity", "without aliases"),
        ({"affinity": "a: &a [*a]"}, "affinity", "without aliases"),
        ({"runtime_class": "A"}, "runtime-class", "the name of an object"),
        ({"priority_class": "../a"}, "priority-class", "the name of an object"),
        ({"queue": "q" * 64}, "queue", "at most 63 characters"),
        ({"shm_size": "0"}, "shm-size", "more than nothing"),
        ({"shm_size": "1k"}, "shm-size", "a size such as"),
    ],
)
def test_what_is_wrong_is_named_with_its_option(options, named, reason):
    with pytest.raises(OptionsError) as caught:
        load(**options)
    assert str(caught.value).startswith(f"{named}: ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400


def test_memory_of_devices_is_told_by_their_driver():
    assert load(gpu_mode="dra", gpu_resource="amd.com/gpu", gpu_memory="64Gi").gpu_memory == "64Gi"
