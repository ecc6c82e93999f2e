"""Ports over numbered streams: two for each port, its data and its error.

The first message of each is the port's number, two bytes, the low one first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from tinykube.node.client import VisitError
from tinykube.streams.channels import Channels

Connect = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
_CHUNK = 32 * 1024


async def forward(link: Channels, ports: Sequence[int], connect: Connect) -> None:
    """Connect the client to ports until all connections have ended or it has left."""
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await link.send(channel, port.to_bytes(2, "little"))
    writers: dict[int, asyncio.StreamWriter] = {}
    copies: list[asyncio.Task[None]] = []
    for index, port in enumerate(ports):
        try:
            reader, writer = await connect(port)
        except VisitError as error:
            await link.send(2 * index + 1, str(error).encode())
            continue
        writers[2 * index] = writer
        copies.append(asyncio.create_task(_copy(link, 2 * index, reader)))
    listening = asyncio.create_task(_listen(link, writers))
    try:
        if copies:
            ended = asyncio.create_task(asyncio.wait(copies))
            await asyncio.wait((listening, ended), return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
    finally:
        for task in (listening, *copies):
            task.cancel()
        await asyncio.wait((listening, *copies))
        for writer in writers.values():
            writer.close()


async def _copy(link: Channels, channel: int, reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            await link.send(channel, chunk)


async def _listen(link: Channels, writers: dict[int, asyncio.StreamWriter]) -> None:
    while (message := await link.receive()) is not None:
        channel, data = message
        writer = writers.get(channel)
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
