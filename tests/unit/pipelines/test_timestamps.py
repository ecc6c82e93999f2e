from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_pipelines import timestamps


def test_format() -> None:
    assert timestamps.format(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamps.format(1795536802.25) == "2026-11-24T16:13:22.250000Z"


@given(st.integers(0, 4_000_000_000_000_000))
def test_round_trip(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    assert timestamps.parse(timestamps.format(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "now", "2026-11-24T16:00:00", 5, None])
def test_refused(text: object) -> None:
    with pytest.raises(ValueError):
        timestamps.parse(text)
