"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from toolkit_jobs.quantities import amount, mebibytes


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("500m", Decimal("0.5")), ("1Ki", 1024), ("1k", 1000), ("1.5Gi", 3 << 29)],
)
def test_amounts(text: str, value: int | Decimal) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "-1", "1gi", "0x10", "1Gi\n", "1e3", "nan"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        amount(text)


@pytest.mark.parametrize(("text", "value"), [("16Gi", 16384), ("40G", 38146), ("1Ki", 0)])
def test_mebibytes_are_rounded_down(text: str, value: int) -> None:
    assert mebibytes(text) == value
