"""Connections that are served: how many at a time."""

import asyncio

from minijuju import sockets
from minijuju.socket_server import Server


async def test_no_more_connections_are_served_than_at_most(tmp_path):
    begun, let_go = asyncio.Queue(), asyncio.Event()

    async def handler(reader, writer):
        begun.put_nowait(await reader.readexactly(1))
        await let_go.wait()

    server = Server(tmp_path / "socket", handler, most=2)
    server.start()
    clients = [sockets.connect(tmp_path / "socket") for _ in range(5)]
    try:
        for client in clients:
            client.sendall(b"x")
        async with asyncio.timeout(10):
            for _ in range(2):
                await begun.get()
            for _ in range(100):
                await asyncio.sleep(0)
            assert begun.empty()
            let_go.set()
            for _ in range(3):
                await begun.get()
    finally:
        for client in clients:
            client.close()
        await server.close()
