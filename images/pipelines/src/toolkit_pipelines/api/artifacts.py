"""Artifacts: what tasks produced, and its content."""

from __future__ import annotations

import base64
import itertools
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .. import naming
from ..contents import AbsentError, Content, ElsewhereError
from ..filters import Field, Kind
from ..store.interface import ArtifactRecord, NotFoundError
from . import messages, requests
from .context import Context, blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import MessageResponse

FIELDS: Mapping[str, Field] = {
    "id": Field("artifact_id"),
    "artifact_id": Field("artifact_id"),
    "run_id": Field("run_id"),
    "name": Field("name"),
    "artifact_type": Field("type"),
    "type": Field("type"),
    "uri": Field("uri"),
    "created_at": Field("created", Kind.TIME),
}

MAX_READ = 32 * 1024 * 1024
"""Bytes that `:read` gives in one JSON message; larger ones are downloaded."""

_TAR_BLOCK = tarfile.BLOCKSIZE
_FILLING = 256 * 1024


def _record(context: Context, text: str) -> ArtifactRecord:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise NotFoundError(f"there is no artifact {text[:40]!r}")
    return context.store.runs.artifact(int(text))


async def get(request: Request) -> Response:
    """GET /artifacts/{artifact_id}; with `?view=DOWNLOAD` the address of its content as well."""
    context, text = context_of(request), request.path_params["artifact_id"]
    view = request.query_params.get("view", "")
    if view not in ("", "ARTIFACT_VIEW_UNSPECIFIED", "BASIC", "DOWNLOAD"):
        raise invalid("view", "must be BASIC or DOWNLOAD")
    record = await blocking(lambda: _record(context, text))
    return MessageResponse(messages.artifact(record, download=view == "DOWNLOAD"))


async def list_(request: Request) -> Response:
    """GET /artifacts; `?run_id=` gives those of one run."""
    context = context_of(request)
    requests.namespace(context, request.query_params.get("namespace", ""))
    run_id = request.query_params.get("run_id", "")
    scope = {"run_id": run_id} if run_id else {}
    query = context.pager.query("artifacts", requests.page(request), FIELDS, scope)
    found, total, following = await blocking(lambda: context.store.runs.artifacts(query))
    token = context.pager.token("artifacts", query, following) if following else ""
    return MessageResponse(
        messages.listing("artifacts", [messages.artifact(x) for x in found], total, token)
    )


async def download(request: Request) -> Response:
    """GET /artifacts/{artifact_id}:download: the file, or the folder as a tar file."""
    context, text = context_of(request), request.path_params["artifact_id"]
    record = await blocking(lambda: _record(context, text))
    stack, content = await blocking(lambda: _opened(context, record))
    # What a step wrote is never shown as a page of this service.
    name = "".join(
        c if (c.isascii() and c.isalnum()) or c in "-_." else "_" for c in record.output
    )
    headers = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
    if content.folder:
        name, chunks = f"{name}.tar", _tar(content)
    else:
        chunks = content.chunks()
    try:
        # What cannot be read at all is told by the status, before there is one.
        first = await blocking(lambda: next(chunks, b""))
    except BaseException:
        stack.close()
        raise
    headers["content-disposition"] = f'attachment; filename="{name}"'
    return _Download(stack, itertools.chain([first], chunks), headers)


async def read(request: Request) -> Response:
    """GET /runs/{run_id}/nodes/{node_id}/artifacts/{artifact_name}:read: the file in base64."""
    context, params = context_of(request), request.path_params
    run_id, node_id, name = params["run_id"], params["node_id"], params["artifact_name"]

    def content() -> bytes:
        context.store.runs.run(run_id)
        for record in context.store.runs.artifacts_of(run_id):
            if record.output == name and naming.task_id(run_id, record.task) == node_id:
                stack, found = _opened(context, record)
                with stack:
                    return _whole(found)
        raise NotFoundError(f"node {node_id!r} of run {run_id} has no artifact {name!r}")

    data = await blocking(content)
    return MessageResponse({"data": base64.b64encode(data).decode("ascii")})


def _opened(context: Context, record: ArtifactRecord) -> tuple[ExitStack, Content]:
    stack = ExitStack()
    try:
        return stack, stack.enter_context(context.contents.opened(record.uri))
    except ElsewhereError as error:
        raise ApiError(
            Code.FAILED_PRECONDITION, f"artifact {record.artifact_id}: {error}"
        ) from error
    except AbsentError as error:
        raise NotFoundError(
            f"the content of artifact {record.artifact_id} ({record.uri}) cannot be read: "
            "it was removed, or was never written"
        ) from error


def _whole(content: Content) -> bytes:
    if content.folder:
        raise ApiError(Code.FAILED_PRECONDITION, "the artifact is a folder; download it")
    data = bytearray()
    for chunk in content.chunks():
        data += chunk
        if len(data) > MAX_READ:
            raise ApiError(
                Code.FAILED_PRECONDITION,
                f"the artifact has more than {MAX_READ} bytes; download it",
            )
    return bytes(data)


def _tar(content: Content) -> Iterator[bytes]:
    for file in content.files():
        entry = tarfile.TarInfo(file.path)
        entry.size, entry.mtime = file.size, int(file.time)
        yield entry.tobuf(tarfile.PAX_FORMAT)
        left = file.size
        for chunk in file.chunks:
            # A file that shrinks meanwhile is filled up, one that grows is cut: the archive stays
            # readable.
            yield chunk[:left]
            left -= min(left, len(chunk))
        while left:
            yield bytes(min(left, _FILLING))
            left -= min(left, _FILLING)
        yield bytes(-file.size % _TAR_BLOCK)
    yield bytes(2 * _TAR_BLOCK)


class _Download(StreamingResponse):
    """Sends chunks that are read off the event loop, then closes what they come from."""

    def __init__(
        self, stack: ExitStack, chunks: Iterator[bytes], headers: Mapping[str, str]
    ) -> None:
        super().__init__(_streamed(chunks), media_type="application/octet-stream", headers=headers)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stack:
            await super().__call__(scope, receive, send)


async def _streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        return next(chunks, None)

    while (chunk := await anyio.to_thread.run_sync(following)) is not None:
        yield chunk


ROUTES = [
    Route("/artifacts", list_, methods=["GET"]),
    Route("/artifacts/{artifact_id}:download", download, methods=["GET"]),
    Route("/artifacts/{artifact_id}", get, methods=["GET"]),
    Route("/runs/{run_id}/nodes/{node_id}/artifacts/{artifact_name}:read", read, methods=["GET"]),
]
