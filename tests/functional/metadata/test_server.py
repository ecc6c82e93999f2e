"""The server as a process: it starts, stops, survives and says what is wrong."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from contextlib import closing

import httpx2
import pytest

from .. import web
from .conftest import PATIENCE, TOKEN, Server

API = "/api/2.0/mlflow"


def make_experiment(client, name):
    return client.post(f"{API}/experiments/create", json={"name": name})


def names(client):
    found = client.get(f"{API}/experiments/search", params={"max_results": 10000})
    return {experiment["name"] for experiment in found.json()["experiments"]}


def test_it_comes_back_with_its_data_however_it_ended(make_server):
    server = make_server(new=True).start()
    with server.client() as client:
        assert make_experiment(client, "kept").status_code == 200
        assert client.get("/version").text == "3.17.2"
        client.put("/api/2.0/mlflow-artifacts/artifacts/f", content=b"x")
    for private in (server.data, server.data / "mlflow.db", server.data / "artifacts"):
        assert private.stat().st_mode & 0o077 == 0, private
    # After its shutdown is complete it ends by the signal, as uvicorn does.
    assert server.kill(signal.SIGTERM) == -signal.SIGTERM
    assert "Application shutdown complete" in server.log.read_text()
    server.start()
    with server.client() as client:
        assert "kept" in names(client)

    # What it answered survives a kill while it writes.
    made = written_until_killed(server)
    server.start()
    with server.client() as client:
        assert {"kept", *made} <= names(client)


def written_until_killed(server):
    """Make experiments until it is killed, which it is after twenty; their names."""
    made = []
    stop = threading.Event()

    def write():
        with server.client() as client:
            while not stop.is_set():
                name = f"e{len(made)}"
                try:
                    if make_experiment(client, name).status_code == 200:
                        made.append(name)
                except httpx2.TransportError:
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(made) < 20 and writer.is_alive():
            writer.join(0.01)
        server.kill(signal.SIGKILL)
    finally:
        stop.set()
        writer.join(PATIENCE)
    assert len(made) >= 20
    return made


def test_several_workers_serve_one_database(make_server):
    server = make_server().start("--workers", "2")
    with server.client() as client:
        for number in range(20):
            assert make_experiment(client, f"w{number}").status_code == 200
    # A connection of its own each time, so that both workers are asked.
    for _ in range(6):
        with server.client() as client:
            assert {f"w{number}" for number in range(20)} <= names(client)
    assert server.kill(signal.SIGTERM) == 0


def test_ready_is_a_503_when_the_database_is_gone(server):
    (server.data / "mlflow.db").rename(server.data / "moved")
    try:
        assert web.get(f"{server.url}/health").status_code == 200
        response = web.get(f"{server.url}/ready")
        assert response.status_code == 503
        assert response.json()["error_code"] == "NOT_READY"
        assert str(server.data) not in response.text
        assert not (server.data / "mlflow.db").exists()
    finally:
        (server.data / "moved").rename(server.data / "mlflow.db")
    assert web.get(f"{server.url}/ready").status_code == 200


def test_readiness_goes_on_beside_a_writer(server):
    with closing(sqlite3.connect(server.data / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        # Readers go on beside a writer.
        assert web.get(f"{server.url}/ready", timeout=30).status_code == 200
        other.execute("ROLLBACK")


MISTAKES = [
    (["--address", "localhost"], "--address"),
    (["--address", "0.0.0"], "--address"),
    (["--port", "0"], "--port"),
    (["--port", "http"], "--port"),
    (["--workers", "0"], "--workers"),
    (["--workers", "1000"], "--workers"),
    (["--log-level", "loud"], "--log-level"),
    (["--artifact-root", "../x"], "--artifact-root"),
    (["--artifact-root", "/x"], "--artifact-root"),
    (["--data", "relative"], "--data"),
    (["--allowed-host", "http://x"], "is not a host"),
    (["--tokens", "/nonexistent/tokens"], "/nonexistent/tokens"),
    (["--artifact-store", "s3://bucket"], "--artifact-store-credentials"),
    (
        [
            "--artifact-store",
            "s3://bucket",
            "--artifact-store-credentials",
            "/nonexistent/keys",
        ],
        "/nonexistent/keys",
    ),
    (["--artifact-store-certificates", "/nonexistent/ca"], "/nonexistent/ca"),
    (["--unknown"], "--unknown"),
]

# Each as a process would take it, one after the other in one: the imports take longer than all.
MISTAKEN = """
import contextlib, io, json, pathlib, sys
from toolkit_metadata.__main__ import main

usual, mistakes = map(json.loads, sys.argv[1:])
data = pathlib.Path(usual[usual.index("--data") + 1])
for mistake in mistakes:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            code = main([*usual, *mistake])
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, said.getvalue(), data.exists()]))
"""


@pytest.fixture(scope="module")
def mistaken(python, tmp_path_factory):
    """By the arguments of each mistake: the exit status, what was said, whether data were made."""
    server = Server(python, tmp_path_factory.mktemp("mistaken"))
    usual = server.command()[3:]
    mistakes = [arguments for arguments, _ in MISTAKES]
    done = subprocess.run(
        [str(python), "-c", MISTAKEN, json.dumps(usual), json.dumps(mistakes)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return dict(zip(map(tuple, mistakes), lines, strict=True))


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_wrong_setting_is_named(mistaken, arguments, message):
    code, said, made = mistaken[tuple(arguments)]
    assert code == 2
    assert message in said
    assert not made


def test_a_token_file_that_others_may_read_stops_the_start(make_server):
    server = make_server(new=True)
    server.tokens.chmod(0o644)
    done = server.run()
    assert not server.data.exists()
    assert done.returncode == 2
    assert "0600" in done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stderr


def test_a_port_in_use_is_said_so(make_server):
    server = make_server()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        done = server.run()
    assert done.returncode != 0
    assert "address already in use" in done.stderr


def test_a_damaged_database_is_refused_and_left_as_it_is(make_server):
    server = make_server()
    path = server.data / "mlflow.db"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(os.stat(path).st_size - 4096))
    before = path.read_bytes()
    done = server.run()
    assert done.returncode == 2
    assert "damaged" in done.stderr
    assert path.read_bytes() == before


def test_a_database_of_a_newer_mlflow_is_refused_and_left_as_it_is(make_server):
    server = make_server()
    path = server.data / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'fffffffffff1'")
        database.commit()
    done = server.run()
    assert done.returncode == 2
    assert "newer MLflow" in done.stderr
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (
            "fffffffffff1",
        )


OLDER = """
import sys
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine, text

uri = f"sqlite:///{sys.argv[1]}"
engine = create_engine(uri)
Base.metadata.create_all(engine)
config = utils._get_alembic_config(uri)
revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, revisions[len(revisions) // 2])
with engine.begin() as connection:
    connection.execute(
        text(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, "
            "creation_time, last_update_time) "
            "VALUES (7, 'old', 'mlflow-artifacts:/7', 'active', 1, 1)"
        )
    )
print(revisions[len(revisions) // 2])
"""


def test_an_older_database_is_copied_and_upgraded_before_it_serves(make_server, python):
    server = make_server(new=True)
    server.data.mkdir(mode=0o700)
    done = subprocess.run(
        [str(python), "-c", OLDER, str(server.data / "mlflow.db")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    revision = done.stdout.split()[-1]
    server.start()
    with server.client() as client:
        assert "old" in names(client)
        assert make_experiment(client, "new").status_code == 200
    copy = server.data / f"mlflow.db.{revision}"
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)
        assert kept.execute("SELECT name FROM experiments").fetchall() == [("old",)]
