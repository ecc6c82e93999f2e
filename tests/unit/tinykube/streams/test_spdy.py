from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

import pytest

from tinykube.node.client import VisitError
from tinykube.streams import spdy
from tinykube.streams.spdy import DICTIONARY, Forwarding


def test_the_dictionary_is_the_drafts() -> None:
    # zlib names a dictionary by this sum; every SPDY/3 stream carries it.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


class Client:
    """The other end: a WebSocket of messages, and SPDY as kubectl speaks it."""

    def __init__(self, connect: Any) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent = bytearray()
        self.grown = asyncio.Event()
        self.closed: tuple[int, str] | None = None
        self.deflate = zlib.compressobj(zdict=DICTIONARY)
        self.task = asyncio.create_task(Forwarding(self, connect).run())  # type: ignore[arg-type]

    # What the WebSocket does.

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send_bytes(self, data: bytes) -> None:
        self.sent += data
        self.grown.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    # What the client does.

    def write(self, data: bytes, at_once: int = 10_000) -> None:
        for at in range(0, len(data), at_once):
            self.inbox.put_nowait({"type": "websocket.receive", "bytes": data[at : at + at_once]})

    def open(self, number: int, **headers: str) -> bytes:
        text = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for word in (name.encode(), value.encode()):
                text += struct.pack(">I", len(word)) + word
        block = self.deflate.compress(text) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", number, 0, 0) + block
        return struct.pack(">HHI", 0x8003, 1, len(body)) + body

    def data(self, number: int, body: bytes, flags: int = 0) -> bytes:
        return struct.pack(">II", number, flags << 24 | len(body)) + body

    async def until(self, count: int) -> list[tuple[int, int, bytes]]:
        """The first `count` frames: (kind or stream, flags, body); kinds are negative."""
        async with asyncio.timeout(30):
            while True:
                self.grown.clear()
                if len(found := self.frames()) >= count:
                    return found
                await self.grown.wait()

    def frames(self) -> list[tuple[int, int, bytes]]:
        found, at = [], 0
        while at + 8 <= len(self.sent):
            word, rest = struct.unpack_from(">II", self.sent, at)
            length = rest & 0xFFFFFF
            body = bytes(self.sent[at + 8 : at + 8 + length])
            found.append((-(word & 0xFFFF) if word >> 31 else word, rest >> 24, body))
            at += 8 + length
        return found

    async def leave(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, 30)


async def echo(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects to a server that gives back, in capitals, what it gets, then ends."""
    if port != 80:
        raise VisitError(f"no process of the pod listens on {port}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        server.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return await asyncio.open_connection(*server.sockets[0].getsockname()[:2])


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
async def test_a_connection(at_once: int) -> None:
    client = Client(echo)
    client.write(
        client.open(1, streamtype="error", port="80", requestID="0")
        + client.open(3, streamtype="data", port="80", requestID="0")
        + client.data(3, b"hello ")
        + client.data(3, b"world", flags=1),
        at_once,
    )

    frames = await client.until(5)
    await client.leave()

    assert [kind for kind, _, _ in frames[:2]] == [-2, -2]
    assert b"".join(body for kind, _, body in frames if kind == 3) == b"HELLO WORLD"
    assert frames[-2:] == [(1, 1, b""), (3, 1, b"")]


async def test_connections_side_by_side() -> None:
    client = Client(echo)
    for index in range(3):
        first = 4 * index + 1
        client.write(
            client.open(first, streamtype="error", port="80", requestID=str(index))
            + client.open(first + 2, streamtype="data", port="80", requestID=str(index))
            + client.data(first + 2, b"n%d" % index, flags=1)
        )

    frames = await client.until(6 + 9)
    await client.leave()

    said = {kind: body for kind, _, body in frames if kind > 0 and body}
    assert said == {3: b"N0", 7: b"N1", 11: b"N2"}


async def test_a_port_that_nobody_listens_on() -> None:
    client = Client(echo)
    client.write(
        client.open(1, streamtype="error", port="81", requestID="0")
        + client.open(3, streamtype="data", port="81", requestID="0")
    )

    frames = await client.until(4)
    await client.leave()

    assert (1, 1, b"no process of the pod listens on 81") in frames


async def test_a_ping_is_answered() -> None:
    client = Client(echo)
    client.write(struct.pack(">HHII", 0x8003, 6, 4, 42))

    assert await client.until(1) == [(-6, 0, struct.pack(">I", 42))]
    await client.leave()


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">HHI", 0x8002, 1, 0),
        struct.pack(">HHI", 0x8003, 1, 0xFFFFFF),
        struct.pack(">HHI", 0x8003, 1, 14) + bytes(14),
        struct.pack(">HHI", 0x8003, 1, 2) + bytes(2),
    ],
)
async def test_what_is_not_spdy_ends_it(data: bytes) -> None:
    client = Client(echo)
    client.write(data)

    await asyncio.wait_for(client.task, 30)

    assert client.closed is not None
    assert client.closed[0] == 1002


async def test_headers_that_unfold_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "_MAX_HEADERS", 100)
    client = Client(echo)
    client.write(client.open(1, streamtype="error", port="80", x="a" * 1000))

    await asyncio.wait_for(client.task, 30)

    assert client.closed == (1002, "headers that are too long")


@pytest.mark.parametrize("headers", [{"port": "x"}, {"port": "99999"}, {"port": "80"}])
async def test_streams_that_make_no_sense(headers: dict[str, str]) -> None:
    client = Client(echo)
    client.write(client.open(1, **headers))

    await asyncio.wait_for(client.task, 30)

    assert client.closed is not None
