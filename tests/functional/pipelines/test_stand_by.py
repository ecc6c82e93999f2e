"""Two services on one PostgreSQL and one object store: one leads, the other is ready to."""

import asyncio
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from sandbox.proxy import Proxy, Route
from toolkit_database import Login
from toolkit_pipelines.store import moving

from ...ports import free_ports
from ...postgresql import PostgresServer, login_file
from .. import web
from ..objectstore import StoreServer
from ..waiting import wait
from .stack import TOKEN, Cluster, Gate, Service
from .test_steps import IMAGE, finish, submit

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def note(text: str, page: dsl.Output[dsl.HTML], before: str = "", gate: int = 0) -> str:
    import socket
    import time

    print(f"{text} has begun", flush=True)
    with socket.socket() as probe:
        while gate and probe.connect_ex(("127.0.0.1", gate)):
            time.sleep(0.05)
    with open(page.path, "w") as file:
        file.write(f"<p>{text}")
    print(f"{text} has ended")
    return text


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def read(page: dsl.Input[dsl.HTML], before: str) -> str:
    with open(page.path) as file:
        return before + file.read()


@dsl.pipeline(name="handed-over")
def handed_over(gate: int) -> str:
    first = note(text="first")
    second = note(text="second", before=first.outputs["Output"], gate=gate)
    return read(page=second.outputs["page"], before=second.outputs["Output"]).output


STEPS = 3


