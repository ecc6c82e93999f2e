import pytest

from tinykube.node.gpus import inventory, plan
from tinykube.node.gpus.plan import Settings

from .....nvml import Nvml, divided, whole


def offered(tmp_path, *gpus, **settings):
    found = inventory.read(Nvml(*gpus), tmp_path)
    return plan.resources(plan.devices(found, Settings(**settings)))


def test_whole_gpus(tmp_path):
    assert offered(tmp_path, whole(1), whole(2)) == {"nvidia.com/gpu": "2"}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (
            "mixed",
            {
                "nvidia.com/gpu": "1",
                "nvidia.com/mig-1g.10gb": "2",
                "nvidia.com/mig-1g.10gb.me": "1",
            },
        ),
        ("single", {"nvidia.com/gpu": "4"}),
        ("none", {"nvidia.com/gpu": "2"}),
    ],
)
def test_divided_ones_by_strategy(tmp_path, strategy, expected):
    gpus = whole(1), divided(2, "1g.10gb", "1g.10gb", "1g.10gb+me")
    assert offered(tmp_path, *gpus, strategy=strategy) == expected


def test_shared_ones(tmp_path):
    by_number = offered(tmp_path, whole(1), whole(2), sharing="replicas", replicas=4)
    assert by_number == {"nvidia.com/gpu.shared": "8"}
    assert offered(tmp_path, whole(1), sharing="memory") == {"nvidia.com/gpumem": "81559"}


def test_labels(tmp_path):
    found = inventory.read(Nvml(whole(1), whole(2)), tmp_path)
    labels = plan.labels(found, Settings())
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert labels["nvidia.com/gpu.count"] == "2"
    assert labels["nvidia.com/gpu.memory"] == "81559"
    assert labels["nvidia.com/gpu.present"] == "true"
    assert labels["nvidia.com/cuda.driver-version.full"] == "580.95.05"
    shared = plan.labels(found, Settings(sharing="memory"))
    assert shared["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3-SHARED"
    assert plan.labels(inventory.Inventory(), Settings()) == {}


def test_settings_of_the_config_file():
    assert Settings.read(None) == Settings()
    assert Settings.read({"sharing": "replicas", "replicas": 8}).replicas == 8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "gpus must be a mapping"),
        ({"stratgy": "x"}, "unknown key 'stratgy'"),
        ({"strategy": "both"}, "gpus.strategy is 'both', none of mixed, single, none"),
        ({"sharing": "time"}, "gpus.sharing is 'time'"),
        ({"sharing": "replicas", "replicas": 1}, "gpus.replicas is 1"),
        ({"replicas": 4}, "for sharing: replicas alone"),
        ({"foreign": "kill"}, "gpus.foreign is 'kill'"),
    ],
)
def test_what_is_wrong_with_them(data, message):
    with pytest.raises(ValueError, match=message):
        Settings.read(data)
