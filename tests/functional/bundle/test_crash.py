"""Any part may be killed in the middle of a run: nothing is lost, nothing is done twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ..deployment import ENGINE, MODEL, Bundle, tasks
from ..processes import processes
from ..waiting import wait
from .pipelines import holding

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

STEPS = 5
MLFLOW = "-m toolkit_metadata"


@pytest.fixture(autouse=True)
def whole(bundle: Bundle) -> Any:
    """Every test ends with the deployment as it began."""
    yield
    try:
        wait(bundle.active, "all units are active again")
    except AssertionError as error:
        shown = json.dumps(bundle.status()["applications"], indent=1)
        log = bundle.juju("debug-log", "-m", MODEL, "--limit", "60", check=False).stdout
        raise AssertionError(f"{error}\n{shown}\n{log}") from error


def under_way(bundle: Bundle) -> str:
    """A run whose first step has ended and whose next ones have begun; they are held."""
    run_id = bundle.start(holding)
    begun = f"storage/*/pipeline-root-*/*/{run_id}/hold*/*/.started"
    wait(lambda: list(bundle.minijuju.glob(begun)), "the second step has begun")
    return run_id


def ran_once(bundle: Bundle, run_id: str) -> None:
    """Let go, the run ends well, and each of its steps has run one time."""
    bundle.release(run_id)
    run = bundle.finish(run_id)
    assert run["state"] == "SUCCEEDED", run
    steps = [task for task in tasks(run) if task["display_name"].startswith(("count", "hold"))]
    assert len(steps) == STEPS
    assert {task["state"] for task in steps} == {"SUCCEEDED"}
    folder = bundle.run_folder(run_id)
    assert len(list(folder.glob("*/*/.started"))) == STEPS
    assert len(list(folder.glob("*/*/result.json"))) == STEPS
    wait(lambda: not bundle.inside(run_id), "no process of the run is left")

    wait(lambda: bundle.told(run_id, STEPS + 1), "MLflow has the run and its steps, all finished")


def engine(bundle: Bundle) -> int:
    (pid,) = bundle.inside(ENGINE)
    return pid


def test_the_engine_killed(bundle: Bundle) -> None:
    run_id = under_way(bundle)
    before = engine(bundle)
    os.kill(before, signal.SIGKILL)
    ran_once(bundle, run_id)
    assert engine(bundle) != before


def test_the_engine_killed_again_and_again(bundle: Bundle) -> None:
    run_id = under_way(bundle)
    for _ in range(3):
        wait(lambda: bundle.inside(ENGINE), "the engine is back")
        dead = engine(bundle)
        os.kill(dead, signal.SIGKILL)
        wait(lambda dead=dead: dead not in bundle.inside(ENGINE), "it is gone")  # type: ignore[misc]
    ran_once(bundle, run_id)


def test_tinykube_killed(bundle: Bundle) -> None:
    run_id = under_way(bundle)
    before = bundle.cluster()
    steps = set(bundle.inside(run_id))
    assert steps
    os.kill(before, signal.SIGKILL)
    wait(lambda: before not in processes(), "tinykube is dead")
    # The steps go on without it, and what has it back finds them.
    bundle.run("tinykube", "start")
    assert bundle.cluster() != before
    ran_once(bundle, run_id)


def test_the_controller_killed(bundle: Bundle) -> None:
    def workloads() -> dict[int, str]:
        return {
            pid: line
            for pid, line in processes().items()
            if bundle.contains(pid) and any(m in line for m in ("pebble run", ENGINE, MLFLOW))
        }

    before = workloads()
    assert len(before) >= 4  # two units' Pebbles and their services
    run_id = under_way(bundle)
    dead = bundle.controller()
    os.kill(dead, signal.SIGKILL)
    wait(lambda: dead not in processes(), "the controller is dead")
    # The next command starts it; it takes over what runs.
    assert bundle.status()["applications"].keys() == {"metadata", "pipelines"}
    assert bundle.controller() != dead
    wait(bundle.active, "all units are active again")
    assert workloads() == before
    ran_once(bundle, run_id)


def test_mlflow_stopped(bundle: Bundle) -> None:
    def pebble(*words: str) -> None:
        bundle.juju(
            *("ssh", "-m", "toolkit", "--container", "metadata", "metadata/0"),
            *("/charm/bin/pebble", *words),
        )

    run_id = under_way(bundle)
    pebble("stop", "metadata")
    wait(lambda: not bundle.inside(MLFLOW), "MLflow has ended")
    try:
        bundle.release(run_id)
        run = bundle.finish(run_id)
        assert run["state"] == "SUCCEEDED", run
        assert not bundle.inside(MLFLOW)
    finally:
        pebble("start", "metadata")
    ran_once(bundle, run_id)


def test_everything_killed_at_once(bundle: Bundle) -> None:
    run_id = under_way(bundle)
    for pid in (bundle.controller(), bundle.cluster(), engine(bundle), *bundle.inside(MLFLOW)):
        os.kill(pid, signal.SIGKILL)
    bundle.run("tinykube", "start")
    bundle.status()
    ran_once(bundle, run_id)


def test_a_killed_step_has_failed_with_its_reason(bundle: Bundle) -> None:
    run_id = under_way(bundle)
    victims = [pid for pid in bundle.inside(run_id) if "/hold" in _line(pid)]
    assert victims
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):  # It went with its PID 1.
            os.kill(pid, signal.SIGKILL)
    # One that only starts now has not been killed.
    bundle.release(run_id)
    run = bundle.finish(run_id)
    assert run["state"] == "FAILED"
    failed = [task for task in tasks(run) if task["state"] == "FAILED"]
    assert failed
    assert "exit code 137" in failed[0]["error"]["message"], run


def _line(pid: int) -> str:
    try:
        return Path("/proc", str(pid), "cmdline").read_text()
    except OSError:
        return ""
