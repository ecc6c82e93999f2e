"""The log subresource of pods."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, objects, podspec, request, status
from tinykube.node.client import LogOptions, LogsError, NodeLogs
from tinykube.objects import JSON

_TEXT = "text/plain"
# What can be read says so by a first chunk, which may be empty; a node elsewhere may take a while.
_FIRST_SECONDS = 15.0
_OPTIONS = frozenset(
    {
        "container",
        "follow",
        "insecureSkipTLSVerifyBackend",
        "limitBytes",
        "pretty",
        "previous",
        "sinceSeconds",
        "sinceTime",
        "stream",
        "tailLines",
        "timestamps",
    }
)


def container(pod: JSON, asked: str) -> str:
    """The container whose log is asked for. Raises ApiError 400."""
    found = [item["name"] for _, item in podspec.containers(pod)]
    main = [item["name"] for item in pod["spec"]["containers"]]
    name = objects.name(pod)
    if not asked:
        if len(main) == 1:
            return str(main[0])
        raise status.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
        )
    if asked not in found:
        raise status.bad_request(f"container {asked[:80]} is not valid for pod {name}")
    return asked


def options(query: Any) -> LogOptions:
    """The options of the query. Raises ApiError 400."""
    unknown = [name for name in query if name not in _OPTIONS]
    if unknown:
        raise status.bad_request(f"unknown log option {unknown[0][:80]!r}")
    if query.get("stream", "All") != "All":
        raise status.bad_request("stream must be All: a container's output is one stream here")
    since = None
    seconds = request.number(query, "sinceSeconds", least=1)
    if seconds is not None:
        since = time.time() - seconds
    if moment := query.get("sinceTime"):
        if seconds is not None:
            raise status.bad_request(
                "at most one of `sinceTime` or `sinceSeconds` may be specified"
            )
        try:
            since = objects.when(moment).timestamp()
        except ValueError:
            raise status.bad_request(f"sinceTime is no time: {moment[:80]!r}") from None
    return LogOptions(
        follow=request.flag(query, "follow"),
        tail_lines=request.number(query, "tailLines", least=0),
        limit_bytes=request.number(query, "limitBytes", least=1),
        since=since,
        timestamps=request.flag(query, "timestamps"),
        previous=request.flag(query, "previous"),
    )


async def answer(
    http: Request, pod: JSON, logs: NodeLogs, *, asked: str | None = None
) -> Response:
    """Serve the log of the container that the query names, or `asked`. Raises ApiError 400."""
    chosen = container(pod, http.query_params.get("container", "") if asked is None else asked)
    wanted = options(http.query_params)
    if not pod["spec"].get("nodeName"):
        # Kubernetes as well: there is no node to ask.
        return Response(status_code=204)
    chunks = logs.logs(pod, chosen, wanted)
    first = asyncio.create_task(_next(chunks))
    # A node in this process has it at once.
    await asyncio.sleep(0)
    if not first.done():
        await asyncio.wait({first}, timeout=_FIRST_SECONDS)
    if first.done() and (error := first.exception()) is not None:
        if isinstance(error, LogsError):
            raise status.bad_request(str(error)) from error
        raise error
    return answers.Stream(_Chunks(first, chunks), _TEXT)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


class _Chunks:
    """A log whose first chunk is awaited already; closed even if nobody ever reads it."""

    def __init__(self, first: asyncio.Task[bytes | None], rest: AsyncIterator[bytes]) -> None:
        self._first: asyncio.Task[bytes | None] | None = first
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first is None:
            return await anext(self._rest)
        chunk = await self._first
        self._first = None
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Stop reading."""
        if self._first is not None:
            self._first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._first
        close = getattr(self._rest, "aclose", None)
        if close is not None:
            await close()
