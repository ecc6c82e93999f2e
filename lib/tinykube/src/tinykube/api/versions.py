"""The resource versions that lists and watches name."""

from __future__ import annotations

from tinykube import status
from tinykube.status import ApiError
from tinykube.store import Store


def read(text: str) -> int:
    """A resource version of the query. Raises ApiError 400."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise status.bad_request(f"invalid resource version {text[:80]!r}")
    return int(text)


def check_reached(store: Store, version: int) -> None:
    """Raises ApiError 504 for a version that is still to come."""
    if version > store.version:
        message = f"Too large resource version: {version}, current: {store.version}"
        raise ApiError(
            504,
            "Timeout",
            f"Timeout: {message}",
            causes=[status.Cause("ResourceVersionTooLarge", "Too large resource version", "")],
            retry_after=1,
        )


def check_covered(store: Store, version: int) -> None:
    """Raises ApiError 410 for a version that history no longer covers."""
    check_reached(store, version)
    if version < store.oldest and version != store.version:
        raise status.expired(
            "The provided continue parameter is too old to display a consistent list result. "
            "You must start a new list without the continue parameter."
        )
