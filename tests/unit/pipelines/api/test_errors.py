from __future__ import annotations

import dataclasses

import pytest
from starlette.testclient import TestClient

from toolkit_pipelines import api
from toolkit_pipelines.api import errors
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.store import Store


def test_health(client: TestClient) -> None:
    expected = {"multi_user": False, "pipeline_store": "database"}
    assert client.get("/healthz").json() == expected
    assert client.get("http://test/healthz").json() == expected


def test_health_tells_of_a_dead_engine(context: Context) -> None:
    ill = dataclasses.replace(context, healthy=lambda: "the engine has stopped")
    with TestClient(api.application(ill)) as client:
        reply = client.get("/healthz")
    assert reply.status_code == 503
    assert reply.json() == {"code": 14, "message": "the engine has stopped", "details": []}


def test_an_unknown_path_and_method(client: TestClient) -> None:
    missing = client.get("/none")
    assert (missing.status_code, missing.json()["code"]) == (404, 5)
    method = client.put("/runs")
    assert (method.status_code, method.json()["code"]) == (405, 12)


def test_a_failure_of_ours_says_nothing_of_the_inside(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(query: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(store.catalog, "pipelines", fail)
    reply = client.get("/pipelines")
    assert (reply.status_code, reply.json()["code"]) == (500, 13)
    assert "secret" not in reply.text


def test_long_messages_are_cut() -> None:
    assert len(errors.body(errors.Code.INTERNAL, "x" * 10_000)["message"]) < 3_000


def test_a_body_that_never_ends_is_not_kept(client: TestClient) -> None:
    def chunks() -> object:
        for _ in range(400):
            yield bytes(100_000)

    reply = client.post("/runs", content=chunks())  # type: ignore[arg-type]
    assert reply.status_code == 413
