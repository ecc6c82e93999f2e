"""A step, and other people of the machine, reach nothing but what is theirs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .. import web
from ..deployment import Bundle
from ..kernel import reaches_outside
from ..waiting import wait
from .pipelines import leaving, prying, waiting

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

STRANGER = 12345


@pytest.fixture(scope="module")
def other(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The id of another run, which is under way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        run_id = bundle.start(waiting)
        wait(lambda: bundle.inside(run_id), "the other run's step runs")
        yield run_id
    assert bundle.call("POST", f"/runs/{run_id}:terminate").status_code == 200
    assert bundle.finish(run_id)["state"] == "CANCELED"


@pytest.fixture(scope="module")
def found(bundle: Bundle, other: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a step could reach."""
    folder = bundle.run_folder(other)
    paths = [
        *(str(bundle.folder), str(bundle.minijuju), str(bundle.tinykube), str(folder)),
        *(str(Path.home() / name) for name in (".ssh", ".bashrc", ".cache", ".local", ".config")),
        *("/state", "/pipeline-root", "/environments", "/data", "/charm", "/host", "/.old-root"),
        *("/etc/shadow", "/etc/toolkit", "/etc/toolkit-pipelines", "/run/docker.sock"),
        *("/proc/sysrq-trigger/x", "/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/sda"),
    ]
    urls = [
        f"{bundle.pipelines}/apis/v2beta1/runs",
        f"{bundle.pipelines}/apis/v2beta1/runs/{other}",
        f"{bundle.pipelines}/apis/v1alpha1/runs/{other}/nodes/x/log",
        f"{bundle.metadata}/api/2.0/mlflow/experiments/search",
        f"{bundle.metadata}/",
        *(f"{bundle.kubernetes}{path}" for path in ("/api/v1/secrets", "/api/v1/pods", "/apis")),
    ]
    pids = [bundle.controller(), bundle.cluster(), os.getpid(), *bundle.inside(other)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        run = bundle.finish(bundle.start(prying, paths=paths, urls=urls, pids=pids))
    assert run["state"] == "SUCCEEDED", run
    (task,) = [t for t in run["run_details"]["task_details"] if t["display_name"] == "pry"]
    outputs = bundle.run_folder(run["run_id"]).glob("pry/*/result.json")
    (result,) = [json.loads(path.read_text()) for path in outputs]
    return {**result["parameters"]["Output"], "run": run["run_id"], "task": task}


def test_no_file_of_the_owner_or_of_the_services_is_there(found: Any) -> None:
    assert found["seen"] == []
    assert found["homes"] == [[], [], [], []]


def test_of_the_pipeline_root_only_the_own_run_is_there(found: Any, other: str) -> None:
    assert any(folder.endswith(found["run"]) for folder in found["below the root"])
    assert not any(other in folder for folder in found["below the root"])


def test_no_other_process_is_there(found: Any) -> None:
    assert found["alive"] == []
    assert found["processes"] <= 2


def test_the_kernel_cannot_be_set_nor_other_sockets_be_seen(found: Any) -> None:
    assert [path for path in found["kernel"] if reaches_outside(path)] == []
    assert found["sockets"] == []


def test_no_api_answers_a_step_without_a_token(found: Any) -> None:
    assert set(found["answers"].values()) == {401}


def test_a_steps_token_is_for_metadata_alone(bundle: Bundle, found: Any) -> None:
    assert found["tokens"] == ["MLFLOW_TRACKING_TOKEN"]
    assert not found["account"]
    answers = found["answers to the step's token"]
    for url, code in answers.items():
        if not url.startswith(bundle.metadata):
            assert code == 401, url


def test_a_link_in_an_artifacts_place_shows_nothing(bundle: Bundle, other: str) -> None:
    folder = bundle.run_folder(other)
    (theirs,) = folder.glob("wait-for/*.json")
    relative = os.path.relpath(theirs, folder.parent.parent / "leaving" / "RUN" / "leave" / "SALT")
    targets = ("/etc/passwd", "/state/pipelines.db", relative, "/etc/toolkit-pipelines/tokens")
    runs = [bundle.start(leaving, target=target) for target in targets]
    for run_id in runs:
        run = bundle.finish(run_id)
        assert run["state"] == "SUCCEEDED", run
        artifacts = bundle.call("GET", f"/artifacts?run_id={run_id}").json()["artifacts"]
        assert {each["name"] for each in artifacts} == {"made", "page"}
        for each in artifacts:
            answer = bundle.call("GET", f"/artifacts/{each['artifact_id']}:download")
            assert answer.status_code == 404, answer.text
            assert "cannot be read" in answer.json()["message"]
    # Nor does it reach MLflow, where pages are shown.
    wait(
        lambda: all(len(bundle.recorded(run_id)) == 2 for run_id in runs), "the runs are recorded"
    )
    for run_id in runs:
        for record in bundle.recorded(run_id):
            headers = {"Authorization": f"Bearer {bundle.token('metadata')}"}
            answer = web.get(
                f"{bundle.metadata}/api/2.0/mlflow/artifacts/list",
                params={"run_id": record["info"]["run_id"], "path": "kfp/leave"},
                headers=headers,
            )
            assert answer.json().get("files", []) == []


def test_state_is_closed_to_everybody_else(bundle: Bundle) -> None:
    tokens = Path(bundle.exports["KF_PIPELINES_SA_TOKEN_PATH"])
    for folder in (bundle.minijuju, bundle.tinykube, tokens.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in (
        *(tokens, bundle.tinykube / "kubeconfig", bundle.minijuju / "secrets.key"),
        *(bundle.tinykube / "pki").glob("*.key"),
        *(bundle.tinykube / "pki" / "admin.token", bundle.minijuju / "controller.socket"),
        *(bundle.tinykube / "state.db", bundle.minijuju / "state.db"),
    ):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("setpriv"), reason="only root becomes another user"
)
def test_another_user_reads_and_reaches_nothing(bundle: Bundle, tmp_path: Path) -> None:
    code = """\
import os, socket, sys
folder, *pids = sys.argv[1:]
for top in ("minijuju", "tinykube", "charmed-ml-toolkit/tokens"):
    try:
        print(os.listdir(f"{folder}/{top}"))
    except PermissionError:
        pass
try:
    socket.socket(socket.AF_UNIX).connect(f"{folder}/minijuju/controller.socket")
    print("connected")
except PermissionError:
    pass
for pid in pids:
    for name in ("environ", "root", "cwd", "maps", "fd"):
        try:
            print(os.listdir(f"/proc/{pid}/{name}") if name in ("root", "cwd", "fd")
                  else open(f"/proc/{pid}/{name}").read(1) and f"read {name} of {pid}")
        except PermissionError:
            pass
    try:
        os.kill(int(pid), 0)
        print("may kill", pid)
    except PermissionError:
        pass
"""
    # The way to the folder is open in this test, so that its own modes are what is judged.
    opened = [
        each for each in bundle.folder.parents if each != Path("/") and not each.stat().st_mode & 1
    ]
    opened += [] if bundle.folder.stat().st_mode & 1 else [bundle.folder]
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in opened}
    pids = [bundle.controller(), bundle.cluster(), *bundle.inside("toolkit_")]
    assert len(pids) >= 4
    try:
        for each, mode in modes.items():
            each.chmod(mode | 0o011)
        done = subprocess.run(
            [
                *("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"),
                *("/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable,),
                *("-c", code, str(bundle.folder), *map(str, pids)),
            ],
            capture_output=True,
            text=True,
            cwd="/",
            timeout=60,
            check=False,
        )
    finally:
        for each, mode in modes.items():
            each.chmod(mode)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_secrets_are_nowhere_that_they_may_leak(bundle: Bundle) -> None:
    secrets = {
        "pipelines": bundle.token("pipelines"),
        "metadata": bundle.token("metadata"),
        "admin": (bundle.tinykube / "pki" / "admin.token").read_text().strip(),
    }
    assert all(len(secret) >= 32 for secret in secrets.values())
    places = {
        "show-unit": bundle.juju("show-unit", "-m", "toolkit", "pipelines/0", "metadata/0").stdout,
        "status": bundle.juju("status", "-m", "toolkit", "--format", "yaml", "--relations").stdout,
        "debug-log": bundle.juju("debug-log", "-m", "toolkit", "--replay", "--no-tail").stdout,
        "secrets": bundle.juju("secrets", "-m", "toolkit", "--format", "yaml").stdout,
        "env": bundle.toolkit("env").stdout,
    }
    assert all(places.values())
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            places[str(entry)] = entry.read_text(errors="replace")
    for name, secret in secrets.items():
        for place, text in places.items():
            assert secret not in text, (name, place)
    logs = dict(bundle.files("*.log", "*log*.db*"))
    assert len(logs) >= 4
    for path, content in logs.items():
        for name, secret in secrets.items():
            assert secret.encode() not in content, (name, path)


def test_secrets_of_charms_are_encrypted_at_rest(bundle: Bundle) -> None:
    database = sqlite3.connect(f"file:{bundle.minijuju / 'state.db'}?mode=ro", uri=True)
    with contextlib.closing(database):
        found = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        tables = {name for (name,) in found if not name.startswith("sqlite_")}
        # The results of actions are what they showed to those who asked, as Juju keeps them.
        text = "".join(
            repr(database.execute(f'SELECT * FROM "{table}"').fetchall())
            for table in tables - {"task"}
        )
    assert "pipelines/0" in text
    for application in ("pipelines", "metadata"):
        assert bundle.token(application) not in text
