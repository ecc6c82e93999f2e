"""Serves connections to a unix socket; a client needs none of it (see `sockets`)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from minijuju.sockets import check_peer, listen

logger = logging.getLogger(__name__)

ACCEPT_PAUSE = 1.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Serves the connections to the unix socket at `path`, a task for each.

    asyncio's own server loses a connection that it accepts while it is closed (Python 3.11), and
    takes a handler that is cancelled for one that failed.

    Args:
        path: where to listen; an old socket there is replaced.
        handler: serves one connection, which is closed when it returns or is cancelled.
        limit: the longest line that the reader takes, in bytes.
        most: how many connections are served at a time; further ones wait. None: all of them.
    """

    def __init__(
        self, path: Path, handler: Handler, *, limit: int = 2**16, most: int | None = None
    ) -> None:
        self.path = path
        self._handler = handler
        self._limit = limit
        self._most = most
        self._full = False
        self._listener: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen. Raises OSError."""
        self._listener = listen(self.path)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def close(self) -> None:
        """Stop listening, and end every connection but one that is being served by the caller."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        asyncio.get_running_loop().remove_reader(listener)
        listener.close()
        self.path.unlink(missing_ok=True)
        serving = [task for task in self._serving if task is not asyncio.current_task()]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Too many open files, say: without a pause this would be asked for ever.
            logger.error("cannot accept a connection: %s", error)
            loop.remove_reader(self._listener)
            loop.call_later(ACCEPT_PAUSE, self._accept_again)
            return
        try:
            check_peer(connection)
        except OSError as error:
            logger.error("%s: a connection is refused: %s", self.path.name, error)
            connection.close()
            return
        untouched = [connection]
        task = loop.create_task(self._serve(untouched))
        self._serving.add(task)
        if len(self._serving) == self._most:
            self._full = True
            loop.remove_reader(self._listener)

        def done(task: asyncio.Task[None]) -> None:
            self._serving.discard(task)
            if self._full:
                self._full = False
                self._accept_again()
            for left in untouched:
                # Cancelled before it ran at all.
                left.close()
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("a connection ended badly", exc_info=error)

        task.add_done_callback(done)

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _serve(self, untouched: list[socket.socket]) -> None:
        opening = asyncio.open_unix_connection(sock=untouched.pop(), limit=self._limit)
        reader, writer = await opening
        try:
            await self._handler(reader, writer)
        finally:
            writer.close()
