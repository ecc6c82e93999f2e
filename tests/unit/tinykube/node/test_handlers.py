from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tinykube.node import handlers
from tinykube.node.handlers import HookError, Result

ADDRESS = "127.0.0.1"
NO_CONTAINER: Any = None


async def look(handler: dict[str, Any], seconds: float = 5.0) -> tuple[Result, str]:
    body = {"ports": [{"name": "web", "containerPort": 8080}]}
    found = await handlers.probe(handler, body, NO_CONTAINER, ADDRESS, seconds)
    return found.result, found.message


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server on a port of its own; it ends with its connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(one(reader, writer)))

    server = await asyncio.start_server(accept, ADDRESS, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # Connections that were accepted a moment ago have a task in the loop's next turn.
        await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def http_server(answers: dict[str, bytes]) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers by path; nothing at all where there is none."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return  # Nothing but a connection was wanted.
        asked.append(head)
        answer = answers.get(head.split()[1].decode())
        if answer is None:
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 " + answer + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()

    async with listening(serve) as port:
        yield port, asked


def closed_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind((ADDRESS, 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(
    ("path", "result", "message"),
    [
        ("/ok", Result.SUCCESS, ""),
        ("/moved", Result.SUCCESS, ""),
        ("/away", Result.SUCCESS, ""),
        ("/broken", Result.FAILURE, "HTTP probe failed with statuscode: 503"),
        ("/moved-broken", Result.FAILURE, "HTTP probe failed with statuscode: 503"),
        ("/loop", Result.FAILURE, "stopped after 10 redirects"),
    ],
)
async def test_http(path: str, result: Result, message: str) -> None:
    answers = {
        "/ok": b"204 OK\r\n",
        "/moved": b"302 Found\r\nLocation: /ok\r\n",
        "/away": b"302 Found\r\nLocation: http://example.com/\r\n",
        "/broken": b"503 No\r\n",
        "/moved-broken": b"302 Found\r\nLocation: /broken\r\n",
        "/loop": b"302 Found\r\nLocation: /loop\r\n",
    }
    async with http_server(answers) as (port, asked):
        action = {"port": port, "path": path, "httpHeaders": [{"name": "X-A", "value": "1"}]}
        found, text = await look({"httpGet": action})

    assert found is result
    assert message in text
    assert b"X-A: 1\r\n" in asked[0]
    assert b"User-Agent: kube-probe/" in asked[0]


async def test_http_that_does_not_answer() -> None:
    async with http_server({}) as (port, _):
        found, text = await look({"httpGet": {"port": port}}, 0.1)

    assert found is Result.FAILURE
    assert text == (
        f'Get "http://127.0.0.1:{port}/": context deadline exceeded (Client.Timeout exceeded while'
        " awaiting headers)"
    )


async def test_nobody_listens() -> None:
    port = closed_port()

    assert await look({"httpGet": {"port": port}}) == (
        Result.FAILURE,
        f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused',
    )
    assert await look({"tcpSocket": {"port": port}}) == (
        Result.FAILURE,
        f"dial tcp 127.0.0.1:{port}: connect: connection refused",
    )
    found, text = await look({"grpc": {"port": port}})
    assert found is Result.FAILURE
    assert "connection refused" in text


async def test_tcp() -> None:
    async with http_server({}) as (port, _):
        assert await look({"tcpSocket": {"port": port}}) == (Result.SUCCESS, "")


async def test_a_port_that_has_no_such_name() -> None:
    found, text = await look({"tcpSocket": {"port": "metrics"}})

    assert found is Result.UNKNOWN
    assert "metrics" in text


@pytest.mark.parametrize(
    ("action", "place"),
    [
        ({"port": 80}, "http://127.0.0.1:80/"),
        ({"port": "web", "path": "/a?b=c"}, "http://127.0.0.1:8080/a?b=c"),
        ({"port": 1, "path": "a", "host": "h"}, "http://h:1/a"),
        ({"port": 1, "scheme": "HTTPS", "host": "::1"}, "https://[::1]:1/"),
    ],
)
def test_url(action: dict[str, Any], place: str) -> None:
    body = {"ports": [{"name": "web", "containerPort": 8080}]}

    assert handlers.url(action, body, ADDRESS) == place


@contextlib.asynccontextmanager
async def grpc_server(statuses: dict[bytes, bytes]) -> AsyncIterator[int]:
    """The health service: by the question's bytes, the answer's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        link.initiate_connection()
        body, path = b"", b""
        while True:
            writer.write(link.data_to_send())
            data = await reader.read(65536)
            if not data:
                break
            for event in link.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    path = dict(event.headers)[b":path"]
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    assert path == b"/grpc.health.v1.Health/Check"
                    answer = statuses.get(body)
                    head = [(":status", "200"), ("content-type", "application/grpc")]
                    if answer is None:
                        head.append(("grpc-status", "5"))
                        link.send_headers(event.stream_id, head, end_stream=True)
                        continue
                    link.send_headers(event.stream_id, head)
                    link.send_data(event.stream_id, answer)
                    link.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)

    async with listening(serve) as port:
        yield port


@pytest.mark.parametrize(
    ("service", "result", "message"),
    [
        ("", Result.SUCCESS, ""),
        ("live", Result.FAILURE, 'service unhealthy (responded with "NOT_SERVING")'),
        ("other", Result.FAILURE, "error: health rpc failed: grpc-status 5"),
    ],
)
async def test_grpc(service: str, result: Result, message: str) -> None:
    statuses = {
        b"\0\0\0\0\0": b"\0\0\0\0\2\x08\x01",
        b"\0\0\0\0\6\x0a\x04live": b"\0\0\0\0\2\x08\x02",
    }
    async with grpc_server(statuses) as port:
        found = await look({"grpc": {"port": port, "service": service}})

    assert found == (result, message)


async def test_hooks_over_the_network() -> None:
    async def pause(seconds: float) -> None:
        slept.append(seconds)

    slept: list[float] = []
    await handlers.hook({"sleep": {"seconds": 3}}, {}, NO_CONTAINER, ADDRESS, pause)
    action = {"httpGet": {"port": closed_port()}}
    with pytest.raises(HookError, match="connection refused"):
        await handlers.hook(action, {}, NO_CONTAINER, ADDRESS, pause)
    async with http_server({"/": b"500 No\r\n"}) as (port, asked):
        await handlers.hook({"httpGet": {"port": port}}, {}, NO_CONTAINER, ADDRESS, pause)

    assert slept == [3.0]
    assert len(asked) == 1
