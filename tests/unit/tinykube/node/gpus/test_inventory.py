from tinykube.node.gpus import inventory

from .....nvml import Nvml, divided, whole


def test_a_machine_without_gpus(tmp_path):
    assert inventory.read(Nvml(), tmp_path).gpus == ()


def test_two_whole_ones(tmp_path):
    one, two = inventory.read(Nvml(whole(1), whole(2)), tmp_path).gpus
    assert (one.uuid, one.minor, one.product) == ("GPU-1", 0, "NVIDIA H100 80GB HBM3")
    assert (two.memory, two.compute, two.mig) == (81559, (9, 0), False)
    assert two.paths[0] == "/dev/nvidia1"
    assert "/dev/nvidiactl" in two.paths


def test_a_divided_one_and_the_nodes_of_its_instances(tmp_path):
    folder = tmp_path / "capabilities/gpu0/mig/gi7"
    (folder / "ci0").mkdir(parents=True)
    (folder / "access").write_text("DeviceFileMinor: 30\nDeviceFileMode: 292\n")
    (folder / "ci0/access").write_text("DeviceFileMinor: 31\n")
    (gpu,) = inventory.read(Nvml(divided(1, "1g.10gb", "2g.20gb")), tmp_path).gpus
    assert gpu.mig
    assert [part.profile for part in gpu.instances] == ["1g.10gb", "2g.20gb"]
    first = gpu.instances[0].paths
    assert first[-2:] == ("/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31")
    assert first[0] == "/dev/nvidia0"


def test_one_that_is_lost_is_left_out(tmp_path):
    nvml = Nvml(whole(1), whole(2))
    nvml.gpus[0].lost = True
    assert [gpu.uuid for gpu in inventory.read(nvml, tmp_path).gpus] == ["GPU-2"]


def test_a_driver_that_does_not_answer(tmp_path, caplog):
    class Broken(Nvml):
        def nvmlDeviceGetCount(self):  # noqa: N802
            raise self.NVMLError("Driver Not Loaded")

    assert inventory.read(Broken(), tmp_path).gpus == ()
    assert "Driver Not Loaded" in caplog.text


def test_who_computes_on_it(tmp_path):
    nvml = Nvml(whole(1))
    nvml.gpus[0].pids = [7]
    assert inventory.read(nvml, tmp_path).gpus[0].busy == (7,)
