from __future__ import annotations

import os
import time

import pytest

from sandbox.network import NetworkError, Subnet
from tinykube.node.addresses import Addresses


@pytest.fixture
def pods(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).mkdir()
        return tmp_path

    return make


def test_each_pod_has_one_and_keeps_it(pods):
    folder = pods("a", "b")
    given = Addresses(folder, Subnet(20), "127.0.0.1")
    assert [given.of("a"), given.of("b"), given.of("a")] == [
        "127.20.0.1",
        "127.20.0.2",
        "127.20.0.1",
    ]
    again = Addresses(folder, Subnet(20), "127.0.0.1")
    assert again.of("b") == "127.20.0.2"


def test_one_given_back_rests(pods):
    given = Addresses(pods("a", "b"), Subnet(20), "127.0.0.1")
    given.of("a")
    given.release("a")
    assert given.of("b") == "127.20.0.2"


def test_without_a_network_all_have_the_nodes(pods):
    assert Addresses(pods("a"), None, "10.0.0.9").of("a") == "10.0.0.9"


@pytest.mark.parametrize("text", ["", "127.2", "127.21.0.1", "127.20.128.1"])
def test_an_address_that_is_none_of_ours_is_given_anew(pods, text):
    folder = pods("a")
    (folder / "a" / "address").write_text(text)
    assert Addresses(folder, Subnet(20), "127.0.0.1").of("a") == "127.20.0.1"


def test_since_when_a_pod_has_its_own(pods):
    folder = pods("a")
    given = Addresses(folder, Subnet(20), "127.0.0.1")
    before = time.time()
    given.of("a")
    assert before <= given.since("a") <= time.time()
    os.utime(folder / "a" / "address", (1.5, 1.5))
    assert given.since("a") == 1.5
    again = Addresses(folder, Subnet(20), "127.0.0.1")
    again.of("a")
    assert again.since("a") == 1.5
    assert Addresses(folder, None, "10.0.0.9").since("a") is None


def test_none_left(pods, monkeypatch):
    monkeypatch.setattr(Subnet, "size", 1)
    given = Addresses(pods("a", "b"), Subnet(20), "127.0.0.1")
    given.of("a")
    with pytest.raises(NetworkError, match="all 1 addresses"):
        given.of("b")
