"""A container in advance gets a request whole or not at all: none may start beside another."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from sandbox import zygote

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    made = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    yield made[0], made[1]
    for pair in made:
        for end in pair:
            end.close()


def spare(outer: Pair, inner: Pair) -> zygote._Spare:
    return zygote._Spare(b"0 0 []", 0.0, 1, outer[0], inner[0])


def test_each_gets_its_part(pairs: tuple[Pair, Pair]) -> None:
    outer, inner = pairs

    assert spare(outer, inner).take(0, 1, 2, 2)

    for (_, end), count in ((outer, 2), (inner, 3)):
        said, descriptors, _, _ = socket.recv_fds(end, 1, 4)
        assert (said, len(descriptors)) == (b"1", count)
        for descriptor in descriptors:
            os.close(descriptor)
        assert end.recv(1) == b""


@pytest.mark.parametrize("ended", [0, 1], ids=["monitor", "PID 1"])
def test_where_one_has_ended_the_other_gets_nothing(pairs: tuple[Pair, Pair], ended: int) -> None:
    pairs[ended][1].close()

    assert not spare(*pairs).take(0, 1, 2, 2)

    assert pairs[1 - ended][1].recv(1) == b""
