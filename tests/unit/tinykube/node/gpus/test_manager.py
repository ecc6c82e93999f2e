import pytest

from tinykube.node.gpus import inventory
from tinykube.node.gpus.leases import ShortageError
from tinykube.node.gpus.manager import Gpus
from tinykube.node.gpus.plan import Settings

from .....nvml import Nvml, divided, whole


@pytest.fixture
def events():
    return []


@pytest.fixture
def make(tmp_path, events):
    def build(nvml, **settings):
        changes = []
        made = Gpus(
            tmp_path / "pods",
            Settings(**settings),
            nvml,
            lambda *event: events.append(event),
            lambda: changes.append(1),
            tmp_path,
        )
        made.changes = changes
        return made

    return build


def look(gpus):
    """What `run` does now and then."""
    gpus._take(inventory.read(gpus._nvml, gpus._driver))


def pod(uid, amount=1, resource="nvidia.com/gpu", **spec):
    container = {"name": "main", "resources": {"limits": {resource: str(amount)}}}
    return {"metadata": {"uid": uid}, "spec": {"containers": [container], **spec}}


def test_a_machine_without_a_driver_changes_nothing(make):
    gpus = make(None)
    gpus.admit(pod("a"))
    assert (gpus.resources(), gpus.labels(), gpus.grant("a", "main").env) == ({}, {}, {})


def test_a_pod_sees_its_own_gpus_and_others_none(make):
    gpus = make(Nvml(whole(1), whole(2), whole(3)))
    gpus.admit(pod("a", 2))
    assert gpus.grant("a", "main").env == {
        "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2",
        "NVIDIA_VISIBLE_DEVICES": "GPU-1,GPU-2",
    }
    assert gpus.grant("b", "main").env == {
        "CUDA_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "void",
    }


def test_device_nodes_are_those_that_exist(make, monkeypatch, tmp_path):
    monkeypatch.setattr(inventory, "_COMMON", ("/dev/null", "/dev/none"))
    gpus = make(Nvml(whole(1)))
    gpus.admit(pod("a"))
    assert [mount.target for mount in gpus.grant("a", "main").mounts] == ["/dev/null"]
    assert gpus.grant("b", "main").mounts == ()


def test_instances_are_resources_of_their_own(make):
    gpus = make(Nvml(divided(1, "1g.10gb", "1g.10gb")))
    assert gpus.resources() == {"nvidia.com/mig-1g.10gb": "2"}
    gpus.admit(pod("a", 1, "nvidia.com/mig-1g.10gb"))
    assert gpus.grant("a", "main").env["CUDA_VISIBLE_DEVICES"] == "MIG-1-0"


def test_what_is_given_back_is_lent_again(make):
    gpus = make(Nvml(whole(1)))
    gpus.admit(pod("a"))
    with pytest.raises(ShortageError):
        gpus.admit(pod("b"))
    gpus.release("a")
    gpus.admit(pod("b"))
    assert gpus.grant("b", "main").env["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_a_gpu_that_disappears_is_told_to_all_it_concerns(make, events):
    nvml = Nvml(whole(1), whole(2))
    gpus = make(nvml)
    gpus.admit(pod("a"))
    nvml.gpus[0].lost = True
    look(gpus)
    assert gpus.resources() == {"nvidia.com/gpu": "1"}
    assert len(gpus.changes) == 2
    assert [(event[0], event[2]) for event in events] == [(None, "GPULost"), ("a", "GPULost")]
    nvml.gpus[1].lost = True
    look(gpus)
    assert gpus.resources() == {"nvidia.com/gpu": "0"}
    events.clear()
    nvml.gpus[1].lost = False
    look(gpus)
    look(gpus)
    assert gpus.resources() == {"nvidia.com/gpu": "1"}


def test_one_that_others_use_is_told_once(make, events):
    nvml = Nvml(whole(1))
    nvml.gpus[0].pids = [4711]
    gpus = make(nvml)
    look(gpus)
    ((about, type_, reason, message),) = events
    assert (about, type_, reason) == (None, "Warning", "GPUInUse")
    assert "4711" in message
    assert gpus.resources() == {"nvidia.com/gpu": "1"}


def test_one_that_others_use_is_not_offered_where_the_config_says_so(make):
    nvml = Nvml(whole(1), whole(2))
    gpus = make(nvml, foreign="exclude")
    nvml.gpus[0].pids = [4711]
    look(gpus)
    assert gpus.resources() == {"nvidia.com/gpu": "1"}
    nvml.gpus[0].pids = []
    look(gpus)
    assert gpus.resources() == {"nvidia.com/gpu": "2"}


def test_processes_of_pods_are_no_strangers(make, events):
    nvml = Nvml(whole(1))
    gpus = make(nvml, foreign="exclude")
    gpus.admit(pod("a"))
    nvml.gpus[0].pids = [4711]
    look(gpus)
    assert events == []
    assert gpus.resources() == {"nvidia.com/gpu": "1"}


def test_sharing_says_that_nothing_enforces_it(make, caplog):
    make(Nvml(whole(1)), sharing="memory")
    assert "nothing enforces it" in caplog.text
