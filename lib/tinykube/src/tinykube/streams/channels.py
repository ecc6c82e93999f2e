"""Numbered streams over one WebSocket, as Kubernetes' `v4.channel.k8s.io` and `v5` have them.

Each message begins with the number of its stream. Version 5 adds a message that closes a stream:
255, then its number.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


class Channels:
    """The streams of one WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, channel: int, data: bytes) -> None:
        """Send a message of a stream; nothing where the client has gone."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._socket.send_bytes(bytes([channel]) + data)
        except (WebSocketDisconnect, RuntimeError):
            # It has gone between two messages; `receive` tells its reader.
            return

    async def receive(self) -> tuple[int, bytes] | None:
        """The next message: its stream and what it says. None once the client has gone."""
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            return None
        # Clients in Python send texts as such.
        data = message.get("bytes") or (message.get("text") or "").encode()
        return (data[0], data[1:]) if data else await self.receive()

    async def close(self, code: int = 1000) -> None:
        """Close the WebSocket."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                await self._socket.close(code)
            except (WebSocketDisconnect, RuntimeError):
                return


def choose(offered: Sequence[str], known: Sequence[str]) -> str | None:
    """The protocol to speak: the first of the client's that is known."""
    return next((name for name in offered if name in known), None)
