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


WAITS = container(waiting={"reason": "PodInitializing"})


def before(*states: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"init-{number}", "state": state} for number, state in enumerate(states)]


def test_a_pod_that_is_being_initialised_waits_for_nothing() -> None:
    found = read(
        pod(
            phase="Pending",
            containerStatuses=WAITS,
            initContainerStatuses=before({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
        )
    )
    assert (found.reason, found.message, found.started) == ("", "", None)


def test_what_an_init_container_waits_for_the_pod_does() -> None:
    image = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    statuses = before(done, image, {"waiting": {"reason": "PodInitializing"}})
    found = read(pod(phase="Pending", containerStatuses=WAITS, initContainerStatuses=statuses))
    assert (found.reason, found.message) == ("ErrImagePull", "no such image")


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        ({"exitCode": 3, "reason": "Error", "message": "no data\n"}, "with exit code 3: no data"),
        ({"exitCode": 137, "reason": "OOMKilled"}, "with exit code 137 (OOMKilled)"),
    ],
)
def test_an_init_container_that_fails_is_why_its_pod_did(
    ended: dict[str, Any], message: str
) -> None:
    statuses = before({"terminated": {"exitCode": 0}}, {"terminated": ended})
    found = read(pod(phase="Failed", containerStatuses=WAITS, initContainerStatuses=statuses))
    assert found.reason == "InitContainerFailed"
    assert found.message == f"the init container 'init-1' ended {message}"
    assert found.exit_code is None


def test_what_a_pod_says_itself_goes_before_its_init_containers() -> None:
    statuses = before({"terminated": {"exitCode": 137, "reason": "Error"}})
    found = read(
        pod(
            phase="Failed",
            reason="DeadlineExceeded",
            message="too long",
            containerStatuses=WAITS,
            initContainerStatuses=statuses,
        )
    )
    assert (found.reason, found.message) == ("DeadlineExceeded", "too long")
    # A sidecar is stopped once the pod's own container has ended, which is what counts.
    own = container(terminated={"exitCode": 2, "reason": "Error"})
    found = read(pod(phase="Failed", containerStatuses=own, initContainerStatuses=statuses))
    assert (found.reason, found.exit_code) == ("Error", 2)
