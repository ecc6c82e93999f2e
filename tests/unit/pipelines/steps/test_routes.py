"""The routes for steps: who is let in, and how what goes wrong is told."""

from __future__ import annotations

import errno
import re
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from toolkit_identity import Guard
from toolkit_pipelines import steps
from toolkit_pipelines.root import Attempt, PipelineRoot
from toolkit_pipelines.steps import Exchange, StepTokens
from toolkit_pipelines.steps.routes import StartingError

from .conftest import ATTEMPT, PRODUCER
from .test_exchange import GOOD, entry

TOKENS = StepTokens(b"key")


class Attempts:
    """One attempt under way, and an engine that may be starting."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Attempt] = {("run", "pod"): ATTEMPT}
        self.starting = False

    def under_way(self, run_id: str, pod: str) -> Attempt | None:
        if self.starting:
            raise StartingError("just starting")
        return self.found.get((run_id, pod))


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture
def client(exchange: Exchange, attempts: Attempts) -> TestClient:
    app = Guard(
        steps.application(exchange, attempts), tokens=TOKENS, allowed_hosts=["ml.example.com"]
    )
    return TestClient(
        app,
        base_url="http://ml.example.com/steps/v1/",
        headers={"Authorization": f"Bearer {TOKENS.issue('run', 'pod')}"},
        raise_server_exceptions=False,
    )


def declared(path: str, content: bytes) -> dict[str, Any]:
    found = entry(path, content)
    return {"path": path, "size": found.size, "sha256": found.sha256, "md5": found.md5}


def test_no_route_answers_without_its_token(
    client: TestClient, exchange: Exchange, attempts: Attempts
) -> None:
    listed = steps.application(exchange, attempts).routes
    assert len(listed) == 7
    other = TOKENS.issue("run", "pod").replace("pod", "pot")
    for route in listed:
        assert isinstance(route, Route)
        for method in route.methods or ():
            for value in ("", "Bearer nothing", f"Bearer {other}"):
                reply = client.request(
                    method, f"http://ml.example.com{route.path}", headers={"Authorization": value}
                )
                assert reply.status_code == 401, (method, route.path, value)


def test_an_attempt_that_has_ended_is_refused(client: TestClient, attempts: Attempts) -> None:
    attempts.found.clear()
    reply = client.get("inputs")
    assert reply.status_code == 403
    assert "not under way" in reply.json()["message"]


def test_an_engine_that_starts_asks_to_come_again(client: TestClient, attempts: Attempts) -> None:
    attempts.starting = True
    reply = client.get("inputs")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


def test_a_whole_attempt(client: TestClient, root: PipelineRoot) -> None:
    assert client.post("claim", json={"claim": "claim-one"}).json()["version"] == "1"
    assert client.post("claim", json={"claim": "claim-two"}).status_code == 409
    (root.folder / PRODUCER.folder / "data").write_bytes(b"0123456789")
    (given,) = client.get("inputs").json()["files"]
    assert (given["size"], given["sha256"]) == (10, None)
    whole = client.get(given["url"])
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-length"] == "10"
    rest = client.get(given["url"], headers={"Range": "bytes=7-"})
    assert (rest.status_code, rest.content) == (206, b"789")
    assert rest.headers["content-range"] == "bytes 7-9/10"
    assert client.get(given["url"], headers={"Range": "bytes=11-"}).status_code == 416
    assert client.get(given["url"], headers={"Range": "bytes=1-2"}).status_code == 416
    files = [declared("model/a b%?.bin", b"www"), {"path": "model", "folder": True}]
    (place,) = client.post("outputs", json={"files": files}).json()["files"]
    assert client.put(place["url"], content=b"www").status_code == 201
    assert client.put("result", json=GOOD).json() == {}
    assert (root.folder / ATTEMPT.folder / "model" / "a b%?.bin").read_bytes() == b"www"


def test_what_is_wrong_is_told(client: TestClient, root: PipelineRoot) -> None:
    (root.folder / PRODUCER.folder / "data").mkdir()
    for method, path, content, status, message in (
        ("POST", "claim", b"{", 400, "not JSON"),
        ("POST", "claim", b"[]", 400, "a claim is"),
        ("POST", "outputs", b'{"files": [{"path": "../x"}]}', 400, "must be relative"),
        ("PUT", "content?path=x", b"", 404, "not declared"),
        ("PUT", "content", b"", 404, "not declared"),
        ("GET", "content?path=x", b"", 404, "not among the inputs"),
        ("GET", f"content?path={PRODUCER.folder}/data", b"", 404, "is a folder"),
        ("PUT", "result", b"{}", 400, "exit_code"),
        ("GET", "nothing", b"", 404, "Not Found"),
        ("DELETE", "result", b"", 405, "Method Not Allowed"),
    ):
        reply = client.request(method, path, content=content)
        assert reply.status_code == status, (method, path)
        assert re.search(message, reply.json()["message"]), reply.text


def test_a_damaged_upload_is_told(client: TestClient) -> None:
    (place,) = client.post("outputs", json={"files": [declared("x", b"x")]}).json()["files"]
    reply = client.put(place["url"], content=b"y")
    assert reply.status_code == 422
    assert client.put("result", json=GOOD).status_code == 409


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
def test_a_disk_that_fails_is_told_without_its_paths(
    client: TestClient,
    exchange: Exchange,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "no luck", "/secret/place")

    monkeypatch.setattr(exchange, "settle", fail)
    reply = client.put("result", json=GOOD)
    assert reply.status_code == status
    assert "/secret" not in reply.text


def test_a_body_is_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.routes, "MAX_RESULT", 100)
    assert client.put("result", content=b" " * 101).status_code == 413
