"""A real HTTP server on loopback, in a test's own loop: it answers, or fails, as the test says."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web
from multidict import CIMultiDictProxy


class CutError(Exception):
    """Raised by what answers: the connection ends, in the middle of an answer or before it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, all of which has come; `raw_path` is path and query as they were sent."""

    method: str
    path: str
    raw_path: str
    query: dict[str, str]
    headers: CIMultiDictProxy[str]
    content: bytes
    raw: web.BaseRequest = field(repr=False)

    def json(self) -> Any:
        """The content's JSON."""
        return json.loads(self.content)


Answering: TypeAlias = Callable[[Asked], Awaitable[web.StreamResponse]]


async def streamed(asked: Asked, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Answer in pieces, each sent as it comes."""
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(asked.raw)
    async for piece in pieces:
        await answer.write(piece)
    return answer


@contextlib.asynccontextmanager
async def serving(
    answering: Answering, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve until the block ends; gives the address."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        content = await request.content.read()
        asked = Asked(
            request.method,
            request.path,
            request.raw_path,
            dict(request.query),
            request.headers,
            content,
            request,
        )
        try:
            return await answering(asked)
        except CutError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

    # Whoever answers is cancelled once the client has left, so that none outlives the test.
    server = web.Server(handle, handler_cancellation=True)
    runner = web.ServerRunner(server, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"{'https' if tls else 'http'}://{shown}:{port}"
    finally:
        await runner.cleanup()
