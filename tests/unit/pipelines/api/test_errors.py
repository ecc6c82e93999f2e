from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import toolkit_pipelines
from toolkit_pipelines import api
from toolkit_pipelines.api import errors
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.store import Store


def test_health(client: TestClient) -> None:
    for url in ("/healthz", "http://test/healthz"):
        found = client.get(url).json()
        assert (found["multi_user"], found["pipeline_store"]) == (False, "database")
        assert found["version"] == toolkit_pipelines.__version__


def test_health_tells_of_a_dead_engine(context: Context) -> None:
    ill = dataclasses.replace(context, healthy=lambda: "the engine has stopped")
    with TestClient(api.application(ill)) as client:
        reply = client.get("/healthz")
        assert client.get("/livez").status_code == 200
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


def test_the_version_is_the_packages() -> None:
    project = Path(__file__).parents[4] / "images" / "pipelines" / "pyproject.toml"
    found = tomllib.loads(project.read_text())["project"]["version"]
    assert found == toolkit_pipelines.__version__
