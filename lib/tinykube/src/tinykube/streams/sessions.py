"""A command's streams over numbered ones (exec), and a log's (attach)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sandbox.execution import Execution
from tinykube import objects
from tinykube.streams import channels
from tinykube.streams.channels import Channels

_CHUNK = 32 * 1024
# What a command leaves running may hold its output open.
_DRAIN = 0.5
_MAX_SIZE = 10_000


async def execute(link: Channels, execution: Execution) -> None:
    """Carry a command's streams to their ends; its exit code closes the session."""
    outputs = [
        asyncio.create_task(_copy(link, channel, stream))
        for channel, stream in (
            (channels.STDOUT, execution.stdout),
            (channels.STDERR, execution.stderr),
        )
        if stream is not None
    ]
    gone = asyncio.create_task(_input(link, execution))
    ended = asyncio.create_task(execution.wait())
    tasks = {gone, ended, *outputs}
    try:
        await asyncio.wait({gone, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            return  # The client has left; who made the command ends it.
        if outputs:
            await asyncio.wait(outputs, timeout=_DRAIN)
        await link.send(channels.ERROR, objects.dump(outcome(ended.result())).encode())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def attach(link: Channels, output: AsyncIterator[bytes]) -> None:
    """Carry what a container prints, until it ends or the client leaves."""

    async def copy() -> None:
        async for chunk in output:
            await link.send(channels.STDOUT, chunk)
        await link.send(channels.ERROR, objects.dump(outcome(0)).encode())

    async def listen() -> None:
        while await link.receive() is not None:
            continue  # A container's standard input is empty.

    await until_first(copy, listen)


async def until_first(*works: Callable[[], Awaitable[None]]) -> None:
    """Do several things until one of them is done; what fails is raised."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def outcome(code: int) -> dict[str, Any]:
    """The Status that ends a session."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def _copy(link: Channels, channel: int, stream: asyncio.StreamReader) -> None:
    while chunk := await stream.read(_CHUNK):
        await link.send(channel, chunk)


async def _input(link: Channels, execution: Execution) -> None:
    """Carry what the client sends; returns when it has left."""
    while (message := await link.receive()) is not None:
        channel, data = message
        if channel == channels.STDIN and execution.stdin is not None:
            # It may have ended, or have closed its input.
            with contextlib.suppress(OSError):
                execution.stdin.write(data)
                await execution.stdin.drain()
        elif channel == channels.CLOSE and data == bytes([channels.STDIN]):
            if execution.stdin is not None and execution.terminal is None:
                execution.stdin.close()
        elif channel == channels.RESIZE:
            _resize(execution, data)


def _resize(execution: Execution, data: bytes) -> None:
    try:
        size = objects.parse(data)
        rows, columns = int(size["Height"]), int(size["Width"])
    except (ValueError, TypeError, KeyError):
        return  # A size that nobody can read changes nothing.
    if 0 < rows < _MAX_SIZE and 0 < columns < _MAX_SIZE:
        execution.resize(rows, columns)
