"""What is balanced, and the files between the controller and the balancer."""

import pytest

from minijuju import proxy


def test_an_application_is_balanced_on_the_ports_that_its_units_opened():
    found = proxy.routes(
        "127.20.128.1",
        {
            "a/0": ["80/tcp", "53/udp", "icmp"],
            "a/1": ["80/tcp", "8000-8001/tcp"],
            "a/2": ["80/tcp"],
        },
        {"a/0": "127.20.0.1", "a/1": "127.20.0.2"},
    )
    assert found == [
        proxy.Route("127.20.128.1", 80, ("127.20.0.1", "127.20.0.2")),
        proxy.Route("127.20.128.1", 8000, ("127.20.0.2",)),
        proxy.Route("127.20.128.1", 8001, ("127.20.0.2",)),
    ]


@pytest.mark.parametrize(
    "recorded",
    [None, "", '{"pid": 1', '{"pid": 1}', "[]", '{"pid": 1, "started": 0, "boot": "another"}'],
)
def test_a_balancer_is_only_one_that_surely_is_ours(tmp_path, recorded):
    if recorded is not None:
        (tmp_path / "process.json").write_text(recorded)
    assert proxy.Proxy(tmp_path).identity is None


async def test_stopping_one_that_never_ran_is_no_error(tmp_path):
    await proxy.Proxy(tmp_path).stop()
