"""The controller's socket: JSON lines in, JSON lines out.

The controller greets. A request is `{"method": ..., "params": {...}}`. The answer is any number of
`{"progress": text}` and `{"item": value}`, then one `{"result": value}` or
`{"error": {"code": ..., "message": ...}}`. A client that goes away ends what it asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sqlite3
import typing
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from minijuju.errors import BadRequestError, JujuError
from minijuju.rpc_names import GREETING, SOCKET
from minijuju.socket_server import Server as SocketServer

logger = logging.getLogger(__name__)

MAX_LINE = 32 * 1024 * 1024


class Reply:
    """The way back to the client while a method runs."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()

    def progress(self, text: str) -> None:
        """Tell the client how it goes; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._write, {"progress": text})

    async def item(self, value: Any) -> None:
        """Send one item of a stream."""
        self._write({"item": value})
        await self._writer.drain()

    def _write(self, message: dict[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")


Method = Callable[..., Awaitable[Any]]


class Server:
    """Serves `methods` at the socket in `data`."""

    def __init__(self, data: Path, methods: dict[str, Method]) -> None:
        self._methods = methods
        self._server = SocketServer(data / SOCKET, self._connected, limit=MAX_LINE)

    async def start(self) -> None:
        """Listen."""
        self._server.start()

    async def close(self) -> None:
        """Stop listening, and end what is under way."""
        await self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(GREETING)
            while line := await _line(reader):
                gone = asyncio.ensure_future(reader.read(1))
                work = asyncio.ensure_future(self._answer(line, Reply(writer)))
                try:
                    # One request at a time: whatever else arrives is the client's leaving.
                    await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
                    if not work.done():
                        return
                    writer.write(json.dumps(work.result()).encode() + b"\n")
                    await writer.drain()
                finally:
                    for part in (gone, work):
                        part.cancel()
                    await asyncio.gather(gone, work, return_exceptions=True)
        except ConnectionError:
            logger.info("a client went away")

    async def _answer(self, line: bytes, reply: Reply) -> dict[str, Any]:
        try:
            method, params = self._request(line)
            result = await method(reply, **params)
            # What was said before the end has to arrive before the end.
            await asyncio.sleep(0)
            return {"result": result}
        except JujuError as error:
            return {"error": {"code": error.code, "message": str(error)}}
        except (sqlite3.OperationalError, OSError) as error:
            # A full disk, say. Transactions are whole, so that nothing was done by halves.
            logger.error("a request failed: %s", error)
            return {"error": {"code": "failed", "message": f"the controller cannot: {error}"}}
        except Exception as error:
            # A defect of ours fails this request and is logged; the controller goes on.
            logger.exception("a request failed")
            return {"error": {"code": "failed", "message": f"internal error: {error!r}"}}

    def _request(self, line: bytes) -> tuple[Method, dict[str, Any]]:
        try:
            request = json.loads(line)
        except ValueError as error:
            raise BadRequestError(f"the request is no JSON: {error}") from None
        if not isinstance(request, dict) or not isinstance(request.get("params", {}), dict):
            raise BadRequestError('expected {"method": ..., "params": {...}}')
        method = self._methods.get(str(request.get("method")))
        if method is None:
            raise BadRequestError(f"unknown method {request.get('method')!r}")
        params = {
            name: value for name, value in request.get("params", {}).items() if value is not None
        }
        check_params(method, params)
        return method, params


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        # Longer than the limit.
        return b"\n"


def check_params(method: Method, params: dict[str, Any]) -> None:
    """See that the parameters are those the method has, of the kinds it says.

    Raises:
        BadRequestError: one is missing, unknown or of another kind.
    """
    signature = inspect.signature(method)
    hints = typing.get_type_hints(method)
    for name, parameter in signature.parameters.items():
        if name == "reply":
            continue
        if name not in params:
            if parameter.default is inspect.Parameter.empty:
                raise BadRequestError(f"{name} is missing")
            continue
        if not _fits(params[name], hints[name]):
            kind = getattr(hints[name], "__name__", str(hints[name]))
            raise BadRequestError(f"{name}: expected {kind}, got {type(params[name]).__name__}")
    unknown = sorted(set(params) - (set(signature.parameters) - {"reply"}))
    if unknown:
        raise BadRequestError(f"unknown parameter {unknown[0]!r}")


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is None:
        if hint is float:
            return isinstance(value, int | float) and not isinstance(value, bool)
        if hint is int:
            return isinstance(value, int) and not isinstance(value, bool)
        return hint is not None and isinstance(value, hint)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(item, arguments[1]) for item in value.values()
        )
    return any(_fits(value, option) for option in arguments)
