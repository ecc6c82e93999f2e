"""What is written to a connection within one turn of the event loop goes out together.

An answer's head and body, or the lines of a watch, are else a record of TLS, a system call and a
waking of the client each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

# More than this is passed on at once, so that the transport's own limits hold.
_MOST = 64 * 1024


class Gathering(asyncio.Transport):
    """A transport that keeps what is written until the loop's next turn.

    Args:
        transport: what carries it. Its protocol is told by itself when it is full.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data soon, in order."""
        if not data:
            return
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(bytes(data))
        self._size += len(data)
        if self._size > _MOST:
            self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send data soon, in order."""
        for data in list_of_data:
            self.write(data)

    def _flush(self) -> None:
        if not self._kept:
            # It was too much to wait, or the connection was closed.
            return
        data, self._kept, self._size = b"".join(self._kept), [], 0
        self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent yet."""
        return self._size + self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio.WriteTransport."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See asyncio.WriteTransport."""
        return self._transport.get_write_buffer_limits()

    def can_write_eof(self) -> bool:
        """See asyncio.WriteTransport."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Send what was kept, and no more after it."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection once all that was written is sent."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._kept, self._size = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        """True once it is closed, or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """See asyncio.ReadTransport."""
        return self._transport.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who reads from the connection."""
        return self._transport.get_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio.BaseTransport."""
        return self._transport.get_extra_info(name, default)
