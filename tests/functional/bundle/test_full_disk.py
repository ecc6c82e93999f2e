"""A disk that is full: all is refused with that reason, nothing is lost, and it goes on after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sandbox import bubblewrap

from ..deployment import Bundle, wait
from .pipelines import counting

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

INSIDE = "TOOLKIT_TEST_SMALL_DISK"
SIZE = 192 << 20


def test_a_full_disk(tmp_path: Path) -> None:
    """Run the test below in a mount namespace where the data folder is a small tmpfs."""
    disk = tmp_path / "d"
    disk.mkdir()
    command = [str(bubblewrap.find()), "--dev-bind", "/", "/", "--size", str(SIZE)]
    command += ["--tmpfs", str(disk), "--"]
    possible = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if possible.returncode:
        pytest.skip(f"no small disk can be mounted here: {possible.stderr.strip()}")
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    test += [f"--basetemp={tmp_path / 'inner'}", f"{__file__}::test_on_a_small_disk"]
    done = subprocess.run(
        [*command, *test],
        env={**os.environ, INSIDE: str(disk)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


class Ballast:
    """A file that takes all there is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ballast"

    def fill(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def remove(self) -> None:
        self.path.unlink()


@pytest.mark.skipif(INSIDE not in os.environ, reason="test_a_full_disk runs it on a small disk")
def test_on_a_small_disk() -> None:
    disk = Path(os.environ[INSIDE])
    bundle = Bundle(disk)
    bundle.prepare()
    try:
        bundle.toolkit("up", "--json")
        judge(bundle, Ballast(disk))
    finally:
        bundle.toolkit("down", check=False)


def judge(bundle: Bundle, ballast: Ballast) -> None:
    first = bundle.start(counting, seconds=0.0)
    assert bundle.finish(first)["state"] == "SUCCEEDED"
    cut = bundle.start(counting, seconds=1.0)
    wait(lambda: bundle.inside(cut), "a step runs")
    ballast.fill()

    # What only looks, works; what writes, says why it cannot.
    assert bundle.status()["applications"].keys() == {"metadata", "pipelines"}
    assert bundle.call("GET", f"/runs/{first}").json()["state"] == "SUCCEEDED"
    refused = bundle.call("POST", "/experiments", json={"display_name": "one too many"})
    assert refused.status_code in (500, 503, 507), refused.text
    assert "full" in refused.json()["message"]
    done = bundle.juju("config", "-m", "toolkit", "pipelines", "parallelism=3", check=False)
    assert done.returncode == 1
    assert "full" in done.stderr or "No space" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    kube = bundle.kube("POST", "/api/v1/namespaces", {"metadata": {"name": "one-too-many"}})
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
    assert "one too many" not in [each["display_name"] for each in answer["experiments"]]
    bundle.juju("config", "-m", "toolkit", "pipelines", "parallelism=3")
    wait(lambda: len(bundle.recorded(first)) == 6, "MLflow has the first run")
    assert httpx.get(f"{bundle.metadata}/ready", trust_env=False).status_code == 200
