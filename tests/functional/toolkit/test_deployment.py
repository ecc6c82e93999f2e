"""The newcomer's commands, as a newcomer types them, on data folders of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ..bundle.pipelines import resting
from ..deployment import ROOT, Bundle
from ..processes import processes
from ..waiting import wait

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


def ours(bundle):
    """The processes that belong to a deployment's data folders."""
    return [
        line
        for pid, line in processes().items()
        if pid != os.getpid() and (str(bundle.folder) in line or bundle.contains(pid))
    ]


@pytest.fixture(scope="module")
def outcome(bundle):
    """What the demo made, on a deployment whose options are not the usual ones."""
    bundle.juju("config", "-m", "toolkit", "metadata", "log-level=warning")
    try:
        yield json.loads(bundle.toolkit("demo", "--json").stdout.splitlines()[-1])
    finally:
        bundle.juju("config", "-m", "toolkit", "metadata", "--reset", "log-level")


def test_up_makes_everything_active(bundle):
    summary = json.loads(bundle.toolkit("status", "--json").stdout)
    assert {a["name"]: a["status"] for a in summary["applications"]} == {
        "metadata": "active", "pipelines": "active",
    }  # fmt: skip
    assert all(a["url"].startswith("http://127.") for a in summary["applications"])


def test_a_second_up_changes_nothing(bundle):
    def units():
        found = {}
        for application in bundle.status()["applications"].values():
            for name, unit in application["units"].items():
                found[name] = unit["workload-status"]["since"]
        return found

    before = units()
    done = bundle.toolkit("up")
    assert "No changes to apply." in done.stderr
    assert "refresh" not in done.stderr
    assert units() == before


def test_a_token_that_is_refused_is_asked_for_again(bundle):
    token = Path(bundle.exports["MLFLOW_TRACKING_TOKEN"].removeprefix("@"))
    before = token.read_text()
    token.write_text("of a model that is gone")
    bundle.toolkit("up")
    assert token.read_text() == before


def test_the_demo_leaves_options_alone(bundle, outcome):
    del outcome
    found = bundle.juju("config", "-m", "toolkit", "metadata", "log-level")
    assert found.stdout.strip() == "warning"


def test_the_exports_point_at_the_deployment(bundle):
    token = Path(bundle.exports["MLFLOW_TRACKING_TOKEN"].removeprefix("@"))
    assert token.stat().st_mode & 0o077 == 0
    assert Path(bundle.exports["KUBECONFIG"]).stat().st_mode & 0o077 == 0
    assert token.read_text() not in bundle.toolkit("env").stdout
    juju = Path(bundle.exports["PATH"].partition(":")[0]) / "juju"
    done = subprocess.run(
        [juju, "status"],
        env={**bundle.environment, "JUJU_MODEL": "toolkit"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "metadata/0*" in done.stdout


def test_the_demo_trains_and_registers_a_model(outcome):
    assert outcome["model"]
    assert int(outcome["version"]) >= 1
    assert 0.5 < outcome["score"] <= 1


@pytest.mark.usefixtures("home")
def test_down_leaves_no_process_and_up_brings_the_data_back(bundle, outcome):
    bundle.toolkit("down")
    assert ours(bundle) == []
    assert json.loads(bundle.toolkit("status", "--json", check=False).stdout)["state"] == "stopped"
    bundle.toolkit("up")
    (kept,) = bundle.mlflow("registered-models/get-latest-versions", name=outcome["model"])[
        "model_versions"
    ]
    assert kept["version"] == outcome["version"]
    assert bundle.call("GET", f"/runs/{outcome['run']}").json()["state"] == "SUCCEEDED"
    # And both go on.
    run_id = bundle.start(resting)
    assert bundle.finish(run_id)["state"] == "SUCCEEDED"
    wait(lambda: bundle.told(run_id, 3), "MLflow has the run and its two steps")


def test_an_address_in_use_is_told_before_anything_starts(tmp_path):
    bundle = Bundle(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bundle.tinykube.mkdir(mode=0o700)
        port = taken.getsockname()[1]
        (bundle.tinykube / "config.yaml").write_text(f"port: {port}\n")
        done = bundle.toolkit("up", check=False)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert not bundle.minijuju.exists()
    assert ours(bundle) == []


@pytest.mark.parametrize("at", ["minijuju: done", "Executing changes", "metadata/0"])
def test_an_interrupt_leaves_nothing_running(tmp_path, at):
    other = Bundle(tmp_path)
    other.prepare()
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit_cli", "up"],
        env=other.environment, cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    told = ""
    for line in process.stderr:
        told += line
        if at in line:
            break
    process.send_signal(signal.SIGINT)
    told += process.communicate(timeout=180)[1]
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert ours(other) == []
