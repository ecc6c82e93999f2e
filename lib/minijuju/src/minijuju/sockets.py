"""Unix sockets at paths of any length; the kernel itself takes no more than 107 bytes.

Both ends are one user's, or root's: besides the modes of socket and folder, who is at the other
end is asked of the kernel.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

# Of the peer: process, user, group.
_UCRED = struct.Struct("3i")


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, which only its owner may connect to; an old one is replaced.

    Raises:
        OSError: the folder is not there or cannot be written.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.chmod(path.name, 0o600, dir_fd=folder)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener


def check_peer(connection: socket.socket) -> None:
    """See that the process at the other end is this user's or root's.

    A container's processes are those of the user who started it, whoever they are inside.

    Raises:
        PermissionError: it is another user's.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(credentials)
    if uid not in (0, os.geteuid()):
        raise PermissionError(
            errno.EPERM, f"process {pid} at the other end is of user {uid}, not of {os.geteuid()}"
        )


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """A socket that is connected to `path`.

    Raises:
        OSError: nobody listens there, or another user does.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        if os.geteuid():
            check_peer(connection)
    except BaseException:
        connection.close()
        raise
    return connection
