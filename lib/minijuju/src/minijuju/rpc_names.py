"""What both ends of the controller's socket must know."""

from __future__ import annotations

import socket
from pathlib import Path

from minijuju import sockets

SOCKET = "controller.socket"
LOCK = "controller.lock"
LOG = "controller.log"
ALREADY_RUNNING = 3
"""The exit code of a controller that found another one on its folder."""

GREETING = b'{"hello": "minijuju"}\n'
"""What a controller says first, so that a caller knows that it lives.

A controller that was killed while it started a process leaves that process, for an instant, with
its listening socket: whoever connects there is connected, and cut off.
"""
GREETING_TIMEOUT = 30.0


def reach(data: Path) -> socket.socket:
    """A connection to the controller of `data`, which has greeted.

    Raises:
        OSError: none lives there.
    """
    connection = sockets.connect(data / SOCKET, GREETING_TIMEOUT)
    try:
        said = b""
        while len(said) < len(GREETING):
            part = connection.recv(len(GREETING) - len(said))
            if not part:
                raise ConnectionResetError(f"{data / SOCKET} was closed")
            said += part
        if said != GREETING:
            raise ConnectionRefusedError(f"{data / SOCKET} is no controller's: it said {said!r}")
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection
