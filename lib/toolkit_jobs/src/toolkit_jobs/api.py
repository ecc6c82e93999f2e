"""Requests to the Kubernetes API, and watches that keep a list current.

Plain HTTP and JSON rather than lightkube: the same calls with 9 MiB less memory, and the watch
under our own control (resume, expiry, back-off).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from .connection import Connection
from .errors import JobsError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

_METADATA: Final = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
_WATCH_SECONDS: Final = 300
_BACKOFF: Final = (0.05, 5.0)
_WARNING: Final = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Api:
    """The API server.

    All methods raise UnavailableError when it cannot be reached, RefusedError when it says no.
    """

    def __init__(
        self, connection: Connection, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` takes the network's place in tests."""
        self._connection = connection
        self._http = httpx2.AsyncClient(
            base_url=connection.url,
            verify=connection.tls(),
            timeout=httpx2.Timeout(30.0, connect=5.0),
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
            trust_env=False,
            transport=transport,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make a request; give the object in the answer."""
        response = await self._answer(method, path, query=query, body=body, headers=headers)
        found: dict[str, Any] = response.json()
        return found

    async def warnings(self, path: str, body: Mapping[str, Any]) -> list[str]:
        """Ask what would come of a POST, without its being done; give what the answer warns of."""
        response = await self._answer("POST", path, query={"dryRun": "All"}, body=body)
        # `299 - "text"`, a header for each (RFC 7234, as Kubernetes writes it).
        found = (_WARNING.fullmatch(each) for each in response.headers.get_list("warning"))
        return [re.sub(r"\\(.)", r"\1", each[1]) for each in found if each]

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        whole = {**self._connection.headers(), **(headers or {})}
        try:
            response = await self._http.request(
                method, path, params=query, json=body, headers=whole
            )
        except httpx2.TransportError as error:
            raise UnavailableError(
                f"the Kubernetes API at {self._connection.url}: {error!r}"
            ) from error
        if response.status_code >= 300:
            raise self._error(response)
        return response

    async def find(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """GET; {} if there is no such thing."""
        try:
            return await self.call("GET", path, query=query, headers=headers)
        except RefusedError as error:
            if error.code != 404:
                raise
            return {}

    async def metadata(self, path: str) -> dict[str, Any]:
        """GET an object's metadata without its content; {} if there is no such thing."""
        return (await self.find(path, headers=_METADATA)).get("metadata") or {}

    async def drop(self, path: str, query: Mapping[str, str]) -> None:
        """DELETE, if it is there."""
        try:
            await self.call("DELETE", path, query=query)
        except RefusedError as error:
            if error.code != 404:
                raise

    async def stream(
        self, path: str, query: Mapping[str, str], *, endless: bool
    ) -> AsyncIterator[bytes]:
        """GET, in chunks; with `endless` however long the next one takes."""
        timeout = httpx2.Timeout(30.0, connect=5.0, read=None if endless else 30.0)
        try:
            async with self._http.stream(
                "GET", path, params=query, headers=self._connection.headers(), timeout=timeout
            ) as response:
                if response.status_code >= 300:
                    await response.aread()
                    raise self._error(response)
                async for chunk in response.aiter_raw(64 * 1024):
                    yield chunk
        except httpx2.TransportError as error:
            raise UnavailableError(f"{path}: {error!r}") from error

    async def events(self, path: str, selector: str, version: str) -> AsyncIterator[Any]:
        """Give the changes after `version`, until the server ends the watch.

        Raises:
            ExpiredError: changes since `version` are not kept any more.
        """
        query = {
            "labelSelector": selector,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = httpx2.Timeout(30.0, connect=5.0, read=_WATCH_SECONDS + 30.0)
        try:
            async with self._http.stream(
                "GET", path, params=query, headers=self._connection.headers(), timeout=timeout
            ) as response:
                if response.status_code == 410:
                    raise ExpiredError
                if response.status_code >= 300:
                    await response.aread()
                    raise self._error(response)
                async for line in response.aiter_lines():
                    if line:
                        yield json.loads(line)
        except httpx2.RemoteProtocolError:
            # The server went away in the middle of an answer: go on from the last change.
            return
        except httpx2.TransportError as error:
            raise UnavailableError(f"the watch on {path}: {error!r}") from error

    def _error(self, response: httpx2.Response) -> JobsError:
        try:
            body = response.json()
        except ValueError:
            body = {}
        if not isinstance(body, dict):
            body = {}
        message = body.get("message") or f"HTTP {response.status_code}"
        if response.status_code == 401:
            self._connection.forget_token()
        if response.status_code in _TRANSIENT or response.status_code == 401:
            return UnavailableError(message)
        return RefusedError(response.status_code, body.get("reason") or "", message)


class ExpiredError(Exception):
    """A watch has to begin with a new list."""


@dataclass(slots=True)
class Watch:
    """Keeps a list of objects current.

    Attributes:
        path, selector: of the list.
        changed: told of each object that is new or has changed, and of all of a new list.
        gone: told of each object that is there no more, as it last was.
        listed: set once the first list has come.
        objects: the last list and what changed since, by name.
    """

    api: Api
    path: str
    selector: str
    changed: Callable[[Mapping[str, Any]], None]
    gone: Callable[[Mapping[str, Any]], None]
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    objects: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    async def run(self) -> None:
        """Work until cancelled, whatever happens to the API."""
        wait, version = _BACKOFF[0], ""
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._follow(version)
                wait = _BACKOFF[0]
            except ExpiredError:
                version, wait = "", _BACKOFF[0]
            except (JobsError, ValueError, KeyError) as error:
                # Whatever it was, the way out is to list again; a refusal (a role taken away) may
                # be lifted, so it is tried for ever, each time a little later.
                if isinstance(error, UnavailableError):
                    log.warning("following %s: %s", self.path, error)
                else:
                    log.error("following %s: %s", self.path, error)
                    version = ""
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                wait = min(wait * 2, _BACKOFF[1])

    async def _list(self) -> str:
        found = await self.api.call("GET", self.path, query={"labelSelector": self.selector})
        current = {item["metadata"]["name"]: item for item in found.get("items") or []}
        lost = [item for name, item in self.objects.items() if name not in current]
        self.objects = current
        for item in lost:
            self.gone(item)
        for item in current.values():
            self.changed(item)
        self.listed.set()
        return str(found["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> str:
        """Take in changes after `version`; give where to go on."""
        async for event in self.api.events(self.path, self.selector, version):
            item = event["object"]
            if event["type"] == "ERROR":
                if item.get("code") == 410:
                    raise ExpiredError
                raise UnavailableError(str(item.get("message")))
            version = item["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            name = item["metadata"]["name"]
            if event["type"] == "DELETED":
                self.objects.pop(name, None)
                self.gone(item)
            else:
                self.objects[name] = item
                self.changed(item)
        return version
