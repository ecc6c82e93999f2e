"""Kubernetes' quantities, where a number has to be made of one."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i)?")
_UNITS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** (power + 1) for power, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Decimal(1024) ** (power + 1) for power, unit in enumerate("KMGTPE")},
}
_MEBIBYTE: Final = 1024 * 1024


def amount(quantity: str) -> Decimal:
    """Give a quantity's value (`500m` is 0.5, `1Ki` is 1024); ValueError if it is none."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity[:60]!r} is no quantity such as 500m, 2 or 16Gi")
    return Decimal(match[1]) * _UNITS[match[2] or ""]


def mebibytes(quantity: str) -> int:
    """Give a quantity of bytes in MiB, rounded down; ValueError if it is none."""
    return int(amount(quantity) // _MEBIBYTE)
