"""The newcomer's commands, as a newcomer types them, on data folders of their own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A short data folder (sockets live in it) and a free port; taken down at the end."""
    folder = tmp_path_factory.mktemp("t")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "tinykube").mkdir(mode=0o700)
    (folder / "tinykube" / "config.yaml").write_text(f"port: {port}\n")
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(folder),
        "MINIJUJU_DATA": str(folder / "minijuju"),
        "TINYKUBE_DATA": str(folder / "tinykube"),
    }
    yield environment
    toolkit(environment, "down", check=False)


def toolkit(environment, *arguments, check=True, timeout=900):
    done = subprocess.run(
        [sys.executable, "-m", "toolkit_cli", *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def ours(environment):
    """The processes that belong to these data folders."""
    folder = environment["XDG_DATA_HOME"]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if folder in line and int(entry.name) != os.getpid():
            found.append(line)
    return found


@pytest.fixture(scope="module")
def up(home):
    toolkit(home, "up", "--json")
    return home


def test_up_makes_everything_active(up):
    summary = json.loads(toolkit(up, "status", "--json").stdout)
    assert {a["name"]: a["status"] for a in summary["applications"]} == {
        "metadata": "active", "pipelines": "active",
    }  # fmt: skip
    assert all(a["url"].startswith("http://127.") for a in summary["applications"])


def test_a_second_up_changes_nothing(up):
    def units():
        status = subprocess.run(
            [sys.executable, "-m", "minijuju.cli", "status", "--format", "json", "-m", "toolkit"],
            env=up, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = {}
        for application in json.loads(status.stdout)["applications"].values():
            for name, unit in application["units"].items():
                found[name] = unit["workload-status"]["since"]
        return found

    before = units()
    done = toolkit(up, "up")
    assert "No changes to apply." in done.stderr
    assert "refresh" not in done.stderr
    assert units() == before


def test_the_exports_point_at_the_deployment(up):
    exports = json.loads(toolkit(up, "env", "--json").stdout)
    token = Path(exports["MLFLOW_TRACKING_TOKEN"].removeprefix("@"))
    assert token.stat().st_mode & 0o077 == 0
    assert Path(exports["KUBECONFIG"]).stat().st_mode & 0o077 == 0
    assert token.read_text() not in toolkit(up, "env").stdout
    juju = Path(exports["PATH"].partition(":")[0]) / "juju"
    done = subprocess.run(
        [juju, "status"],
        env={**up, "JUJU_MODEL": "toolkit"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "metadata/0*" in done.stdout


def test_the_demo_trains_and_registers_a_model(up):
    outcome = json.loads(toolkit(up, "demo", "--json").stdout.splitlines()[-1])
    assert outcome["model"]
    assert int(outcome["version"]) >= 1
    assert 0.5 < outcome["score"] <= 1


def test_down_leaves_no_process_and_up_brings_the_data_back(up):
    before = json.loads(toolkit(up, "demo", "--json").stdout.splitlines()[-1])
    toolkit(up, "down")
    assert ours(up) == []
    assert json.loads(toolkit(up, "status", "--json", check=False).stdout)["state"] == "stopped"
    toolkit(up, "up")
    after = json.loads(toolkit(up, "demo", "--json").stdout.splitlines()[-1])
    assert int(after["version"]) == int(before["version"]) + 1


def test_an_address_in_use_is_told_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "tinykube").mkdir(mode=0o700)
        port = taken.getsockname()[1]
        (tmp_path / "tinykube" / "config.yaml").write_text(f"port: {port}\n")
        environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
        for name in ("MINIJUJU_DATA", "TINYKUBE_DATA"):
            environment.pop(name, None)
        done = toolkit(environment, "up", check=False)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert not (tmp_path / "minijuju").exists()
    assert ours(environment) == []
