"""Kubernetes' quantities as options have them."""

from __future__ import annotations

import re
from typing import Annotated

import pydantic

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|[kMGTP]|[KMGTP]i)?")
_SMALLEST = 1024 * 1024  # bytes


def quantity(text: str) -> str:
    """Give a quantity above nothing, or "" for none; ValueError if it is neither."""
    if text and not _QUANTITY.fullmatch(text):
        raise ValueError("write a quantity as Kubernetes does, such as 500m, 2 or 2Gi, or nothing")
    if text and not any(digit in text for digit in "123456789"):
        raise ValueError("write more than nothing, or leave it empty")
    return text


def size(text: str) -> str:
    """Give a quantity of bytes, at least a mebibyte, or "" for none; ValueError else."""
    match = _QUANTITY.fullmatch(quantity(text))
    if match is None:
        return text
    unit = match[2] or ""
    scale = {"": 1.0, "m": 0.001}.get(unit)
    if scale is None:
        base = 1024 if unit.endswith("i") else 1000
        scale = float(base ** ("kmgtp".index(unit[0].lower()) + 1))
    if float(match[1]) * scale < _SMALLEST:
        raise ValueError("write a size such as 512Mi or 16Gi, or nothing")
    return text


Quantity = Annotated[str, pydantic.AfterValidator(quantity)]
Size = Annotated[str, pydantic.AfterValidator(size)]
