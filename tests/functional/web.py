"""Plain HTTP for tests: httpx2 without the TLS that each of its clients prepares.

That costs 50 ms of CPU a client, which is half a core while a test waits for a service.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx2

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client(**options: Any) -> httpx2.Client:
    """A client for `http://` alone; it heeds no proxy of the environment, and is patient."""
    return httpx2.Client(verify=_NO_TLS, trust_env=False, **{"timeout": 60, **options})


def get(url: str, **options: Any) -> httpx2.Response:
    with client() as session:
        return session.get(url, **options)


def post(url: str, **options: Any) -> httpx2.Response:
    with client() as session:
        return session.post(url, **options)


def put(url: str, **options: Any) -> httpx2.Response:
    with client() as session:
        return session.put(url, **options)
