"""What of MLflow's surface this service offers, how large a request may be, and readiness."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import posixpath
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from typing import Any

from toolkit_objects import ObjectStore, ObjectStoreError

from . import database
from .database import DatabaseError
from .delivery import Delivery
from .settings import Settings

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Left out, by the path segments below `/api/N/` or `/ajax-api/N/` (`mlflow/` not counted), or at
# the root. Each would let whoever holds a token run commands on the server's machine (assistant,
# jobs), make it call addresses of their choice (webhooks, gateway) or needs job runners that this
# service does not start.
LEFT_OUT = {
    "assistant": "the assistant",
    "gateway": "the AI gateway",
    "gateway-proxy": "the AI gateway",
    "jobs": "server-side jobs",
    "prompt-optimization": "server-side jobs",
    "webhooks": "webhooks",
}
# MLflow holds a whole request body in memory, except where it streams artifacts.
LARGEST_BODY = 64 << 20
STORE_PATH = "/artifact-store"
"""Tells whether the object store can be used, tried now (not of MLflow)."""
_STREAMED = ("/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/")
_READY_TIMEOUT = 5.0  # seconds


def left_out(path: str) -> str | None:
    """Name the feature that a request path belongs to if it is one that is left out."""
    segments = [part for part in posixpath.normpath(path.lower()).split("/") if part]
    if segments and segments[0] in ("api", "ajax-api"):
        segments = segments[2:]  # the version
        if segments and segments[0] == "mlflow":
            segments = segments[1:]
    return LEFT_OUT.get(segments[0]) if segments else None


def plain(path: str) -> bool:
    """Tell whether an artifact's path leads straight down: no empty, dot or odd segments."""
    return all(
        segment not in ("", ".", "..") and "\\" not in segment and segment.isprintable()
        for segment in path.split("/")
    )


class _TooLargeError(Exception):
    """The body grew past the limit."""


async def _send(send: Send, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    await _send(send, status, {"error_code": code, "message": message})


class Surface:
    """Stand before MLflow's application: leave features out, bound bodies, answer `/ready`.

    Args:
        app: MLflow's application.
        settings: the server's; `/ready` tries its database and artifact folder.
        objects: the object store that artifacts are kept in, if one is set; `/artifact-store`
            tries it.
    """

    def __init__(self, app: App, settings: Settings, objects: ObjectStore | None = None) -> None:
        self._app = app
        self._settings = settings
        self._objects = objects
        self._delivery = Delivery(objects) if objects is not None else None
        self._postgresql = database.reader(settings, _READY_TIMEOUT / 2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/ready":
            await self._ready(send)
        elif scope["path"] == STORE_PATH:
            await self._tell_store(send)
        elif feature := left_out(scope["path"]):
            await _answer(send, 403, "FEATURE_DISABLED", f"this server does not offer {feature}")
        elif scope["path"].startswith(_STREAMED):
            path = scope["path"].partition("/artifacts/")[2]
            if scope["method"] == "DELETE":
                # MLflow's client ends a folder that it deletes so.
                path = path.removesuffix("/")
            if plain(path):
                await self._artifact(path, scope, receive, send)
            else:
                text = "the artifact's path has an empty, '.' or '..' part or control characters"
                await _answer(send, 400, "INVALID_PARAMETER_VALUE", text)
        else:
            await self._bounded(scope, receive, send)

    async def _artifact(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None
        if self._delivery is not None and scope["method"] == "GET":
            answer = await self._delivery.answer(path)
        await (answer or self._app)(scope, receive, send)

    async def _tell_store(self, send: Send) -> None:
        uri, problem, transient = "", "", False
        if self._objects is not None:
            uri = self._objects.uri
            try:
                await asyncio.to_thread(self._objects.check)
            except ObjectStoreError as error:
                problem, transient = str(error), error.transient
        await _send(send, 200, {"uri": uri, "problem": problem, "transient": transient})

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > LARGEST_BODY:
            await self._refuse_body(send)
            return
        received = 0
        refused = False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                # Answered here: on its way out the error becomes MLflow's own answer, a 500.
                refused = True
                await self._refuse_body(send)
                raise _TooLargeError
            return message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        try:
            await self._app(scope, counted, unless_refused)
        except _TooLargeError:
            logger.info("refused a body larger than %d bytes", LARGEST_BODY)

    @staticmethod
    async def _refuse_body(send: Send) -> None:
        text = f"the request is larger than {LARGEST_BODY >> 20} MiB; send files as artifacts"
        await _answer(send, 413, "REQUEST_LIMIT_EXCEEDED", text)

    async def _ready(self, send: Send) -> None:
        try:
            async with asyncio.timeout(_READY_TIMEOUT):
                await asyncio.to_thread(self._try)
        except (OSError, sqlite3.Error, DatabaseError, TimeoutError) as error:
            logger.error("not ready: %s", error or "the database does not answer")
            await _answer(send, 503, "NOT_READY", "the database or the artifacts are out of reach")
            return
        await _send(send, 200, {"status": "ready"})

    def _try(self) -> None:
        if self._postgresql is not None:
            database.check(self._postgresql)
        else:
            self._try_sqlite()
        if not os.access(self._settings.artifacts, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{self._settings.artifacts}: cannot be written to")

    def _try_sqlite(self) -> None:
        # As a reader that makes no file: a database that is gone is an error, not an empty one.
        uri = f"{self._settings.database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_READY_TIMEOUT / 2)) as connection:
            if connection.execute("SELECT version_num FROM alembic_version").fetchone() is None:
                raise sqlite3.DatabaseError("the database has no schema")
