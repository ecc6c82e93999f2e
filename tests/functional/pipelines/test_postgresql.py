"""The service on a real PostgreSQL: moved there from SQLite, and killed under a run."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit_pipelines.store import moving

from ...postgresql import PASSWORD, PostgresServer, login_file
from .. import web
from ..waiting import wait
from .stack import Cluster, Gate, Service, kfp

dsl = kfp.dsl

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def add(x: int, gate: int) -> int:
    import socket
    import time

    with socket.socket() as probe:
        while gate and probe.connect_ex(("127.0.0.1", gate)):
            time.sleep(0.05)
    return x + 1


@dsl.pipeline(name="adding")
def adding(first: int = 0, second: int = 0) -> int:
    one = add(x=1, gate=first)
    two = add(x=one.output, gate=second)
    return add(x=two.output, gate=second).output


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    made = PostgresServer(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def gates() -> Iterator[tuple[Gate, Gate]]:
    made = Gate(), Gate()
    yield made
    for each in made:
        each.close()


@pytest.fixture
def own(cluster: Cluster, step_image: str) -> Iterator[Service]:
    """A service of the test's own, on the volumes that the cluster has."""
    folder = cluster.folder.parent
    state = folder / "state-of-postgresql"
    state.mkdir()
    made = Service(folder, cluster, step_image, name="pipelines-postgresql", state=str(state))
    made.config = folder / "settings-postgresql.yaml"
    made.log = folder / "service-postgresql.log"
    made.start()
    yield made
    made.stop()


def started(service: Service, run_id: str) -> int:
    """How many steps of a run have begun."""
    return len(list(service.root.glob(f"adding/{run_id}/*/*/.started")))


def test_from_sqlite_to_a_server_that_dies(
    own: Service, server: PostgresServer, gates: tuple[Gate, Gate], tmp_path: Path
) -> None:
    client = own.client()
    before = client.create_run_from_pipeline_func(adding).run_id
    assert client.wait_for_run_completion(before, 120, sleep_duration=1).state == "SUCCEEDED"
    own.stop()
    login = server.fresh()
    own.settings["database_file"] = str(login_file(login, tmp_path / "login"))
    own.start()
    state = Path(str(own.settings["state"]))
    assert not (state / moving.FILE).exists()
    assert (state / moving.KEPT).exists()
    assert client.get_run(before).state == "SUCCEEDED"

    # What has run on SQLite is in the cache still; this run takes other arguments.
    arguments = {"first": gates[0].port, "second": gates[1].port}
    run_id = client.create_run_from_pipeline_func(adding, arguments=arguments).run_id
    wait(lambda: started(own, run_id) == 1, "a step has begun")
    server.kill()
    gates[0].open()
    # The step ends while nobody can write that down.
    result = f"adding/{run_id}/add/*/result.json"
    wait(lambda: bool(list(own.root.glob(result))), "it has ended")
    answer = web.get(f"{own.url}/healthz", timeout=60)
    assert answer.status_code == 503
    assert "database" in answer.json()["message"]
    with own.http() as http:
        assert http.get("/apis/v2beta1/runs", timeout=60).status_code == 503
    assert started(own, run_id) == 1
    server.start()
    wait(lambda: started(own, run_id) == 2, "the next step has begun")
    # And the other way: the server restarts with the service, which is killed.
    own.kill()
    server.kill()
    gates[1].open()
    server.start()
    own.start()
    run = client.wait_for_run_completion(run_id, 180, sleep_duration=1)
    assert run.state == "SUCCEEDED", own.evidence(run_id)
    assert started(own, run_id) == 3
    rows = server.execute(f"SELECT kind FROM events WHERE run_id = '{run_id}'", login.database)
    kinds = Counter(kind for (kind,) in rows)
    assert (kinds["TaskStarted"], kinds["TaskSucceeded"]) == (3, 3)
    assert (kinds["RunCreated"], kinds["RunEnded"]) == (1, 1)
    wait(lambda: not own.cluster.pods(), "the steps' pods are gone")
    assert PASSWORD not in own.log.read_text()
    # Without the login nothing begins anew, and the folder says why.
    own.stop()
    del own.settings["database_file"]
    with pytest.raises(AssertionError, match="the data are in PostgreSQL"):
        own.start()
    assert "the data are in PostgreSQL" in (state / "problem").read_text()
