"""Pods for workloads: made from a request and the operator's options, followed, read, deleted.

jobs = Jobs(Connection.from_environment(), options)
async with jobs:
    await jobs.start(request)     # or finds that it is there already
"""

from __future__ import annotations

from .connection import Connection, ConnectionFileError
from .errors import JobsError, RefusedError, UnavailableError
from .jobs import Jobs, Listener
from .pod import (
    ClaimMount,
    EmptyMount,
    ImageMount,
    Mount,
    PodOptions,
    PodRequest,
    Resources,
    SecretKey,
)
from .status import PodPhase, PodStatus

__all__ = [
    "ClaimMount",
    "Connection",
    "ConnectionFileError",
    "EmptyMount",
    "ImageMount",
    "Jobs",
    "JobsError",
    "Listener",
    "Mount",
    "PodOptions",
    "PodPhase",
    "PodRequest",
    "PodStatus",
    "RefusedError",
    "Resources",
    "SecretKey",
    "UnavailableError",
]
