"""Steps that misbehave: each ends with what is wrong, and nothing else is harmed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ..deployment import Bundle, tasks
from ..processes import processes
from ..waiting import wait
from .pipelines import abandoning, counting, hoarding, shouting, spoiling

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def unharmed(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The services are the same processes before and after, and run another pipeline."""

    def services() -> list[int]:
        return sorted([*bundle.inside("toolkit_"), bundle.controller(), bundle.cluster()])

    before = services()
    yield
    assert services() == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        run = bundle.finish(bundle.start(counting, seconds=0.0))
    assert run["state"] == "SUCCEEDED", run
    wait(bundle.active, "all units are active")


def problem(run: Any) -> str:
    """What the run's failed task says."""
    assert run["state"] == "FAILED", run
    (failed,) = [task for task in tasks(run) if task["state"] == "FAILED"]
    return str(failed["error"]["message"])


def test_a_step_that_prints_100_megabytes(bundle: Bundle) -> None:
    run_id = bundle.start(shouting, megabytes=100)
    run = bundle.finish(run_id)
    assert run["state"] == "SUCCEEDED", run
    log = bundle.log(run, "shout")
    assert "the last line" in log[-2000:]
    # Logs are kept whole, now read from the pod or, once it has gone, from the run's folder.
    assert len(log) >= 100 * 1000**2
    wait(lambda: not bundle.inside(run_id), "the step has gone")


def test_children_that_are_left_end_with_the_step(bundle: Bundle) -> None:
    mark = f"left-{uuid.uuid4().hex}"
    run = bundle.finish(bundle.start(abandoning, mark=mark))
    assert run["state"] == "SUCCEEDED", run
    waiting = "import time; time.sleep(600)"
    wait(
        lambda: not [line for line in processes().values() if waiting in line and mark in line],
        "the children have ended",
    )


def test_too_much_memory(bundle: Bundle) -> None:
    assert "OOMKilled" in problem(bundle.finish(bundle.start(hoarding, megabytes=600)))


def test_within_its_memory_nothing_happens(bundle: Bundle) -> None:
    run_id = bundle.start(hoarding, megabytes=50)
    wait(lambda: bundle.inside(run_id), "the step runs")
    assert bundle.call("POST", f"/runs/{run_id}:terminate").status_code == 200
    assert bundle.finish(run_id)["state"] == "CANCELED"
    wait(lambda: not bundle.inside(run_id), "the step has gone")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("fifo", "'made'"),
        ("link", "'made'"),
        ("folder", "'made'"),
        ("large", "'made'"),
        ("bytes", "'made'"),
        ("executor", "executor_output"),
        ("record", "record"),
        ("killed", "SIGKILL"),
        ("exit", "70"),
    ],
)
def test_an_output_that_is_none(bundle: Bundle, how: str, said: str) -> None:
    assert said in problem(bundle.finish(bundle.start(spoiling, how=how), patience=60))


def test_what_a_log_holds_is_only_text(bundle: Bundle) -> None:
    """No log is served as a page of the service."""
    run = bundle.finish(bundle.start(shouting, megabytes=0))
    (node,) = [task["task_id"] for task in tasks(run) if task["display_name"] == "shout"]
    answer = bundle.call("GET", f"/runs/{run['run_id']}/nodes/{node}/log")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
