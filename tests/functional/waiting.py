"""How tests wait: for a condition, and no longer than is bearable."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 90.0


def wait(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds; fail with what was waited for."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.1)
