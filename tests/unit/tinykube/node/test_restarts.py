from __future__ import annotations

from typing import Any

import pytest

from tinykube.node.restarts import BackOff, again


def test_each_wait_is_twice_the_one_before() -> None:
    waits = BackOff()

    assert [waits.delay(1.0) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_long_run_begins_anew() -> None:
    waits = BackOff()
    for _ in range(4):
        waits.delay(1.0)

    assert [waits.delay(600.0), waits.delay(None), waits.delay(1.0)] == [0, 10, 20]


@pytest.mark.parametrize(("restarts", "wait"), [(0, 0), (1, 10), (3, 40), (60, 300)])
def test_after_the_nodes_restart(restarts: int, wait: float) -> None:
    assert BackOff(restarts).delay(1.0) == wait


IN = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
NOT_IN = [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 42]}}]


@pytest.mark.parametrize(
    ("own", "policy", "code", "init", "expected"),
    [
        ({}, "Always", 0, False, True),
        ({}, "OnFailure", 0, False, False),
        ({}, "OnFailure", 1, False, True),
        ({}, "Never", 1, False, False),
        ({}, "Always", 0, True, False),
        ({}, "Always", 1, True, True),
        ({}, "Never", 1, True, False),
        ({"restartPolicy": "Always"}, "Never", 0, True, True),
        ({"restartPolicy": "Never"}, "Always", 1, False, False),
        ({"restartPolicy": "OnFailure"}, "Never", 1, False, True),
        ({"restartPolicy": "Never", "restartPolicyRules": IN}, "Never", 42, False, True),
        ({"restartPolicy": "Never", "restartPolicyRules": IN}, "Never", 1, False, False),
        ({"restartPolicy": "Never", "restartPolicyRules": NOT_IN}, "Never", 1, False, True),
        ({"restartPolicy": "Never", "restartPolicyRules": NOT_IN}, "Never", 42, False, False),
    ],
)
def test_again(own: dict[str, Any], policy: str, code: int, init: bool, expected: bool) -> None:
    assert again(own, policy, code, init=init) is expected
