"""Who may be at the other end of a socket."""

import asyncio
import os
import socket
from types import SimpleNamespace

import pytest

from minijuju import sockets
from minijuju.socket_server import Server


@pytest.fixture
def strange(monkeypatch):
    """Lets the kernel's answer be that of another user; we are not root."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sockets, "_UCRED", SimpleNamespace(size=12, unpack=lambda _: (7, 1001, 0)))


async def test_another_users_process_is_not_served(tmp_path, strange, caplog):
    async def handler(reader, writer):
        pytest.fail("it was served")

    server = Server(tmp_path / "socket", handler)
    server.start()
    try:
        connection = socket.socket(socket.AF_UNIX)
        folder = os.open(tmp_path, os.O_PATH)
        connection.connect(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    finally:
        await server.close()
    assert "process 7 at the other end is of user 1001" in caplog.text


def test_another_users_controller_is_not_asked(tmp_path, strange):
    listener = sockets.listen(tmp_path / "socket")
    with pytest.raises(PermissionError, match="user 1001"):
        sockets.connect(tmp_path / "socket")
    listener.close()
