"""A small client of Pebble's HTTP API, over its unix socket.

Whoever runs Pebble is its administrator, so nothing here authenticates. The socket is opened and
reached through its descriptor: a unix socket's path is bounded to 107 bytes, and data folders are
not. Charm and workload may write to its folder, and so what is found there is not trusted: a link
would lead to another unit's Pebble, and who answers may be anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

SOCKET = "pebble.socket"
_TIMEOUT = 5.0
MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of an answer; Pebble keeps notices for a week, a few hundred bytes each."""


class PebbleUnavailableError(Exception):
    """Pebble does not answer (not started, hung or ended)."""


class PebbleApiError(Exception):
    """Pebble answered with an error; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (HTTP {code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice: something happened `occurrences` times; times are RFC 3339, UTC."""

    id: str
    type: str
    key: str
    last_repeated: str
    last_data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A change: work that Pebble does or did; `data` holds a check's name, for one."""

    id: str
    kind: str
    status: str
    data: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def _understood(what: str) -> Iterator[None]:
    """Raises PebbleApiError for an answer without what Pebble's has."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PebbleApiError(200, f"{what}: no answer of Pebble's: {error!r}") from None


def _socket(path: Path) -> int:
    """A descriptor of the socket itself.

    Raises:
        OSError: there is none, or something else.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "no socket is there", str(path))
    return descriptor


class Pebble:
    """The Pebble whose socket lies in `folder`; connections are made as needed and kept.

    Args:
        folder: See above.
        patience: Seconds that an answer may take, apart from what was asked to wait for.
    """

    def __init__(self, folder: Path, *, patience: float = _TIMEOUT) -> None:
        self.folder = folder
        self.patience = patience
        self._descriptor: int | None = None
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close connections and the socket."""
        if self._http:
            await self._http.aclose()
            self._http = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def boot_id(self) -> str:
        """The id that Pebble drew when it started (as PID 1 it draws a new one each time)."""
        with _understood("boot-id"):
            return str((await self._get("/v1/system-info"))["boot-id"])

    async def healthy(self) -> bool:
        """Whether the checks of level `alive` pass; true if there are none."""
        return await self._health("alive")

    async def ready(self) -> bool:
        """Whether those of level `ready` pass as well; true if there are none."""
        return await self._health("ready")

    async def _health(self, level: str) -> bool:
        try:
            result = await self._get("/v1/health", {"level": level})
        except PebbleApiError as error:
            if error.code == 502:
                return False
            raise
        with _understood("health"):
            return bool(result["healthy"])

    async def notices(self, after: str | None, wait: float) -> list[Notice]:
        """Wait up to `wait` seconds for notices repeated later than `after`, of any user."""
        query = {"users": "all", "timeout": f"{wait:.3f}s"}
        if after:
            query["after"] = after
        with _understood("notices"):
            return [
                Notice(
                    id=str(item["id"]),
                    type=str(item["type"]),
                    key=str(item["key"]),
                    last_repeated=str(item["last-repeated"]),
                    last_data=dict(item.get("last-data") or {}),
                )
                for item in await self._get("/v1/notices", query, wait)
            ]

    async def change(self, id_: str) -> Change | None:
        """A change, or None if Pebble has pruned it."""
        try:
            result = await self._get(f"/v1/changes/{id_}")
        except PebbleApiError as error:
            if error.code == 404:
                return None
            raise
        with _understood("a change"):
            data = dict(result.get("data") or {})
            return Change(str(result["id"]), str(result["kind"]), str(result["status"]), data)

    async def _get(
        self, path: str, query: Mapping[str, str] | None = None, wait: float = 0
    ) -> Any:
        try:
            async with asyncio.timeout(wait + self.patience):
                code, answer = await self._ask(path, query)
        except (httpx.TransportError, OSError) as error:
            # Also a TimeoutError. A Pebble that was started anew has another socket: look again
            # next time.
            with contextlib.suppress(httpx.TransportError):
                await self.close()
            raise PebbleUnavailableError(f"{self.folder / SOCKET}: {error!r}") from error
        try:
            result = json.loads(answer)["result"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise PebbleApiError(code, "no answer of Pebble's") from None
        if code >= httpx.codes.BAD_REQUEST:
            message = result.get("message", "") if isinstance(result, dict) else str(result)
            raise PebbleApiError(code, str(message))
        return result

    async def _ask(self, path: str, query: Mapping[str, str] | None) -> tuple[int, bytes]:
        answer = b""
        async with self._client().stream("GET", path, params=query, timeout=None) as response:
            async for part in response.aiter_bytes():
                answer += part
                if len(answer) > MAX_ANSWER:
                    raise PebbleApiError(response.status_code, f"more than {MAX_ANSWER} bytes")
        return response.status_code, answer

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._descriptor = _socket(self.folder / SOCKET)
            # No TLS on a unix socket; without verify=False every certificate would be loaded.
            transport = httpx.AsyncHTTPTransport(
                uds=f"/proc/self/fd/{self._descriptor}", trust_env=False, verify=False
            )
            self._http = httpx.AsyncClient(
                transport=transport, base_url="http://pebble", trust_env=False
            )
        return self._http
