"""Pods for workloads: made from a request and the operator's options, followed, read, deleted.

jobs = Jobs(Connection.from_environment(), options)
async with jobs:
    await jobs.start(request)     # or finds that it is there already
"""

from __future__ import annotations

from .connection import Connection, ConnectionFileError
from .errors import JobsError, RefusedError, UnavailableError
from .gpus import GpuMode, GpuOptions, GpuRequest
from .jobs import Appraisal, Jobs, Listener
from .mounts import (
    ClaimMount,
    ConfigMapMount,
    EmptyMount,
    EphemeralMount,
    ImageMount,
    Mount,
    SecretMount,
)
from .options import PodOptionsError
from .placement import Placement
from .pod import (
    ConfigMapKey,
    FieldPath,
    Identity,
    InitContainer,
    PodOptions,
    PodRequest,
    SecretKey,
    Variable,
)
from .resources import Resources
from .status import PodPhase, PodStatus

__all__ = [
    "Appraisal",
    "ClaimMount",
    "ConfigMapKey",
    "ConfigMapMount",
    "Connection",
    "ConnectionFileError",
    "EmptyMount",
    "EphemeralMount",
    "FieldPath",
    "GpuMode",
    "GpuOptions",
    "GpuRequest",
    "Identity",
    "ImageMount",
    "InitContainer",
    "Jobs",
    "JobsError",
    "Listener",
    "Mount",
    "Placement",
    "PodOptions",
    "PodOptionsError",
    "PodPhase",
    "PodRequest",
    "PodStatus",
    "RefusedError",
    "Resources",
    "SecretKey",
    "SecretMount",
    "UnavailableError",
    "Variable",
]
