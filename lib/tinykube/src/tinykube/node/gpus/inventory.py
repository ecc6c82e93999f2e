"""What GPUs the machine has, by NVIDIA's management library (package `nvidia-ml-py`)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# One of these is there where the driver is; without it the binding is not even imported.
_SIGNS = (
    Path("/proc/driver/nvidia/version"),
    Path("/dev/nvidiactl"),
    Path("/usr/lib/wsl/lib/libnvidia-ml.so.1"),
)
DRIVER = Path("/proc/driver/nvidia")
_MIB = 2**20
_PROFILE = re.compile(r"MIG (\S+)$")
_COMMON = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")


@dataclass(frozen=True, slots=True)
class Instance:
    """A part of a GPU (MIG): `profile` as NVIDIA has it, `1g.10gb`; memory in MiB."""

    uuid: str
    profile: str
    memory: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        minor: the number of its device node.
        product: as NVIDIA calls it.
        memory: in MiB.
        compute: its compute capability, `(9, 0)`.
        mig: True if it is divided, into `instances`.
        paths: the device nodes that a program needs.
        busy: the processes that compute on it.
    """

    uuid: str
    minor: int
    product: str
    memory: int
    compute: tuple[int, int]
    mig: bool
    paths: tuple[str, ...]
    instances: tuple[Instance, ...] = ()
    busy: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """All GPUs that answer, and the driver's version."""

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""


def library() -> Any | None:
    """The binding, ready to be asked; None where there is no driver."""
    if not any(path.exists() for path in _SIGNS):
        return None
    # Only here: it takes 10 MiB that a machine without a driver need not spend.
    import pynvml  # type: ignore[import-untyped]

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.warning("there is an NVIDIA driver, but it gives no access to GPUs: %s", error)
        return None
    return pynvml


def read(nvml: Any, driver: Path = DRIVER) -> Inventory:
    """What there is now; a GPU that does not answer is left out.

    Args:
        nvml: the binding (`pynvml`), initialised.
        driver: the driver's folder in /proc, which tells the device nodes of instances.
    """
    try:
        number = nvml.nvmlDeviceGetCount()
        version = _text(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError as error:
        log.warning("the NVIDIA driver does not answer: %s", error)
        return Inventory()
    found = []
    for index in range(number):
        try:
            found.append(_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index), driver))
        except nvml.NVMLError as error:
            log.warning("GPU %s does not answer: %s", index, error)
    return Inventory(tuple(found), version)


def _gpu(nvml: Any, handle: Any, driver: Path) -> Gpu:
    minor = int(nvml.nvmlDeviceGetMinorNumber(handle))
    paths = (f"/dev/nvidia{minor}", *_COMMON)
    mig = _divided(nvml, handle)
    major, low = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        minor=minor,
        product=_text(nvml.nvmlDeviceGetName(handle)),
        memory=int(nvml.nvmlDeviceGetMemoryInfo(handle).total) // _MIB,
        compute=(int(major), int(low)),
        mig=mig,
        paths=paths,
        instances=tuple(_instances(nvml, handle, minor, paths, driver)) if mig else (),
        busy=tuple(_processes(nvml, handle)),
    )


def _divided(nvml: Any, handle: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        # Not supported: most GPUs cannot be divided.
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _instances(
    nvml: Any, handle: Any, minor: int, paths: tuple[str, ...], driver: Path
) -> Iterator[Instance]:
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError:
            # The places of instances are numbered, and not all of them are taken.
            continue
        name = _PROFILE.search(_text(nvml.nvmlDeviceGetName(part)))
        memory = int(nvml.nvmlDeviceGetMemoryInfo(part).total) // _MIB
        share = int(nvml.nvmlDeviceGetGpuInstanceId(part))
        compute = int(nvml.nvmlDeviceGetComputeInstanceId(part))
        folder = driver / "capabilities" / f"gpu{minor}" / "mig" / f"gi{share}"
        nodes = (_node(folder / "access"), _node(folder / f"ci{compute}" / "access"))
        yield Instance(
            uuid=_text(nvml.nvmlDeviceGetUUID(part)),
            profile=name[1] if name else f"{round(memory / 1024)}gb",
            memory=memory,
            paths=(*paths, *filter(None, nodes)),
        )


def _node(access: Path) -> str:
    """The device node that gives access to an instance, as the driver tells it."""
    try:
        found = re.search(r"DeviceFileMinor:\s*(\d+)", access.read_text(encoding="ascii"))
    except OSError:
        return ""
    return f"/dev/nvidia-caps/nvidia-cap{found[1]}" if found else ""


def _processes(nvml: Any, handle: Any) -> list[int]:
    try:
        return [int(item.pid) for item in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except nvml.NVMLError:
        # Some drivers (WSL) do not tell: nobody is seen.
        return []


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
