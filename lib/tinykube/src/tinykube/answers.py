"""HTTP answers: JSON, Status objects, and streams that end when the client goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tinykube import objects
from tinykube.status import ApiError

JSON_TYPE = "application/json"


def raw(data: str, *, code: int = 200, warnings: Sequence[str] = ()) -> Response:
    """An answer of JSON text."""
    response = Response(data.encode("ascii"), code, media_type=JSON_TYPE)
    for warning in warnings:
        warn(response, warning)
    return response


def warn(response: Response, warning: str) -> None:
    """Add a warning to an answer, as kubectl shows it."""
    text = warning.encode("ascii", "backslashreplace").decode("ascii")
    quoted = "".join(
        letter if letter.isprintable() else "?" for letter in text.replace("\\", "\\\\")
    ).replace('"', '\\"')
    response.headers.append("Warning", f'299 - "{quoted}"')


def error(problem: ApiError, *, warnings: Sequence[str] = ()) -> Response:
    """An error's Status."""
    response = raw(objects.dump(problem.status()), code=problem.code, warnings=warnings)
    if problem.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if problem.code == 413:
        # What is left of the body is not worth reading.
        response.headers["Connection"] = "close"
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


class Stream(Response):
    """An answer that goes on: sends what `chunks` yields until it ends or the client leaves."""

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str) -> None:
        self.chunks = chunks
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body = b""
        self.init_headers(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the answer."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                if not task.done():
                    task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        with contextlib.suppress(asyncio.CancelledError):
            await sending

    async def _send(self, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        try:
            # Nothing may come for long: the client must learn now that it is served.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            async for chunk in self.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            close = getattr(self.chunks, "aclose", None)
            if close is not None:
                await close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
