"""The charm deployed for real: on minijuju, through an unmodified jubilant."""

import os
import signal
import time
from pathlib import Path

import httpx2
import jubilant
import pytest

from .. import web
from .conftest import JUJU_PATIENCE, deployed, run_client, settled

HERE = Path(__file__).parent
TRACK = """
import mlflow
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.5)
    mlflow.log_text("hello", "hello.txt")
client = mlflow.MlflowClient()
client.create_registered_model("kept")
source = f"{run.info.artifact_uri}/hello.txt"
version = client.create_model_version("kept", source, run.info.run_id)
print(run.info.run_id, version.version)
"""


@pytest.fixture(scope="module")
def juju(tmp_path_factory):
    """A model with the charm, active, and a charm that is related to it."""
    with deployed(tmp_path_factory.mktemp("minijuju")) as juju:
        juju.deploy(HERE / "charms" / "reader")
        juju.integrate("metadata", "reader")
        juju.wait(settled, error=jubilant.any_error)
        yield juju


def until(condition, what):
    end = time.monotonic() + JUJU_PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(f"never: {what}")


def answers(api, path, **headers):
    """Tell whether the server, which may be just starting anew, answers well."""
    try:
        return api.get(path, headers=headers).status_code == 200
    except httpx2.TransportError:
        return False


def server_pids(juju):
    """The processes of the server on this machine, by the address in their command line."""
    address = juju.status().apps["metadata"].units["metadata/0"].address
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"toolkit_metadata" in words and address.encode() in words:
            found.append(int(entry.name))
    return found


def test_it_is_active_with_its_version_and_port(juju, access):
    app = juju.status().apps["metadata"]
    assert app.version == "3.17.2"
    assert app.units["metadata/0"].open_ports == ["5000/tcp"]
    assert access["url"] == f"http://{app.address}:5000"


def test_only_the_token_opens_it(access, api):
    assert api.get("/version").text == "3.17.2"
    assert web.get(f"{access['url']}/version").status_code == 401
    assert web.get(f"{access['url']}/version", headers={"host": "evil.example"}).status_code == 403
    assert web.get(f"{access['url']}/ready").status_code == 200


def test_a_name_of_the_cluster_is_an_allowed_host(juju, api):
    for host in ("metadata", f"metadata.{juju.model}.svc.cluster.local:5000"):
        assert api.get("/version", headers={"host": host}).status_code == 200


def test_mlflows_client_works_with_it(client_python, access, tmp_path):
    done = run_client(client_python, tmp_path, access["url"], access["token"], TRACK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "1"


def test_a_related_charm_gets_the_address_and_the_token(juju, access):
    results = juju.run("reader/0", "read").results
    assert results["url"] == access["url"]
    assert (results["code"], results["version"]) == ("200", "3.17.2")


def test_the_token_is_nowhere_that_others_may_look(juju, access):
    shown = juju.cli("show-unit", "reader/0", "metadata/0") + juju.cli(
        "debug-log", "--limit", "5000"
    )
    assert "secret:" in shown
    assert access["token"] not in shown
    for pid in server_pids(juju):
        process = Path("/proc") / str(pid)
        for name in ("cmdline", "environ"):
            assert access["token"].encode() not in (process / name).read_bytes()


def test_wrong_config_blocks_and_the_server_goes_on(juju, api):
    before = server_pids(juju)
    juju.config("metadata", {"log-level": "loud"})
    juju.wait(lambda status: jubilant.all_blocked(status, "metadata"))
    unit = juju.status().apps["metadata"].units["metadata/0"]
    assert "log-level" in unit.workload_status.message
    assert "loud" in unit.workload_status.message
    assert api.get("/version").status_code == 200
    juju.config("metadata", reset="log-level")
    juju.wait(settled)
    assert server_pids(juju) == before


def test_config_reaches_the_server(juju, api):
    assert api.get("/version", headers={"host": "ml.example.com"}).status_code == 403
    juju.config("metadata", {"allowed-hosts": "ml.example.com"})
    juju.wait(settled)
    until(lambda: answers(api, "/version", host="ml.example.com"), "the new host is allowed")


def test_a_killed_server_comes_back_with_its_data(juju, api):
    name = "before the kill"
    assert api.post("/api/2.0/mlflow/experiments/create", json={"name": name}).status_code == 200
    (pid,) = server_pids(juju)
    os.kill(pid, signal.SIGKILL)
    until(lambda: server_pids(juju) not in ([], [pid]), "another server process")
    until(lambda: answers(api, "/ready"), "the server is ready again")
    found = api.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
    assert found.status_code == 200
    juju.wait(settled)


def test_a_second_unit_is_blocked_and_the_first_goes_on(juju, api):
    juju.add_unit("metadata")
    juju.wait(
        lambda status: (
            "metadata/1" in status.apps["metadata"].units
            and status.apps["metadata"].units["metadata/1"].is_blocked
        )
    )
    units = juju.status().apps["metadata"].units
    assert "scale-application metadata 1" in units["metadata/1"].workload_status.message
    assert units["metadata/0"].is_active
    for _ in range(4):
        assert api.get("/version").status_code == 200
    juju.remove_unit("metadata", num_units=1)
    juju.wait(
        lambda status: list(status.apps["metadata"].units) == ["metadata/0"] and settled(status)
    )
