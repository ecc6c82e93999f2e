"""The charm deployed for real: on minijuju, through an unmodified jubilant."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import jubilant
import pytest

from .. import web
from .conftest import ROOT, run_client
from .test_artifacts import ARTIFACTS
from .test_kept import get, names, put, run

JUJU_PATIENCE = 180
# What is so once a change has been made, and was not before, need not be seen three times.
ONCE: Any = {"successes": 1}

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
KEEP = """
import mlflow
with mlflow.start_run() as run:
    mlflow.log_text("hello", "notes/hello.txt")
print(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/hello.txt"))
"""
INTEGRATOR = ROOT / "tests" / "charms" / "integrator"
BUCKET = "of-metadata"


@pytest.fixture(scope="module")
def juju(tmp_path_factory):
    """A model of a controller of its own: the charm, active, and a charm related to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIJUJU_DATA", str(tmp_path_factory.mktemp("minijuju")))
        for name in ("JUJU_MODEL", "MINIJUJU_KUBECONFIG"):
            patch.delenv(name, raising=False)
        patch.setenv("PATH", cli("shim-path").stdout.strip(), prepend=":")
        try:
            with jubilant.temp_model() as juju:
                juju.wait_timeout = JUJU_PATIENCE
                juju.deploy(
                    ROOT / "charms" / "metadata",
                    resources={"metadata-image": str(ROOT / "images" / "metadata")},
                )
                juju.deploy(Path(__file__).parent / "charms" / "reader")
                juju.integrate("metadata", "reader")
                juju.wait(settled, error=jubilant.any_error)
                yield juju
        finally:
            cli("shutdown")


def cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "minijuju", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=JUJU_PATIENCE,
    )


def settled(status):
    return jubilant.all_active(status) and jubilant.all_agents_idle(status)


@pytest.fixture(scope="module")
def access(juju):
    """What `get-token` shows."""
    return juju.run("metadata/0", "get-token").results


@pytest.fixture
def api(access):
    headers = {"authorization": f"Bearer {access['token']}"}
    with web.client(base_url=access["url"], headers=headers, timeout=60) as client:
        yield client


def server_log(juju):
    """All that unit 0's server has said."""
    pebble = ("/charm/bin/pebble", "logs", "-n", "all")
    return juju.cli("ssh", "--container", "metadata", "metadata/0", *pebble)


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
    juju.wait(lambda status: jubilant.all_blocked(status, "metadata"), **ONCE)
    unit = juju.status().apps["metadata"].units["metadata/0"]
    assert "log-level" in unit.workload_status.message
    assert "loud" in unit.workload_status.message
    assert api.get("/version").status_code == 200
    juju.config("metadata", reset="log-level")
    juju.wait(settled, **ONCE)
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
        ),
        **ONCE,
    )
    units = juju.status().apps["metadata"].units
    assert "scale-application metadata 1" in units["metadata/1"].workload_status.message
    assert units["metadata/0"].is_active
    for _ in range(4):
        try:
            assert api.get("/version").status_code == 200
        except httpx2.TransportError as error:
            raise AssertionError(server_log(juju)) from error
    juju.remove_unit("metadata", num_units=1)
    juju.wait(
        lambda status: list(status.apps["metadata"].units) == ["metadata/0"] and settled(status),
        **ONCE,
    )


# -- with an object store ----------------------------------------------------------------------


def secret(juju, name, keys):
    """Make a secret for the integrator; give its id."""
    made = juju.add_secret(name, keys)
    juju.grant_secret(name, "integrator")
    return str(made)


def blocked(*words):
    """Tell whether the unit is blocked, and says these words."""

    def found(status):
        unit = status.apps["metadata"].units["metadata/0"]
        message = unit.workload_status.message
        return unit.is_blocked and all(word in message for word in words)

    return found


def test_life_with_a_store(juju, access, api, object_store, client_python, tmp_path):
    # An integrator beside it names a bucket that is not there.
    juju.deploy(INTEGRATOR)
    juju.wait(settled, error=jubilant.any_error)
    told = {
        "bucket": BUCKET,
        "path": "team",
        "endpoint": object_store.secure_url,
        "tls-ca-chain": Path(object_store.authority).read_text(),
        "credentials": secret(juju, "store", object_store.keys),
    }
    juju.config("integrator", told)
    before_id, before = run(api)
    put(api, f"{before}/old", b"old")

    # Which is said, and runs go on.
    juju.integrate("metadata:s3", "integrator")
    juju.wait(blocked("NoSuchBucket", f"s3://{BUCKET}/team"), **ONCE)
    run_id, root = run(api)
    object_store.bucket(BUCKET)
    juju.config("metadata", {"log-level": "debug"})
    juju.wait(settled, **ONCE)

    # MLflow's client has all it needs.
    done = run_client(client_python, tmp_path, access["url"], access["token"], KEEP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "hello"
    assert any(key.endswith("/notes/hello.txt") for key in object_store.contents(BUCKET))
    put(api, f"{root}/kept", b"kept")
    put(api, f"{before}/new", b"new")
    assert f"team/{root}/kept" in object_store.contents(BUCKET)
    assert names(api, before_id) == {"old": 3, "new": 3}
    assert get(api, f"{before}/old") == b"old"

    # Keys are taken back, and given anew.
    wrong = {**object_store.keys, "secret-key": "of-nobody-at-all"}
    juju.config("integrator", {"credentials": secret(juju, "wrong", wrong)})
    juju.wait(blocked("SignatureDoesNotMatch"), **ONCE)
    assert api.get(f"{ARTIFACTS}/{root}/kept").status_code == 500
    juju.config("integrator", {"credentials": secret(juju, "right", object_store.keys)})
    juju.wait(settled, **ONCE)
    assert get(api, f"{root}/kept") == b"kept"

    # They are in secrets and one private file, and nowhere else.
    shown = juju.cli("show-unit", "metadata/0", "integrator/0") + juju.cli("config", "metadata")
    shown += juju.cli("debug-log", "--limit", "5000") + json.dumps(
        juju.cli("status", "--format", "json")
    )
    shown += juju.cli("ssh", "--container", "metadata", "metadata/0", "/charm/bin/pebble", "plan")
    shown += server_log(juju)
    assert f"s3://{BUCKET}/team" in shown
    for keys in (object_store.keys, wrong):
        assert keys["secret-key"] not in shown
    mode = juju.cli(
        "ssh", "--container", "metadata", "metadata/0", "stat", "-c", "%a",
        "/etc/toolkit/artifact-store",
    )  # fmt: skip
    assert mode.strip() == "600"

    # Without the relation the storage has what comes, and what is in the store is named.
    juju.remove_relation("metadata:s3", "integrator")
    juju.wait(lambda status: not status.apps["metadata"].relations.get("s3") and settled(status))
    answer = api.get(f"{ARTIFACTS}/{root}/kept")
    assert answer.status_code == 400
    assert f"s3://{BUCKET}/team, which is not set" in answer.json()["message"]
    assert get(api, f"{before}/old") == b"old"
    _, after = run(api)
    put(api, f"{after}/x")

    # And with it again all is there.
    juju.integrate("metadata:s3", "integrator")
    juju.wait(lambda status: "s3" in status.apps["metadata"].relations and settled(status))
    assert get(api, f"{root}/kept") == b"kept"
    assert get(api, f"{after}/x") == b"x"
    assert names(api, run_id) == {"kept": 4}
