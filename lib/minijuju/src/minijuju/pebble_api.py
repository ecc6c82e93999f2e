"""A small client of Pebble's HTTP API, over its unix socket.

Whoever runs Pebble is its administrator, so nothing here authenticates. The folder of the socket
is opened once and the socket reached through it: a unix socket's path is bounded to 107 bytes,
and data folders are not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

SOCKET = "pebble.socket"
_TIMEOUT = 5.0


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
        """Close connections and the folder."""
        if self._http:
            await self._http.aclose()
            self._http = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def boot_id(self) -> str:
        """The id that Pebble drew when it started (as PID 1 it draws a new one each time)."""
        result = await self._get("/v1/system-info")
        return str(result["boot-id"])

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
        return bool(result["healthy"])

    async def notices(self, after: str | None, wait: float) -> list[Notice]:
        """Wait up to `wait` seconds for notices repeated later than `after`, of any user."""
        query = {"users": "all", "timeout": f"{wait:.3f}s"}
        if after:
            query["after"] = after
        return [
            Notice(
                id=item["id"],
                type=item["type"],
                key=item["key"],
                last_repeated=item["last-repeated"],
                last_data=item.get("last-data") or {},
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
        return Change(result["id"], result["kind"], result["status"], result.get("data") or {})

    async def _get(
        self, path: str, query: Mapping[str, str] | None = None, wait: float = 0
    ) -> Any:
        try:
            response = await self._client().get(path, params=query, timeout=wait + self.patience)
        except (httpx.TransportError, FileNotFoundError) as error:
            # A folder made anew has another Pebble in it: look again next time.
            with contextlib.suppress(httpx.TransportError):
                await self.close()
            raise PebbleUnavailableError(f"{self.folder / SOCKET}: {error!r}") from error
        try:
            document = response.json()
            result = document["result"]
        except (ValueError, KeyError, TypeError):
            raise PebbleApiError(response.status_code, "no answer of Pebble's") from None
        if response.is_error:
            message = result.get("message", "") if isinstance(result, dict) else str(result)
            raise PebbleApiError(response.status_code, message)
        return result

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._descriptor = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            # No TLS on a unix socket; without verify=False every certificate would be loaded.
            transport = httpx.AsyncHTTPTransport(
                uds=f"/proc/self/fd/{self._descriptor}/{SOCKET}", trust_env=False, verify=False
            )
            self._http = httpx.AsyncClient(
                transport=transport, base_url="http://pebble", trust_env=False
            )
        return self._http
