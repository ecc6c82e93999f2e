"""What can go wrong between a workload and the Kubernetes API."""

from __future__ import annotations


class JobsError(Exception):
    """The root of this package's errors."""


class UnavailableError(JobsError):
    """The API cannot be reached or is overloaded: trying again later may help."""


class RefusedError(JobsError):
    """The API answered that it will not do what was asked.

    Attributes:
        code: the HTTP status.
        reason: Kubernetes' word for it (`AlreadyExists`, `NotFound`, `Invalid`, `Forbidden`, ...).
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{message} ({reason or code})")
