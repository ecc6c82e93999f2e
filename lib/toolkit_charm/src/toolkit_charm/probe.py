"""Small HTTP requests to the workload beside the charm: never through a proxy, always bounded."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_LARGEST = 4096  # bytes of an answer that are read


def get(url: str, *, token: str | None = None, timeout: float = 2.0) -> tuple[int, str] | None:
    """GET a URL; give the status and the start of the body, or None if nobody answers."""
    try:
        return ask("GET", url, token=token, timeout=timeout, largest=_LARGEST)
    except (OSError, http.client.HTTPException):
        return None


def ask(
    method: str,
    url: str,
    *,
    token: str | None = None,
    body: object = None,
    timeout: float = 30.0,
    largest: int = 16 * 1024 * 1024,
) -> tuple[int, str]:
    """Make a request; give the status and the body, cut to so many bytes.

    Args:
        method: HTTP's.
        url: with its query, if any.
        token: sent as a bearer token.
        body: sent as JSON, unless it is None.
        timeout: seconds that nothing may come.
        largest: bytes of the answer that are read.

    Raises:
        OSError, http.client.HTTPException: nobody answers, or not as HTTP has it.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=timeout
    )
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent = None
        if body is not None:
            sent = json.dumps(body)
            headers["Content-Type"] = "application/json"
        path = parts.path or "/"
        connection.request(method, f"{path}?{parts.query}" if parts.query else path, sent, headers)
        response = connection.getresponse()
        return response.status, response.read(largest).decode("utf-8", "replace")
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
