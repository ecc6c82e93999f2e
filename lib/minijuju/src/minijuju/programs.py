"""What minijuju runs and no package index carries: Pebble and the hook commands.

Both are built by Go, once a machine. A Go that has to be fetched for it serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minijuju import golang, pebble
from minijuju.hooks import tools
from sandbox.images import store_root


def find(store: Path | None = None) -> bool:
    """Whether all is there."""
    return bool(pebble.find(store) and tools.find(store))


def ensure(
    store: Path | None = None, *, progress: Callable[[str], None] = lambda message: None
) -> Path:
    """Build what is not there yet; return the Pebble. Blocking.

    Raises:
        PebbleError, GoError: there is no Go to be had, or a build failed.
    """
    store = store or store_root()
    if find(store):
        return pebble.ensure(store)
    with golang.workshop(store / "tools", "go") as fetched:
        binary = pebble.ensure(store, progress=progress, fetched=fetched)
        tools.ensure(store, progress=progress, fetched=fetched)
    return binary
