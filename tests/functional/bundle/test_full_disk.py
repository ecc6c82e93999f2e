"""A disk that is full: all is refused with that reason, nothing is lost, and it goes on after."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest

from .. import disk, web
from ..deployment import Bundle
from ..disk import Ballast
from ..waiting import wait
from .pipelines import counting

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

SIZE = 192 << 20
Answer = TypeVar("Answer")


def test_a_full_disk(tmp_path: Path) -> None:
    """Run the test below in a mount namespace where the data folder is a small tmpfs."""
    disk.run(f"{__file__}::test_on_a_small_disk", tmp_path, SIZE, 900)


@disk.inside
def test_on_a_small_disk() -> None:
    bundle = Bundle(disk.folder())
    bundle.prepare()
    try:
        bundle.toolkit("up", "--json")
        judge(bundle, Ballast(disk.folder()))
    finally:
        bundle.toolkit("down", check=False)


def refused(
    ballast: Ballast, ask: Callable[[str], Answer], failed: Callable[[Answer], bool]
) -> tuple[str, Answer]:
    """Ask with one name after the other until there is no room; give that name and the answer.

    Whatever ends meanwhile, a step or a log, leaves some room to what comes next.
    """
    for number in range(3, 30):
        ballast.fill()
        name = f"one-too-many-{number}"
        answer = ask(name)
        if failed(answer):
            return name, answer
    raise AssertionError(f"it was never refused, last with {name}: {answer}")


def judge(bundle: Bundle, ballast: Ballast) -> None:
    first = bundle.start(counting, seconds=0.0)
    assert bundle.finish(first)["state"] == "SUCCEEDED"
    cut = bundle.start(counting, seconds=1.0)

    def begun() -> bool:
        state = bundle.call("GET", f"/runs/{cut}").json().get("state")
        return bool(bundle.inside(cut)) or state not in ("PENDING", "RUNNING")

    wait(begun, "a step runs")
    ballast.fill()

    # What only looks, works; what writes, says why it cannot.
    assert bundle.status()["applications"].keys() == {"metadata", "pipelines"}
    assert bundle.call("GET", f"/runs/{first}").json()["state"] == "SUCCEEDED"

    def experiment(name: str) -> httpx2.Response:
        return bundle.call("POST", "/experiments", json={"display_name": name})

    def namespace(name: str) -> httpx2.Response:
        # The log of a database has room of its own, which small ones fit into.
        metadata = {"name": name, "annotations": {"example.com/ballast": "x" * 200_000}}
        return bundle.kube("POST", "/api/v1/namespaces", {"metadata": metadata})

    def option(name: str) -> subprocess.CompletedProcess[str]:
        value = f"parallelism={name.rpartition('-')[2]}"
        return bundle.juju("config", "-m", "toolkit", "pipelines", value, check=False)

    lost, answer = refused(ballast, experiment, lambda answer: answer.is_error)
    assert answer.status_code in (500, 503, 507), answer.text
    assert "full" in answer.json()["message"]
    _, done = refused(ballast, option, lambda done: done.returncode != 0)
    assert done.returncode == 1
    assert "full" in done.stderr or "No space" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    _, kube = refused(ballast, namespace, lambda answer: answer.is_error)
    assert kube.status_code in (500, 503, 507), kube.text
    assert "full" in kube.json()["message"] or "No space" in kube.json()["message"]

    # With room again it all goes on by itself, and what was there still is.
    ballast.remove()
    wait(bundle.active, "all is active again")
    ended = bundle.finish(cut)
    assert ended["state"] in ("SUCCEEDED", "FAILED")
    if ended["state"] == "FAILED":
        # A step that may not even write its record can only be told by its exit code.
        said = json.dumps(ended)
        assert "space" in said or "recorded nothing" in said, said
    assert bundle.finish(bundle.start(counting, seconds=0.0))["state"] == "SUCCEEDED"
    assert bundle.call("GET", f"/runs/{first}").json()["state"] == "SUCCEEDED"
    answer = bundle.call("GET", "/experiments").json()
    assert lost not in [each["display_name"] for each in answer["experiments"]]
    bundle.juju("config", "-m", "toolkit", "pipelines", "parallelism=3")
    wait(lambda: len(bundle.recorded(first)) == 6, "MLflow has the first run")
    assert web.get(f"{bundle.metadata}/ready").status_code == 200
