"""GPUs that are lent to pods: everything real but NVIDIA's library, and once that as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinykube.node.gpus import inventory
from tinykube.node.gpus.plan import WHOLE

from ....nvml import Nvml, whole
from .conftest import Api, Node, shell


@pytest.fixture
async def gpus(api: Api, tmp_path: Path) -> Any:
    made = Node(api, tmp_path / "node", nvml=Nvml(whole(1), whole(2)))
    made.start()
    yield made
    if made.task is None:
        made.start()
    api.pods.clear()
    await made.stop()
    made.start()
    await made.emptied()
    await made.stop()


def asking(script: str, amount: int, **more: Any) -> Any:
    limits = {WHOLE: str(amount)}
    return shell(script, resources={"limits": limits, "requests": limits}, **more)


async def test_pods_get_their_own_gpus_and_give_them_back(api: Api, gpus: Node) -> None:
    one = await api.create("one", asking("echo $CUDA_VISIBLE_DEVICES; sleep 1000", 1))
    await api.running(one)
    two = await api.create("two", asking("echo $CUDA_VISIBLE_DEVICES", 1))
    await api.finished(two)
    three = await api.create("three", asking("echo $CUDA_VISIBLE_DEVICES", 1))
    await api.finished(three)
    none = await api.create("none", shell('echo "[$CUDA_VISIBLE_DEVICES]"'))
    await api.finished(none)

    assert api.node["status"]["allocatable"][WHOLE] == "2"
    assert api.node["metadata"]["labels"]["nvidia.com/gpu.count"] == "2"
    logs = [await gpus.logs(pod) for pod in (one, two, three, none)]
    assert logs == [b"GPU-1\n", b"GPU-2\n", b"GPU-2\n", b"[]\n"]


async def test_one_too_many_fails_with_a_kubelets_words(api: Api, gpus: Node) -> None:
    pod = await api.create("large", asking("true", 3))

    assert await api.finished(pod) == "Failed"
    assert pod["status"]["reason"] == "UnexpectedAdmissionError"
    assert "Requested: 3, Available: 2" in pod["status"]["message"]


async def test_a_killed_node_knows_who_holds_what(api: Api, gpus: Node) -> None:
    pod = await api.create("one", asking("echo $CUDA_VISIBLE_DEVICES; sleep 1000", 1))
    await api.running(pod)
    await gpus.stop()
    gpus.start()
    other = await api.create("two", asking("echo $CUDA_VISIBLE_DEVICES", 1))
    await api.finished(other)

    assert await gpus.logs(other) == b"GPU-2\n"


# CUDA's own library, from within: what starting it says, and how many devices it has.
CUDA = """python3 -c '
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print("cuda", cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count)) or count.value)
'"""


async def test_a_real_gpu(api: Api, tmp_path: Path) -> None:
    nvml = inventory.library()
    if nvml is None or not inventory.read(nvml).gpus:
        pytest.skip("this machine has no NVIDIA GPU, or no driver that gives access to it")
    made = Node(api, tmp_path / "node", nvml=nvml)
    made.start()
    try:
        uuid = inventory.read(nvml).gpus[0].uuid
        lent = await api.create(
            "lent", asking(f"echo $CUDA_VISIBLE_DEVICES; nvidia-smi -L; {CUDA}", 1)
        )
        none = await api.create("none", shell(f"nvidia-smi -L || echo none; {CUDA}"))
        assert await api.finished(lent) == "Succeeded"
        await api.finished(none)
        text = (await made.logs(lent)).decode()
        assert text.splitlines()[0] == uuid
        assert f"UUID: {uuid}" in text
        assert text.splitlines()[-1] == "cuda 0 1"
        text = (await made.logs(none)).decode()
        assert "none" in text
        assert "cuda 0" not in text
    finally:
        api.pods.clear()
        await made.stop()
        made.start()
        await made.emptied()
        await made.stop()
