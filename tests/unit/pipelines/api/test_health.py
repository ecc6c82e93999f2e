"""Whether the service works, and what steps wait for."""

from __future__ import annotations

from starlette.testclient import TestClient

from ..conftest import Bench


def test_nothing_waits(client: TestClient) -> None:
    assert client.get("/waiting").json() == {"steps": 0, "reasons": []}


def test_what_steps_wait_for(client: TestClient, workloads: Bench) -> None:
    workloads.steps = {f"reason {number}": 100 - number for number in range(50)}
    found = client.get("/waiting").json()
    assert found["steps"] == sum(workloads.steps.values())
    assert found["reasons"][0] == {"steps": 100, "reason": "reason 0"}
    assert len(found["reasons"]) == 20
