"""The routes for steps. A guard with `StepTokens` goes before them and names the caller."""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from toolkit_identity import CALLER
from toolkit_objects import ObjectStoreError

from .. import confined, manifest
from ..contents import ElsewhereError
from ..manifest import ManifestError
from ..root import MAX_RESULT, Attempt
from ..store.interface import StoreError
from .errors import AbsentError, ConflictError, DamagedError
from .exchange import Exchange, Source

log = logging.getLogger(__name__)

PREFIX: Final = "/steps/v1"
TOKEN: Final = "TOOLKIT_STEP_TOKEN"  # noqa: S105 - the name of a variable
"""The variable in which a step gets its token."""
_CHUNK: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-")


class Attempts(Protocol):
    """Which attempts are under way; the engine knows."""

    def under_way(self, run_id: str, pod: str) -> Attempt | None:
        """Give the attempt of a pod, or None if it has ended or never was.

        Raises:
            StartingError: that cannot be told yet.
        """
        ...


class StartingError(Exception):
    """The engine has not taken up the run of this attempt yet."""


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(exchange: Exchange, attempts: Attempts) -> Starlette:
    """Give the routes as an application."""
    steps = _Steps(exchange, attempts)
    app = Starlette(
        routes=[
            Route(f"{PREFIX}/claim", steps.claim, methods=["POST"]),
            Route(f"{PREFIX}/inputs", steps.inputs, methods=["GET"]),
            Route(f"{PREFIX}/outputs", steps.outputs, methods=["POST"]),
            Route(f"{PREFIX}/outputs", steps.place, methods=["GET"]),
            Route(f"{PREFIX}/content", steps.read, methods=["GET"]),
            Route(f"{PREFIX}/content", steps.write, methods=["PUT"]),
            Route(f"{PREFIX}/result", steps.result, methods=["PUT"]),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    for kind, status in _STATUSES.items():
        app.add_exception_handler(kind, _answer(status))
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(ObjectStoreError, _store)
    app.add_exception_handler(StoreError, _database)
    return app


class _Steps:
    def __init__(self, exchange: Exchange, attempts: Attempts) -> None:
        self._exchange = exchange
        self._attempts = attempts

    def _attempt(self, request: Request) -> Attempt:
        run_id, _, pod = request.scope[CALLER].partition(".")
        found = self._attempts.under_way(run_id, pod)
        if found is None:
            raise _Refused(403, "this attempt is not under way any more")
        return found

    async def claim(self, request: Request) -> Response:
        """POST /claim."""
        attempt, data = self._attempt(request), await _json(request)
        wanted = str(data.get("claim")) if isinstance(data, dict) else ""
        return JSONResponse(await _blocking(lambda: self._exchange.claim(attempt, wanted)))

    async def inputs(self, request: Request) -> Response:
        """GET /inputs, or one of them by ?path=PATH."""
        attempt, path = self._attempt(request), request.query_params.get("path")
        if path is not None:
            return JSONResponse(
                _input(await _blocking(lambda: self._exchange.input(attempt, path)))
            )
        found = await _blocking(lambda: self._exchange.inputs(attempt))
        return JSONResponse({"files": [_input(source) for source in found]})

    async def outputs(self, request: Request) -> Response:
        """POST /outputs."""
        attempt = self._attempt(request)
        entries = manifest.parse(await _json(request), self._exchange.part_size)
        files = await _blocking(lambda: self._exchange.declare(attempt, entries))
        return JSONResponse({"files": files})

    async def place(self, request: Request) -> Response:
        """GET /outputs?path=PATH."""
        attempt, path = self._attempt(request), request.query_params.get("path", "")
        return JSONResponse(await _blocking(lambda: self._exchange.place(attempt, path)))

    async def read(self, request: Request) -> Response:
        """GET /content?path=PATH."""
        attempt, path = self._attempt(request), request.query_params.get("path", "")
        wanted = request.headers.get("range", "bytes=0-")
        match = _RANGE.fullmatch(wanted)
        if match is None:
            raise _Refused(416, f"a range must be bytes=N-, not {wanted[:80]!r}")
        stack, descriptor = await _blocking(lambda: self._exchange.open(attempt, path))
        return _File(stack, descriptor, int(match[1]), partial="range" in request.headers)

    async def write(self, request: Request) -> Response:
        """PUT /content?path=PATH."""
        attempt, path = self._attempt(request), request.query_params.get("path", "")
        # Opened, written to and closed in threads: a disk may be slow.
        receiving = self._exchange.receiving(attempt, path)
        upload = await _blocking(receiving.__enter__)
        try:
            async for chunk in request.stream():
                if chunk:
                    await anyio.to_thread.run_sync(upload.write, chunk)
        except BaseException as error:
            found = error
            with anyio.CancelScope(shield=True):
                await _blocking(lambda: _leave(receiving, found))
            raise
        await _blocking(lambda: receiving.__exit__(None, None, None))
        return JSONResponse({}, status_code=201)

    async def result(self, request: Request) -> Response:
        """PUT /result."""
        attempt, data = self._attempt(request), await _json(request)
        await _blocking(lambda: self._exchange.settle(attempt, data))
        return JSONResponse({})


class _File(StreamingResponse):
    """The rest of a file from an offset, its length told in advance."""

    def __init__(self, stack: ExitStack, descriptor: int, start: int, *, partial: bool) -> None:
        self._stack = stack
        file = confined.stream(descriptor)
        stack.callback(file.close)
        size = file.seek(0, 2)
        if start > size:
            stack.close()
            raise _Refused(416, f"the file has {size} bytes; asked for what is after {start}")
        file.seek(start)

        async def chunks() -> AsyncIterator[bytes]:
            left = size - start
            while left:
                # It may grow meanwhile; it ends early if it shrinks, and the reader sees that.
                chunk = await anyio.to_thread.run_sync(file.read, min(_CHUNK, left))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk

        headers = {"content-length": str(size - start)}
        if partial:
            headers["content-range"] = f"bytes {start}-{max(size - 1, start)}/{size}"
        super().__init__(
            chunks(),
            status_code=206 if partial else 200,
            headers=headers,
            media_type="application/octet-stream",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stack:
            await super().__call__(scope, receive, send)


def _leave(receiving: Any, error: BaseException) -> None:
    try:
        receiving.__exit__(type(error), error, error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise


def _input(source: Source) -> dict[str, Any]:
    entry = source.entry
    if entry.folder:
        return {"path": entry.path, "folder": True}
    return {
        "path": entry.path,
        "size": entry.size,
        "sha256": entry.sha256 or None,
        "url": source.url,
    }


async def _json(request: Request) -> Any:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_RESULT:
            raise _Refused(413, f"at most {MAX_RESULT} bytes are taken here")
    try:
        return json.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"the body is not JSON: {error}") from error


async def _blocking(function: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(function)


def _message(status: int, message: str) -> Response:
    headers = {"retry-after": "1"} if status == 503 else {}
    return JSONResponse({"message": message[:2000]}, status_code=status, headers=headers)


def _answer(status: int) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        del request
        return _message(getattr(error, "status", status), str(error))

    return answer


def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    return _message(error.status_code, str(error.detail))


def _disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)  # noqa: S101 - it is registered for these
    log.warning("%s %s: %s", request.method, request.url.path, error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    # The paths of this side are nobody's business.
    return _message(507 if full else 503, f"the pipeline root: {error.strerror}")


def _store(request: Request, error: Exception) -> Response:
    assert isinstance(error, ObjectStoreError)  # noqa: S101 - it is registered for these
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return _message(503 if error.transient else 424, str(error))


def _database(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return _message(503, "the database does not answer")


_STATUSES: Final[dict[type[Exception], int]] = {
    ManifestError: 400,
    AbsentError: 404,
    ConflictError: 409,
    ElsewhereError: 409,
    DamagedError: 422,
    StartingError: 503,
    _Refused: 400,
    ClientDisconnect: 400,
}
