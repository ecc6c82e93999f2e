"""Who hears of changes."""

from __future__ import annotations

import threading
from collections.abc import Callable

Callback = Callable[[str], None]


class Listeners:
    """Callbacks that are told the id of what has changed; see `EventStore.subscribe`."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callback] = {}
        self._lock = threading.Lock()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back after each change; give the way to stop it."""
        key = object()
        with self._lock:
            self._callbacks[key] = callback

        def stop() -> None:
            with self._lock:
                self._callbacks.pop(key, None)

        return stop

    def tell(self, record_id: str) -> None:
        """Tell everyone, in this thread."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback(record_id)
