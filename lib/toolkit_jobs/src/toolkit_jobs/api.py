"""Requests to the Kubernetes API, and watches that keep a list current.

Plain HTTP and JSON rather than lightkube: the same calls with less memory, and the watch under our
own control (resume, expiry, back-off).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from .connection import Connection
from .errors import JobsError, RefusedError, UnavailableError
from .lines import Lines

log = logging.getLogger(__name__)

_METADATA: Final = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
_WATCH_SECONDS: Final = 300
_BACKOFF: Final = (0.05, 5.0)
_LASTING: Final = 1.0
"""Seconds after which a watch that has told nothing may be begun again at once."""
_WARNING: Final = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

_CONNECTIONS: Final = 64
_HEADERS: Final = {
    # What is compressed here would cost both sides more than it saves on the way.
    "Accept-Encoding": "identity",
    # Kubernetes names the manager of an object's fields after it.
    "User-Agent": "toolkit-jobs",
}
# A dry run is answered with a header for each warning.
_MOST_HEADERS: Final = 10_000
_MOST_HEADER: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_NETWORK: Final = (aiohttp.ClientError, OSError)
"""What comes of the network; time-outs and TLS are OSErrors or the library's."""


def _bounds(read: float | None, whole: float | None = None) -> aiohttp.ClientTimeout:
    """Give bounds, all in seconds: `read` between two pieces, `whole` for all of it.

    Until a connection is free it takes 30 at most, to connect (TLS included) 5.
    """
    return aiohttp.ClientTimeout(total=whole, connect=35.0, sock_connect=5.0, sock_read=read)


# The whole of a call is bounded since to send its body is not, while the server reads nothing.
_CALL: Final = _bounds(30.0, 120.0)
_STREAM: Final = _bounds(30.0)
_ENDLESS: Final = _bounds(None)
_WATCH: Final = _bounds(_WATCH_SECONDS + 30.0)


class Api:
    """The API server.

    All methods raise UnavailableError when it cannot be reached, RefusedError when it says no.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tls = connection.tls()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

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
        _, content = await self._answer(method, path, query=query, body=body, headers=headers)
        found = _object(content)
        if found is None:
            # Not the API server's: a proxy's before it, or another server's in its place.
            raise UnavailableError(
                f"the Kubernetes API at {self._connection.url}: {method} {path} is answered with "
                f"no JSON object: {content[:100]!r}"
            )
        return found

    async def warnings(self, path: str, body: Mapping[str, Any]) -> list[str]:
        """Ask what would come of a POST, without its being done; give what the answer warns of."""
        answer, _ = await self._answer("POST", path, query={"dryRun": "All"}, body=body)
        # `299 - "text"`, a header for each (RFC 7234, as Kubernetes writes it).
        found = (_WARNING.fullmatch(each) for each in answer.headers.getall("Warning", ()))
        return [re.sub(r"\\(.)", r"\1", each[1]) for each in found if each]

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
        """GET, in pieces as they come; with `endless` however long the next one takes."""
        bounds = _ENDLESS if endless else _STREAM
        async with self._asked("GET", path, bounds, query=query) as response:
            if response.status >= 300:
                raise await self._error(response)
            try:
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
            except _NETWORK as error:
                raise self._unavailable(f"GET {path}", error) from error

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
        lines = Lines()
        async with self._asked("GET", path, _WATCH, query=query) as response:
            if response.status == 410:
                raise ExpiredError
            if response.status >= 300:
                raise await self._error(response)
            try:
                async for piece in response.content.iter_any():
                    for line in lines.feed(piece):
                        yield json.loads(line)
            except _NETWORK as error:
                # The server went away in the middle of an answer: go on from the last change. If
                # it stays away, the next request tells.
                log.debug("the watch on %s: %s", path, error)
                return
            for line in lines.end():
                yield json.loads(line)

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        asked = self._asked(method, path, _CALL, query=query, body=body, headers=headers)
        async with asked as response:
            if response.status >= 300:
                raise await self._error(response)
            return response, await self._content(response)

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        bounds: aiohttp.ClientTimeout,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the answer as soon as it begins; what is not read of it is cut off."""
        response = await self._send(method, path, bounds, query, body, headers)
        try:
            yield response
        finally:
            if (left := response.connection) is not None and left.transport is not None:
                # TLS' farewell might outlive the loop: nobody waits for it.
                left.transport.abort()
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        bounds: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> aiohttp.ClientResponse:
        whole = {**self._connection.headers(), **(headers or {})}
        content: bytes | io.BytesIO | None = None
        if body is not None:
            whole["Content-Type"] = "application/json"
            content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
            if len(content) > _PIECE:
                # The library writes it in pieces then.
                content = io.BytesIO(content)
        address = f"{self._connection.url}{path}"
        if query:
            address += f"?{urlencode(query)}"
        try:
            return await self._http().request(
                method,
                # It is as it has to go out.
                URL(address, encoded=True),
                data=content,
                headers=whole,
                timeout=bounds,
                allow_redirects=False,
            )
        except (*_NETWORK, ValueError) as error:
            # ValueError: the address, or a token, is none.
            raise self._unavailable(f"{method} {path}", error) from error

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.read()
        except _NETWORK as error:
            asked = f"{response.method} {response.url.path}"
            raise self._unavailable(asked, error) from error

    def _http(self) -> aiohttp.ClientSession:
        # It is made at the first use, since it wants to be where a loop runs.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_PIECE,
                max_line_size=_MOST_HEADER,
                max_field_size=_MOST_HEADER,
                max_headers=_MOST_HEADERS,
            )
        return self._session

    def _unavailable(self, asked: str, error: Exception) -> UnavailableError:
        # Not its repr, which may show the headers of the request, and so the token.
        why = f"{type(error).__name__}: {error}".removesuffix(": ")
        return UnavailableError(f"the Kubernetes API at {self._connection.url}: {asked}: {why}")

    async def _error(self, response: aiohttp.ClientResponse) -> JobsError:
        body = _object(await self._content(response)) or {}
        message = body.get("message") or f"HTTP {response.status}"
        if response.status == 401:
            self._connection.forget_token()
        if response.status in _TRANSIENT or response.status == 401:
            return UnavailableError(message)
        return RefusedError(response.status, body.get("reason") or "", message)


def _object(content: bytes) -> dict[str, Any] | None:
    """Read a JSON object; None if it is none."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


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
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if not version:
                    version = await self._list()
                began, before = clock(), version
                version = await self._follow(version)
                if version != before or clock() - began >= _LASTING:
                    wait = _BACKOFF[0]
                    continue
            except ExpiredError:
                version = ""
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
