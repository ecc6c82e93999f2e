"""How tests wait: for a condition, and no longer than is bearable."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 90.0


def wait(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds; fail with what was waited for."""
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < patience, f"not within {patience:.0f} s: {what}"
        time.sleep(pause(waited))


def pause(waited: float) -> float:
    """Give the seconds until the next look, after so many.

    To look costs what others wait for: the processor. What takes long is looked at less often.
    """
    return min(max(waited / 20, 0.05), 0.3)
