from __future__ import annotations

from collections.abc import Sequence

import pytest

from tinykube.node import restarts, status
from tinykube.node.status import ContainerView, Running, State, Terminated, Waiting

OK = Terminated(0, "Completed", 1.0, 2.0)
BAD = Terminated(3, "Error", 1.0, 2.0)
WAIT = Waiting("ContainerCreating")
RUN = Running(1.0)


def view(
    state: State,
    name: str = "m",
    last: Terminated | None = None,
    policy: str = "Never",
    *,
    init: bool = False,
    **more: bool,
) -> ContainerView:
    ended = isinstance(state, Terminated)
    running = isinstance(state, Running)
    again = ended and restarts.again({}, policy, state.code, init=init)
    plain = {"started": running, "ready": running, "final": ended and not again}
    cid = "" if isinstance(state, Waiting) and last is None else "sandbox://x"
    return ContainerView(name, "image", state, container_id=cid, last=last, **(plain | more))


@pytest.mark.parametrize(
    ("policy", "init", "main", "phase"),
    [
        ("Never", [], [WAIT], "Pending"),
        ("Never", [], [RUN], "Running"),
        ("Never", [], [RUN, WAIT], "Pending"),
        ("Never", [], [RUN, BAD], "Running"),
        ("Never", [], [OK, OK], "Succeeded"),
        ("Never", [], [OK, BAD], "Failed"),
        ("OnFailure", [], [OK], "Succeeded"),
        ("OnFailure", [], [BAD], "Running"),
        ("Always", [], [OK], "Running"),
        ("Always", [], [BAD], "Running"),
        ("Never", [RUN], [WAIT], "Pending"),
        ("Never", [OK], [RUN], "Running"),
        ("Never", [BAD], [WAIT], "Failed"),
        ("OnFailure", [BAD], [WAIT], "Pending"),
        ("Always", [OK, BAD], [WAIT], "Pending"),
    ],
)
def test_phase(policy: str, init: list[State], main: list[State], phase: str) -> None:
    views = [view(state, policy=policy) for state in main]
    first = [view(state, policy=policy, init=True) for state in init]

    assert status.phase(first, views, ended=False) == phase


def test_waiting_for_a_restart_is_running() -> None:
    waiting = view(Waiting("CrashLoopBackOff"), last=BAD)

    assert status.phase([], [waiting], ended=False) == "Running"


@pytest.mark.parametrize(
    ("side", "main", "phase"),
    [
        (view(RUN, sidecar=True, started=False), WAIT, "Pending"),
        (view(RUN, sidecar=True), WAIT, "Pending"),
        (view(RUN, sidecar=True), RUN, "Running"),
        (view(BAD, sidecar=True, final=False), RUN, "Running"),
        (view(RUN, sidecar=True), OK, "Running"),
        (view(BAD, sidecar=True, final=False), OK, "Succeeded"),
        (view(OK, sidecar=True, final=False), BAD, "Failed"),
    ],
)
def test_phase_beside_a_sidecar(side: ContainerView, main: State, phase: str) -> None:
    assert status.phase([side], [view(main)], ended=False) == phase


@pytest.mark.parametrize(
    ("policy", "init", "main", "phase"),
    [
        ("Always", [], [OK], "Succeeded"),
        ("Always", [], [BAD], "Failed"),
        ("Always", [], [WAIT], "Failed"),
        ("OnFailure", [RUN], [WAIT], "Failed"),
    ],
)
def test_phase_of_a_pod_that_was_ended(
    policy: str, init: list[State], main: list[State], phase: str
) -> None:
    views = [view(state, policy=policy) for state in main]

    assert status.phase([view(s, init=True) for s in init], views, ended=True) == phase


def compute(
    init: list[ContainerView],
    main: list[ContainerView],
    gates: Sequence[str] = (),
    **more: object,
) -> dict[str, object]:
    pod = {
        "spec": {"restartPolicy": "Never"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    }
    if gates:
        pod["spec"]["readinessGates"] = [{"conditionType": gate} for gate in gates]  # type: ignore[index,call-overload]
    return status.compute(pod, init, main, started=0.0, address="127.0.0.1", **more)  # type: ignore[arg-type]


def conditions(body: dict[str, object]) -> dict[str, tuple[str, str]]:
    items = body["conditions"]
    assert isinstance(items, list)
    return {item["type"]: (item["status"], item.get("reason", "")) for item in items}


def test_conditions_of_a_running_pod() -> None:
    assert conditions(compute([], [view(RUN)])) == {
        "PodScheduled": ("True", ""),
        "PodReadyToStartContainers": ("True", ""),
        "Initialized": ("True", ""),
        "Ready": ("True", ""),
        "ContainersReady": ("True", ""),
    }


def test_readiness_gates() -> None:
    body = compute([], [view(RUN)], gates=["example.com/up", "PodScheduled"])

    assert conditions(body)["ContainersReady"] == ("True", "")
    assert conditions(body)["Ready"] == ("False", "ReadinessGatesNotReady")
    assert any(
        'readiness gate "example.com/up" does not exist.' in item.get("message", "")
        for item in body["conditions"]  # type: ignore[attr-defined]
    )


def test_a_running_container_that_is_not_ready() -> None:
    body = compute([view(RUN, "s", sidecar=True, ready=False)], [view(RUN, ready=False)])

    assert conditions(body)["Ready"] == ("False", "ContainersNotReady")
    assert any(
        item.get("message") == "containers with unready status: [s m]"
        for item in body["conditions"]  # type: ignore[attr-defined]
    )


def test_conditions_while_it_initialises() -> None:
    body = compute([view(OK, "a"), view(RUN, "b")], [view(WAIT)])

    found = conditions(body)
    assert found["Initialized"] == ("False", "ContainersNotInitialized")
    assert found["Ready"] == ("False", "ContainersNotReady")
    messages = [c.get("message") for c in body["conditions"]]  # type: ignore[attr-defined]
    assert "containers with incomplete status: [b]" in messages
    assert "containers with unready status: [m]" in messages


def test_conditions_of_a_finished_pod() -> None:
    found = conditions(compute([], [view(OK)], ended=True))

    assert found["Initialized"] == ("True", "PodCompleted")
    assert found["Ready"] == ("False", "PodCompleted")
    assert found["ContainersReady"] == ("False", "PodCompleted")


def test_a_pod_that_the_node_has_failed() -> None:
    body = compute([], [view(OK)], ended=True, failure=("DeadlineExceeded", "too long"))

    assert (body["phase"], body["reason"]) == ("Failed", "DeadlineExceeded")
    assert body["message"] == "too long"


def test_a_containers_status() -> None:
    body = ContainerView(
        "m", "python:3.11", BAD, "process.local/x", "sandbox://u/m/1", last=OK, restarts=1
    ).json(init=False)

    assert body["state"]["terminated"]["exitCode"] == 3
    assert body["state"]["terminated"]["finishedAt"] == "1970-01-01T00:00:02Z"
    assert body["lastState"]["terminated"]["reason"] == "Completed"
    assert (body["restartCount"], body["ready"], body["started"]) == (1, False, False)
    assert body["imageID"] == "process.local/x"


def test_a_lost_container() -> None:
    body = status.lost().json()["terminated"]

    assert (body["exitCode"], body["reason"]) == (137, "ContainerStatusUnknown")
    assert body["startedAt"] is None


def test_an_initialised_one_is_ready_when_it_succeeded() -> None:
    assert view(OK).json(init=True)["ready"]
    assert not view(RUN).json(init=True)["ready"]
