"""The server on a real PostgreSQL: moved there from SQLite, killed, related to another one."""

import json
from pathlib import Path

import pytest

from ...postgresql import PASSWORD, PostgresServer, login_file
from .. import web
from ..processes import processes
from ..waiting import wait

API = "/api/2.0/mlflow"
# The server, which waits for a database not for fifteen seconds but for four looks.
IMPATIENT = """\
import sys
from toolkit_metadata import __main__, database
database._PATIENCE = 1.5
sys.exit(__main__.main(sys.argv[1:]))
"""


@pytest.fixture
def postgresql(tmp_path):
    folder = tmp_path / "postgresql"
    folder.mkdir()
    made = PostgresServer(folder)
    made.start()
    yield made
    made.kill()


def post(client, path, **body):
    answer = client.post(f"{API}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def record(client, name):
    """An experiment with a run that has all kinds of data, and a model's version of it."""
    experiment = post(client, "experiments/create", name=name)["experiment_id"]
    run = post(client, "runs/create", experiment_id=experiment, start_time=1)["run"]
    run_id = run["info"]["run_id"]
    nothing = {"key": "nothing", "value": "NaN", "timestamp": 2, "step": 1}
    score = {"key": "score", "value": 0.25, "timestamp": 2, "step": 1}
    post(
        client,
        "runs/log-batch",
        run_id=run_id,
        metrics=[score, nothing],
        params=[{"key": "depth", "value": "5 ü"}],
        tags=[{"key": "text", "value": "x" * 5000}],
    )
    post(client, "registered-models/create", name=f"model-{name}")
    source = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts/model"
    post(client, "model-versions/create", name=f"model-{name}", source=source, run_id=run_id)
    return run_id


def recorded(client, run_id):
    """All that the server says of a run and of the models, in an order of its own."""
    run = client.get(f"{API}/runs/get", params={"run_id": run_id}).json()["run"]
    models = client.get(f"{API}/registered-models/search").json()["registered_models"]
    for part in ("metrics", "params", "tags"):
        run["data"][part] = sorted(run["data"][part], key=lambda each: each["key"])
    return run, models


def worked_with(server, *words):
    """Start a server, record something, and end it; the run, and all that it said of it."""
    server.start(*words)
    with server.client() as client:
        run_id = record(client, "before")
        before = recorded(client, run_id)
    server.kill()
    return run_id, before


def ready(server):
    return web.get(f"{server.url}/ready", timeout=60).status_code


def test_from_sqlite_to_a_server_that_dies(make_server, postgresql, tmp_path):
    server = make_server()
    run_id, before = worked_with(server)
    login = postgresql.fresh()
    words = ("--login", str(login_file(login, tmp_path / "login")))
    server.start(*words, "--workers", "2")
    assert not (server.data / "mlflow.db").exists()
    assert (server.data / "mlflow.db.moved").exists()
    with server.client() as client:
        assert recorded(client, run_id) == before
        # Numbers that PostgreSQL gives go on where SQLite's ended.
        after = record(client, "after")
        written = recorded(client, after)

    # The database is restarted under the server, which goes on with it.
    postgresql.kill()
    assert ready(server) == 503
    postgresql.start()
    wait(lambda: ready(server) == 200, "it is ready again")
    with server.client() as client:
        assert recorded(client, after) == written
        assert recorded(client, run_id)[0] == before[0]
        record(client, "later")

    lines = [line for line in processes().values() if "toolkit_metadata" in line]
    assert lines
    assert not any(PASSWORD in line for line in lines)
    variables = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert PASSWORD.encode() not in variables

    # And both at once: the database comes back a while after the server.
    server.kill()
    postgresql.kill()
    ended = server.run(*words, program=("-c", IMPATIENT))
    assert ended.returncode == 2
    assert "asked again" in ended.stderr
    assert f"127.0.0.1:{login.port}" in ended.stderr
    assert f"127.0.0.1:{login.port}" in (server.data / "problem").read_text()
    postgresql.start()
    server.start(*words)
    assert not (server.data / "problem").exists()
    with server.client() as client:
        assert recorded(client, after)[0] == written[0]
    server.kill()

    # A move that was cut between the commit of what was copied and the note that says so.
    note = server.data / "postgresql.json"
    told = json.loads(note.read_text())
    note.unlink()
    (server.data / "mlflow.db.moved").rename(server.data / "mlflow.db")
    server.start(*words)
    assert json.loads(note.read_text()) == told
    assert not (server.data / "mlflow.db").exists()
    with server.client() as client:
        assert recorded(client, after)[0] == written[0]
        assert recorded(client, run_id)[0] == before[0]
    server.kill()
    assert PASSWORD not in server.log.read_text()


def test_nothing_begins_anew(make_server, postgresql, tmp_path):
    server = make_server(new=True)
    login = postgresql.fresh()
    words = ("--login", str(login_file(login, tmp_path / "login")))
    run_id, kept = worked_with(server, *words)

    # Without the login.
    ended = server.run()
    assert ended.returncode == 2
    assert "the data are in PostgreSQL" in ended.stderr
    assert not (server.data / "mlflow.db").exists()
    # On a database that has none, or others'.
    others = postgresql.fresh()
    other = login_file(others, tmp_path / "other")
    ended = server.run("--login", str(other))
    assert ended.returncode == 2
    assert "has none: restore them there" in ended.stderr
    theirs, _ = worked_with(make_server("two", new=True), "--login", str(other))
    ended = server.run("--login", str(other))
    assert ended.returncode == 2
    assert "has others: restore them there" in ended.stderr
    # A storage that has data, on a database that has some.
    third = make_server("three")
    ended = third.run("--login", str(other))
    assert ended.returncode == 2
    assert "has data of another application" in ended.stderr
    # An MLflow that knows nothing of us has worked there: what it has is not overwritten.
    postgresql.execute("DROP TABLE toolkit_identity", others.database)
    ended = third.run("--login", str(other))
    assert ended.returncode == 2
    assert "an MLflow has been at work there" in ended.stderr
    rows = postgresql.execute("SELECT run_uuid FROM runs", others.database)
    assert rows == [(theirs,)]
    assert (third.data / "mlflow.db").exists()

    server.start(*words)
    with server.client() as client:
        assert recorded(client, run_id) == kept
