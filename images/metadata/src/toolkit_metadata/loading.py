"""Imports without the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Load large libraries with the collector off.

    MLflow's imports make a million objects that stay. The collector looks through them again and
    again and finds nothing, for a quarter of the start's time. What is there at the end is left
    out of later collections too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
