"""Statuses as Kubernetes writes them."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_jobs import PodPhase
from toolkit_jobs.status import read


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": status}


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "main", "state": state}]


@pytest.mark.parametrize(
    ("status", "phase", "reason", "message"),
    [
        ({}, PodPhase.PENDING, "", ""),
        ({"phase": "Odd"}, PodPhase.UNKNOWN, "", ""),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available",
                    }
                ],
            },
            PodPhase.PENDING,
            "Unschedulable",
            "0/1 nodes are available",
        ),
        (
            {
                "phase": "Pending",
                "containerStatuses": container(waiting={"reason": "ErrImagePull", "message": "m"}),
            },
            PodPhase.PENDING,
            "ErrImagePull",
            "m",
        ),
        (
            {
                "phase": "Pending",
                "containerStatuses": container(waiting={"reason": "ContainerCreating"}),
            },
            PodPhase.PENDING,
            "",
            "",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": container(
                    terminated={"reason": "OOMKilled", "exitCode": 137}
                ),
            },
            PodPhase.FAILED,
            "OOMKilled",
            "",
        ),
        (
            {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"},
            PodPhase.FAILED,
            "DeadlineExceeded",
            "too long",
        ),
    ],
)
def test_reasons(status: Any, phase: PodPhase, reason: str, message: str) -> None:
    found = read(pod(**status))
    assert (found.phase, found.reason, found.message) == (phase, reason, message)


def test_an_ended_container() -> None:
    state = {
        "exitCode": 3,
        "startedAt": "2026-11-24T00:00:00Z",
        "finishedAt": "2026-11-24T00:00:02Z",
    }
    found = read(pod(phase="Failed", containerStatuses=container(terminated=state)))
    assert found.exit_code == 3
    assert found.started is not None
    assert found.finished is not None
    assert found.finished - found.started == 2.0
    assert found.phase.ended
