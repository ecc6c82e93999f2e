from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from toolkit_objects import ObjectStoreError
from toolkit_pipelines import naming
from toolkit_pipelines.events import TaskFailed, TaskStarted
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import Run


@pytest.fixture
def run(store: Store, new_run: Callable[..., Run], workloads: Any) -> Run:
    """Give a run whose task `train` failed once and runs again."""
    made = new_run()
    store.runs.append(
        made.run_id,
        [
            TaskStarted(run_id=made.run_id, time=1.0, task="train", pod="pod-0"),
            TaskFailed(run_id=made.run_id, time=2.0, task="train", reason="Error", message="m"),
            TaskStarted(run_id=made.run_id, time=3.0, task="train", attempt=1, pod="pod-1"),
        ],
        1,
    )
    workloads.lines = {("train", 0): b"first\n", ("train", 1): b"second\n"}
    return made


def test_by_task_and_by_pod(client: TestClient, run: Run, workloads: Any) -> None:
    for node in (naming.task_id(run.run_id, "train"), "pod-1"):
        reply = client.get(f"/runs/{run.run_id}/nodes/{node}/log")
        assert reply.text == "second\n"
        assert reply.headers["content-type"].startswith("text/plain")
    assert workloads.followed == [False, False]


def test_follow_and_attempt(client: TestClient, run: Run, workloads: Any) -> None:
    path = f"/runs/{run.run_id}/nodes/pod-1/log"
    assert client.get(path, params={"follow": "true", "attempt": "0"}).text == "first\n"
    assert workloads.followed == [True]


def test_the_path_of_the_older_api(client: TestClient, run: Run) -> None:
    path = f"http://test/apis/v1alpha1/runs/{run.run_id}/nodes/pod-1/log"
    assert client.get(path).text == "second\n"


@pytest.mark.parametrize(
    ("node", "params", "status"),
    [
        ("none", {}, 404),
        ("pod-1", {"attempt": "2"}, 404),
        ("pod-1", {"attempt": "-1"}, 400),
        ("pod-1", {"attempt": "x"}, 400),
        ("pod-1", {"follow": "maybe"}, 400),
    ],
)
def test_refused(
    client: TestClient, run: Run, node: str, params: dict[str, str], status: int
) -> None:
    reply = client.get(f"/runs/{run.run_id}/nodes/{node}/log", params=params)
    assert reply.status_code == status


def test_another_runs_pod_is_not_found(
    client: TestClient, run: Run, new_run: Callable[..., Run]
) -> None:
    other = new_run("other")
    assert client.get(f"/runs/{other.run_id}/nodes/pod-1/log").status_code == 404


def test_a_store_that_does_not_answer(
    client: TestClient, run: Run, workloads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, follow: bool) -> AsyncIterator[bytes]:
        raise ObjectStoreError("the store is away", transient=True)
        yield b""

    monkeypatch.setattr(workloads, "logs", away)
    reply = client.get(f"/runs/{run.run_id}/nodes/pod-1/log")
    assert reply.status_code == 503
    assert reply.json()["message"] == "the store is away"


def test_a_log_comes_whole(
    client: TestClient, run: Run, workloads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def printed(*_: object, follow: bool) -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"line {number}\n".encode()

    monkeypatch.setattr(workloads, "logs", printed)
    for follow in ("true", "false"):
        path = f"/runs/{run.run_id}/nodes/pod-1/log"
        reply = client.get(path, params={"follow": follow})
        assert reply.text == "line 0\nline 1\nline 2\n"
