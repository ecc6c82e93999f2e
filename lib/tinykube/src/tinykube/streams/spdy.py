"""Port-forward as kubectl has it: SPDY/3.1 inside a WebSocket.

The messages are one stream of bytes. In it each connection is two SPDY streams of the client's,
with the headers `streamtype` (`error`, `data`), `port` and `requestid`. Frames are those of the
SPDY/3.1 draft; there is no flow control, as in the library that Kubernetes uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import zlib
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect

from tinykube.node.client import VisitError
from tinykube.streams.forwarding import Connect

TUNNEL = "SPDY/3.1+portforward.k8s.io"

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_CONTROL, _VERSION = 0x8000, 3
_FIN = 1
_CHUNK = 32 * 1024
_MAX_FRAME = 1 << 20
_MAX_HEADERS = 64 * 1024
_MAX_STREAMS = 1000
_CANCEL = 5


_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language"
    " accept-ranges age allow authorization cache-control connection content-base"
    " content-encoding content-language content-length content-location content-md5"
    " content-range content-type date etag expect expires from host if-match"
    " if-modified-since if-none-match if-range if-unmodified-since last-modified location"
    " max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after"
    " server te trailer transfer-encoding upgrade user-agent vary via warning"
    " www-authenticate method get status"
)


def _dictionary() -> bytes:
    """What the compression of headers begins with (section 2.6.10.1 of the draft)."""
    lines = (
        "200 OK",
        "version",
        "HTTP/1.1",
        "url",
        "public",
        "set-cookie",
        "keep-alive",
        "origin",
    )
    text = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
        "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 "
        "Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
        "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/"
        "xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
        "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    parts = [struct.pack(">I", len(word)) + word.encode() for word in (*_WORDS.split(), *lines)]
    return b"".join(parts) + text.encode()


DICTIONARY = _dictionary()


class SpdyError(Exception):
    """What came is not SPDY/3.1."""


@dataclass(slots=True)
class _Pair:
    """The two streams of a connection, by their numbers; 0 for one that has not come yet."""

    port: int = 0
    error: int = 0
    data: int = 0
    writer: asyncio.StreamWriter | None = None
    waiting: list[bytes] = field(default_factory=list)
    finished: bool = False
    task: asyncio.Task[None] | None = None


class Forwarding:
    """One client's connections.

    Args:
        socket: its WebSocket, accepted.
        connect: connects to a port of the pod.
    """

    def __init__(self, socket: WebSocket, connect: Connect) -> None:
        self._socket = socket
        self._connect = connect
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._pairs: dict[str, _Pair] = {}
        self._streams: dict[int, _Pair] = {}

    async def run(self) -> None:
        """Serve until the client leaves."""
        try:
            while (message := await self._socket.receive())["type"] == "websocket.receive":
                self._buffer += message.get("bytes") or b""
                while (frame := self._next()) is not None:
                    await self._take(*frame)
        except (SpdyError, zlib.error, struct.error) as error:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(1002, str(error)[:100])
        finally:
            tasks = [pair.task for pair in self._pairs.values() if pair.task is not None]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _next(self) -> tuple[int, int, bytes] | None:
        """The next whole frame: its first word, flags, and what it holds."""
        if len(self._buffer) < 8:
            return None
        word, rest = struct.unpack_from(">II", self._buffer)
        flags, length = rest >> 24, rest & 0xFFFFFF
        if length > _MAX_FRAME:
            raise SpdyError(f"a frame of {length} bytes")
        if len(self._buffer) < 8 + length:
            return None
        body = bytes(self._buffer[8 : 8 + length])
        del self._buffer[: 8 + length]
        return word, flags, body

    async def _take(self, word: int, flags: int, body: bytes) -> None:
        if not word >> 31:
            await self._data(word, flags, body)
            return
        version, kind = word >> 16 & 0x7FFF, word & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"version {version} of SPDY")
        if kind == _SYN_STREAM:
            await self._open(body, flags)
        elif kind == _PING:
            await self._send(_control(_PING, body))
        elif kind == _RST_STREAM:
            number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
            pair = self._streams.pop(number, None)
            if pair is not None and pair.task is not None and number == pair.data:
                pair.task.cancel()

    async def _open(self, body: bytes, flags: int) -> None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        headers = self._headers(body[10:])
        if len(self._streams) >= _MAX_STREAMS:
            await self._send(_control(_RST_STREAM, struct.pack(">II", number, _CANCEL)))
            return
        key, port, kind = (headers.get(name, "") for name in ("requestid", "port", "streamtype"))
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise SpdyError(f"port {port[:20]!r}")
        pair = self._pairs.setdefault(key or f"{port}/{number}", _Pair())
        pair.port = int(port)
        if kind == "error":
            pair.error = number
        elif kind == "data":
            pair.data = number
            pair.finished = bool(flags & _FIN)
        else:
            raise SpdyError(f"streamtype {kind[:20]!r}")
        self._streams[number] = pair
        empty = self._deflate.compress(struct.pack(">I", 0))
        empty += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._send(_control(_SYN_REPLY, struct.pack(">I", number) + empty))
        if pair.error and pair.data and pair.task is None:
            name = key or f"{port}/{number}"
            pair.task = asyncio.create_task(self._carry(name, pair))

    def _headers(self, data: bytes) -> dict[str, str]:
        text = self._inflate.decompress(data, _MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers that are too long")
        (count,) = struct.unpack_from(">I", text)
        at, words = 4, []
        for _ in range(2 * min(count, 100)):
            (length,) = struct.unpack_from(">I", text, at)
            words.append(text[at + 4 : at + 4 + length].decode("latin-1"))
            at += 4 + length
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}

    async def _data(self, number: int, flags: int, body: bytes) -> None:
        pair = self._streams.get(number)
        if pair is None or number != pair.data:
            return
        if pair.writer is None:
            pair.waiting.append(body)
        else:
            with contextlib.suppress(OSError):
                pair.writer.write(body)
                await pair.writer.drain()
        if flags & _FIN:
            pair.finished = True
            self._finish(pair)

    @staticmethod
    def _finish(pair: _Pair) -> None:
        """The client has sent all of a connection."""
        if pair.writer is not None and pair.finished:
            with contextlib.suppress(OSError):
                pair.writer.write_eof()

    async def _carry(self, name: str, pair: _Pair) -> None:
        """One connection, from its beginning to its end."""
        fault = b""
        try:
            reader, pair.writer = await self._connect(pair.port)
            for chunk in pair.waiting:
                pair.writer.write(chunk)
            pair.waiting.clear()
            self._finish(pair)
            while chunk := await reader.read(_CHUNK):
                await self._send(_data(pair.data, chunk))
        except (VisitError, OSError) as error:
            fault = str(error).encode()
        finally:
            if pair.writer is not None:
                pair.writer.close()
        # The error stream's end tells the client that there was none.
        await self._send(_data(pair.error, fault, _FIN))
        await self._send(_data(pair.data, b"", _FIN))
        for number in (pair.error, pair.data):
            self._streams.pop(number, None)
        self._pairs.pop(name, None)

    async def _send(self, frame: bytes) -> None:
        # The client may have left: `run` notices.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.send_bytes(frame)


def _control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", _CONTROL | _VERSION, kind, flags << 24 | len(body)) + body


def _data(number: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", number, flags << 24 | len(body)) + body
