"""Who listens, as the kernel tells."""

import os
import socket

import pytest

from sandbox import listening
from sandbox.listening import Listener


@pytest.fixture
def found():
    with listening.ask() as netlink:
        yield lambda: listening.listeners(netlink)


def test_a_listener_is_seen_until_it_is_gone(found):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, port = server.getsockname()
        assert Listener(address, port, os.getuid()) in found()
    assert not any(one.port == port and one.address == address for one in found())


def test_a_connection_is_no_listener(found):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        assert client.getsockname()[1] not in {one.port for one in found()}


def test_one_on_all_addresses_is_told_so_whatever_its_family(found):
    options = {"family": socket.AF_INET6, "dualstack_ipv6": True}
    with socket.create_server(("", 0)) as four, socket.create_server(("::", 0), **options) as six:
        own = found()
        for server in (four, six):
            assert Listener("0.0.0.0", server.getsockname()[1], os.getuid()) in own


def test_one_on_ipv6_alone_is_left_out(found):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert server.getsockname()[1] not in {one.port for one in found()}


def test_many_are_told_in_several_messages(found):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(300)]
    try:
        ports = {server.getsockname()[1] for server in servers}
        assert ports <= {one.port for one in found() if one.address == "127.0.0.1"}
    finally:
        for server in servers:
            server.close()
