"""The files between an owner and its balancer."""

import pytest

from sandbox import proxy


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
