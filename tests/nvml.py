"""A machine's GPUs without the machine: what `pynvml` answers, as far as the node asks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace


class NVMLError(Exception):
    """As the binding has it."""


@dataclass
class Part:
    """A GPU, or an instance of one."""

    uuid: str
    name: str
    memory: int = 81559
    minor: int = 0
    ids: tuple[int, int] = (0, 0)
    parts: dict[int, Part] | None = None
    pids: list[int] = field(default_factory=list)
    lost: bool = False


class Nvml:
    """The binding's module; `gpus` may be changed at any time."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(self, *gpus):
        self.gpus = list(gpus)
        for minor, gpu in enumerate(gpus):
            gpu.minor = minor

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.gpus)

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "580.95.05"

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        if self.gpus[index].lost:
            raise NVMLError("GPU is lost")
        return self.gpus[index]

    def nvmlDeviceGetMinorNumber(self, part):  # noqa: N802
        return part.minor

    def nvmlDeviceGetUUID(self, part):  # noqa: N802
        return part.uuid

    def nvmlDeviceGetName(self, part):  # noqa: N802
        return part.name.encode()

    def nvmlDeviceGetMemoryInfo(self, part):  # noqa: N802
        return SimpleNamespace(total=part.memory * 2**20)

    def nvmlDeviceGetCudaComputeCapability(self, part):  # noqa: N802
        return 9, 0

    def nvmlDeviceGetMigMode(self, part):  # noqa: N802
        if part.parts is None:
            raise NVMLError("Not Supported")
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, part):  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, part, index):  # noqa: N802
        if index not in part.parts:
            raise NVMLError("Not Found")
        return part.parts[index]

    def nvmlDeviceGetGpuInstanceId(self, part):  # noqa: N802
        return part.ids[0]

    def nvmlDeviceGetComputeInstanceId(self, part):  # noqa: N802
        return part.ids[1]

    def nvmlDeviceGetComputeRunningProcesses(self, part):  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in part.pids]


def whole(number: int) -> Part:
    """A GPU that is not divided."""
    return Part(f"GPU-{number}", "NVIDIA H100 80GB HBM3")


def divided(number: int, *profiles: str) -> Part:
    """A GPU that is divided into instances of these profiles."""
    parts = {
        2 * index: Part(
            f"MIG-{number}-{index}",
            f"NVIDIA H100 80GB HBM3 MIG {profile}",
            9856,
            ids=(index + 7, 0),
        )
        for index, profile in enumerate(profiles)
    }
    return Part(f"GPU-{number}", "NVIDIA H100 80GB HBM3", parts=parts)