class Pair:
    """Two services under one address, as an application's units are.

    Attributes:
        login: of their database.
        services: both.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        step_image: str,
        server: PostgresServer,
        store: StoreServer,
    ) -> None:
        self.server = server
        self.login: Login = server.fresh()
        self._login_file = login_file(self.login, folder / "login")
        keys = folder / "keys"
        keys.touch(mode=0o600)
        keys.write_text(yaml.safe_dump(store.keys))
        bucket = store.bucket(f"pair-{self.login.database}")
        self._proxy = Proxy(folder / "proxy")
        (self._port,) = free_ports()
        self.services: list[Service] = []
        for number in range(2):
            own = folder / str(number)
            own.mkdir()
            # Of one name: they have the same pods.
            made = Service(
                own,
                cluster,
                step_image,
                name=f"pair-{self.login.database}",
                pipeline_root_claim="",
                environments_claim="",
                artifact_transfer="store",
                artifact_address=f"http://127.0.0.1:{self._port}",
                artifact_store=f"s3://{bucket}/a?endpoint={store.url}&region=us-east-1",
                artifact_store_credentials=str(keys),
                begins=number == 0,
            )
            self.services.append(made)
            self.on_postgresql(made)
        self.lead_to(*self.services)

    def lead_to(self, *services: Service) -> None:
        """Let the address lead to those that are ready."""
        targets = tuple(("127.0.0.1", each.port) for each in services)
        asyncio.run(self._proxy.apply([Route("127.0.0.1", self._port, targets)]))

    def on_postgresql(self, service: Service) -> None:
        service.settings["database_file"] = str(self._login_file)

    def close(self) -> None:
        for each in self.services:
            if each.process is not None and each.process.poll() is None:
                # One that is paused does not end by a word.
                each.process.send_signal(signal.SIGCONT)
            each.stop()
        asyncio.run(self._proxy.stop())

    def kinds(self, run_id: str) -> Counter[str]:
        """How many events of each kind a run has, by the database."""
        rows = self.server.execute(
            f"SELECT kind FROM events WHERE run_id = '{run_id}'", self.login.database
        )
        return Counter(str(kind) for (kind,) in rows)

    def log(self) -> str:
        return "\n".join(each.log.read_text()[-4000:] for each in self.services)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    made = PostgresServer(tmp_path_factory.mktemp("postgresql"), checking=False)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def pair(
    tmp_path: Path,
    cluster: Cluster,
    step_image: str,
    server: PostgresServer,
    object_store: StoreServer,
) -> Iterator[Pair]:
    with ExitStack() as stack:
        made = Pair(tmp_path, cluster, step_image, server, object_store)
        stack.callback(made.close)
        yield made


def stands_by(service: Service) -> bool | None:
    """Whether a service says that it is a stand-by; None if it does not answer."""
    with suppress(httpx2.HTTPError):
        assert web.get(f"{service.url}/livez").status_code == 200
        return web.get(f"{service.url}/leads").status_code == 503
    return None


def answers(service: Service, path: str, **params: Any) -> Any:
    """What the API says; the request has to be served."""
    with api(service) as client:
        answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer


def api(service: Service) -> httpx2.Client:
    return web.client(
        base_url=f"{service.url}/apis/v2beta1",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=120,
    )


def leads(service: Service) -> None:
    """Wait until a service leads."""

    def it_does() -> bool:
        with suppress(httpx2.HTTPError):
            answer = web.get(f"{service.url}/healthz")
            return answer.status_code == 200 and stands_by(service) is False
        return False

    wait(it_does, f"{service.url} leads", 300)


def check(pair: Pair, service: Service, run_id: str) -> None:
    """See that a run has ended well, that each step ran once, and that all of it can be read."""
    run = finish(service.client(), run_id, timeout=300)
    assert run.state == "SUCCEEDED", pair.log()
    kinds = pair.kinds(run_id)
    assert (kinds["TaskStarted"], kinds["TaskSucceeded"]) == (STEPS, STEPS)
    assert (kinds["RunCreated"], kinds["RunEnded"], kinds["TaskFailed"]) == (1, 1, 0)
    wait(lambda: not service.cluster.pods(), "the pods have gone, and their logs are kept")
    pods = {t.display_name: t.pod_name for t in run.run_details.task_details if t.pod_name}
    for name, text in (("note", "first"), ("note-2", "second")):
        log = answers(service, f"/runs/{run_id}/nodes/{pods[name]}/log").text
        printed = [line for line in log.splitlines() if line.startswith(f"{text} has")]
        assert printed == [f"{text} has begun", f"{text} has ended"]
    found = answers(service, "/artifacts", run_id=run_id).json()["artifacts"]
    pages = [answers(service, f"/artifacts/{each['artifact_id']}:download").text for each in found]
    assert sorted(pages) == ["<p>first", "<p>second"]


def test_a_leader_that_is_killed_hands_over(pair: Pair, gate: Gate) -> None:
    first, second = pair.services
    first.start()
    leads(first)
    second.start()
    assert stands_by(second) is True
    # Whoever is asked, the one that leads does it.
    runs = [submit(each, handed_over, gate=gate.port) for each in (first, second, second)]
    wait(
        lambda: sum("note-2" in pod["metadata"]["name"] for pod in first.cluster.pods()) == 3,
        "the steps that wait have pods",
    )
    assert web.get(f"{second.url}/apis/v2beta1/runs").status_code == 401
    first.kill()
    leads(second)
    gate.open()
    for run_id in runs:
        check(pair, second, run_id)
    assert answers(second, "/runs").json()["total_size"] == 3
    # There is nothing of it on the volumes, and the other one gives the same again.
    for each in pair.services:
        assert not [path for path in each.root.rglob("*") if path.is_file()]
    first.start()
    assert stands_by(first) is True
    check(pair, first, runs[0])
    with api(first) as client:
        refused = client.get("/runs", headers={"Authorization": "Bearer nothing"})
    assert refused.status_code == 401
    second.stop()
    leads(first)
    check(pair, first, runs[1])
    with api(first) as client:
        assert client.delete(f"/runs/{runs[2]}").status_code == 200
    database = pair.login.database
    left = pair.server.execute("SELECT DISTINCT run_id FROM documents", database)
    assert sorted(left) == sorted([(runs[0],), (runs[1],)])


def test_a_leader_that_is_paused_writes_no_more(pair: Pair, gate: Gate) -> None:
    first, second = pair.services
    first.start()
    second.start()
    run_id = submit(first, handed_over, gate=gate.port)
    # Later than that it asks the service nothing until it has ended.
    wait(lambda: first.cluster.printed("note-2", "second has begun"), "the step waits")
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    # The server lets go of a session that has been idle for a while (`postgresql.hold`).
    leads(second)
    # Its check fails: no Service leads to it any more.
    pair.lead_to(second)
    gate.open()
    check(pair, second, run_id)
    with api(second) as client:
        assert client.delete(f"/runs/{run_id}").status_code == 200
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(180) == 2
    assert "another service" in first.log.read_text()
    assert sum(pair.kinds(run_id).values()) == 0
    first.start()
    assert stands_by(first) is True


def test_what_a_volume_has_is_moved_before_others_lead(pair: Pair, gate: Gate) -> None:
    first, second = pair.services
    gate.open()
    # On SQLite, with the object store: as it was before there could be two.
    del first.settings["database_file"]
    first.start()
    before = submit(first, handed_over, gate=gate.port)
    assert finish(first.client(), before, timeout=300).state == "SUCCEEDED", pair.log()
    wait(lambda: not first.cluster.pods(), "the pods have gone, and their logs are kept")
    kept = {path.suffix for path in first.root.rglob("*") if path.is_file()}
    assert kept >= {".json", ".log"}
    first.stop()

    # The one that is not to begin waits, though nobody leads.
    with pytest.raises(AssertionError, match="not within"):
        start(second, patience=15)
    answer = web.get(f"{second.url}/healthz")
    assert answer.status_code == 503
    assert "not shared yet: the service that begins it" in answer.json()["message"]
    assert answer.headers["retry-after"] == "1"
    pair.on_postgresql(first)
    first.start()
    leads(first)
    wait(lambda: pair.server.execute(
        f"SELECT name FROM keys WHERE name = '{moving.SHARED}'", pair.login.database
    ), "all is moved")  # fmt: skip
    assert not [path for path in first.root.rglob("*") if path.is_file()]
    assert stands_by(second) is True
    check(pair, second, before)
    first.kill()
    leads(second)
    check(pair, second, before)
    again = submit(second, handed_over, gate=gate.port)
    check(pair, second, again)
    assert not [path for path in first.root.rglob("*") if path.is_file()]


def start(service: Service, patience: float) -> None:
    """Start a service, and wait only so long."""
    service.launch()
    wait(service.healthy, "the service is healthy", patience)
