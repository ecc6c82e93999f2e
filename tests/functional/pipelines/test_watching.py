"""A run that is followed, and that fails, over kills of the service; who is told of it."""

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from ...webhooks import Receiver, receiving
from .. import web
from ..waiting import PATIENCE, wait
from .stack import Cluster, Gate, Service, remote

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

KEY = b"k" * 32


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def first() -> int:
    return 7


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def then(number: int, gate: int):
    import socket
    import time

    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", gate)):
            time.sleep(0.05)
    raise RuntimeError("as it shall be")


@dsl.pipeline(name="failing")
def failing(gate: int):
    then(number=first().output, gate=gate)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook that takes nothing until a test lets it."""
    with receiving() as made:
        made.status = 500
        yield made


@pytest.fixture
def teller(
    cluster: Cluster, step_image: str, receiver: Receiver, tmp_path: Path
) -> Iterator[Service]:
    """A service that tells of failures."""
    (tmp_path / "hook").write_text(receiver.url + "\n")
    (tmp_path / "key").write_text(f"whsec_{base64.b64encode(KEY).decode()}\n")
    with remote(
        tmp_path,
        cluster,
        step_image,
        "teller",
        failure_webhook_file=str(tmp_path / "hook"),
        failure_webhook_key_file=str(tmp_path / "key"),
        log_level="debug",
    ) as made:
        yield made


def submit(service: Service, gate: Gate) -> str:
    made = service.client().create_run_from_pipeline_func(
        failing, arguments={"gate": gate.port}, enable_caching=False
    )
    run_id: str = made.run_id
    return run_id


class Follower:
    """What a page would do: it keeps the run as it is told, and the last id."""

    def __init__(self, service: Service, run_id: str) -> None:
        self.service = service
        self.path = f"/apis/v2beta1/runs/{run_id}:watch"
        self.ids: list[int] = []
        self.kinds: list[str] = []
        self.run: dict[str, Any] = {}
        self.tasks: dict[str, dict[str, Any]] = {}

    def follow(self) -> Iterator[None]:
        """Go on from where it was; give after each message."""
        headers = {"last-event-id": str(self.ids[-1])} if self.ids else {}
        with (
            self.service.http() as client,
            client.stream("GET", self.path, headers=headers, timeout=PATIENCE) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    self.told(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                    fields = {}
                    yield

    def told(self, number: int, kind: str, message: dict[str, Any]) -> None:
        self.ids.append(number)
        self.kinds.append(kind)
        if kind == "task":
            task = self.tasks.setdefault(message["task_id"], {})
            task.pop("error", None)
            task.update(message)
            return
        self.run = message
        if kind == "snapshot":
            details = message["run_details"]["task_details"]
            self.tasks = {task["task_id"]: task for task in details}

    def state(self, name: str) -> str:
        return next((t["state"] for t in self.tasks.values() if t["display_name"] == name), "")


def test_a_failure_is_followed_and_told_though_the_service_is_killed(
    teller: Service, receiver: Receiver, gate: Gate
) -> None:
    run_id = submit(teller, gate)
    follower = Follower(teller, run_id)
    messages = follower.follow()
    while follower.state("then") != "RUNNING":
        next(messages)
    # Killed while the step runs: it goes on, and is found again.
    teller.kill()
    with pytest.raises(httpx2.TransportError):
        list(messages)
    before = len(follower.ids)
    assert follower.kinds[0] == "snapshot"
    assert follower.run["state"] != "FAILED"
    gate.open()
    teller.start()
    for _ in follower.follow():
        pass
    assert follower.run["state"] == "FAILED", teller.evidence(run_id)
    # Nothing is told twice and nothing is left out, but that the run itself is told at the start.
    assert follower.ids == sorted(follower.ids)
    tasks = [n for n, kind in zip(follower.ids, follower.kinds, strict=True) if kind == "task"]
    assert len(set(tasks)) == len(tasks)
    assert "snapshot" not in follower.kinds[before:]
    with teller.http() as client:
        run = client.get(f"/apis/v2beta1/runs/{run_id}").json()
    assert follower.ids[-1] == max(follower.ids)
    for task in run["run_details"]["task_details"]:
        told = follower.tasks[task["task_id"]]
        names = ("display_name", "state", "error", "input_parameters", "output_parameters")
        assert [told.get(name) for name in names] == [task.get(name) for name in names]
    with teller.http() as client:
        headers = {"last-event-id": str(follower.ids[-1])}
        assert client.get(follower.path, headers=headers).status_code == 204
    # Who is to be told of it takes nothing yet, and the service is killed once more.
    wait(lambda: bool(receiver.got), "the webhook is called")
    teller.kill()
    receiver.status = 204
    teller.start()
    wait(lambda: receiver.got[-1].status == 204, "the webhook is told")
    assert {each.headers["webhook-id"] for each in receiver.got} == {
        f"{run_id}-{follower.ids[-1]}"
    }
    headers, body = receiver.got[-1].headers, receiver.got[-1].body
    data = json.loads(body)["data"]
    assert (data["run_id"], data["state"], data["experiment"]) == (run_id, "FAILED", "Default")
    assert data["error"] == run["error"]["message"]
    with teller.http() as client:
        assert client.get(data["link"]).json()["run_id"] == run_id
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    log = teller.log.read_text()
    assert "answers with 500" in log
    assert not [secret for secret in ("sesame", "secret-path", "hidden", digest) if secret in log]


def test_those_that_follow_do_not_hold_up_the_end_of_the_service(
    teller: Service, gate: Gate
) -> None:
    run_id = submit(teller, gate)
    follower = Follower(teller, run_id)
    assert teller.process is not None
    for _ in follower.follow():
        if follower.state("then") == "RUNNING":
            teller.process.terminate()
    # The answer was complete: the client knows that it was not cut off.
    assert teller.process.wait(timeout=PATIENCE) == 0
    assert "graceful shutdown exceeded" not in teller.log.read_text()
    teller.start()
    teller.client().terminate_run(run_id)
    for _ in follower.follow():
        pass
    assert follower.run["state"] == "CANCELED"
    assert follower.state("then") == "CANCELED"


def test_nobody_follows_without_a_token_or_from_elsewhere(teller: Service) -> None:
    url = f"{teller.url}/apis/v2beta1/runs/x:watch"
    assert web.get(url).status_code == 401
    with teller.http() as client:
        assert client.get(url, headers={"origin": "https://evil.example.com"}).status_code == 403
        assert client.get(url, headers={"host": "evil.example.com"}).status_code == 403
        assert client.get(url).status_code == 404
