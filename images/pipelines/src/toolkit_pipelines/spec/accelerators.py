"""Accelerators: names and numbers that Kubernetes takes."""

from __future__ import annotations

import re
from typing import Final

from .errors import SpecError

_RESOURCE: Final = re.compile(
    r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_MOST: Final = 1024


def check_type(text: str, where: str) -> str:
    """Give the name of an extended resource; SpecError if it is none."""
    if not _RESOURCE.fullmatch(text):
        raise SpecError(
            where,
            f"the accelerator type {text[:80]!r} is no resource of Kubernetes; write one such as "
            "nvidia.com/gpu, nvidia.com/mig-1g.10gb or amd.com/gpu",
        )
    return text


def count(text: str, where: str) -> int:
    """Give the number of accelerators; SpecError if it is none."""
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > _MOST:
        raise SpecError(
            where, f"the accelerator count {text[:80]!r} is not a whole number from 0 to {_MOST}"
        )
    return int(text)
