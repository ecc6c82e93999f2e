"""Small HTTP requests to the workload beside the charm: never through a proxy, always bounded."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_LARGEST = 4096  # bytes of an answer that are read


def get(url: str, *, token: str | None = None, timeout: float = 2.0) -> tuple[int, str] | None:
    """GET a URL; give the status and the start of the body, or None if nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=timeout
    )
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", parts.path or "/", headers=headers)
        response = connection.getresponse()
        return response.status, response.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait(url: str, *, seconds: float, hopeless: Callable[[], bool], interval: float = 0.1) -> bool:
    """Ask until the answer is 200, the time is over or it is hopeless; tell whether it was 200."""
    end = time.monotonic() + seconds
    while True:
        answer = get(url)
        if answer is not None and answer[0] == 200:
            return True
        if time.monotonic() >= end or hopeless():
            return False
        time.sleep(interval)
