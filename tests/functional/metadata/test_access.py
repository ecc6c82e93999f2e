"""Nobody comes in without a token, by a foreign Host, from a foreign page; no route is missed."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from .. import web
from .conftest import OTHER, TOKEN, write_tokens

OPEN = {"/health", "/ready"}


@pytest.fixture(scope="module")
def application(python, tmp_path_factory):
    """What `routes.py` finds in an application without a store."""
    done = subprocess.run(
        [str(python), str(Path(__file__).parent / "routes.py"), str(tmp_path_factory.mktemp("r"))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def routes(application):
    """(method, path) of every route, parameters filled in."""
    return [
        (method, re.sub(r"<[^>]+>|\{[^}]+\}", "x", path)) for method, path in application["routes"]
    ]


def ask_all(server, routes, headers):
    """Send each route one request; give (method, path, status)."""
    with web.client(base_url=server.url, headers=headers, timeout=30) as client:
        return [
            (method, path, client.request(method, path).status_code) for method, path in routes
        ]


def test_the_walk_finds_what_must_be_there(routes):
    assert len(routes) > 300
    for known in [
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
        ("POST", "/v1/traces"),
        ("GET", "/get-artifact"),
        ("POST", "/graphql"),
        ("GET", "/"),
        ("GET", "/static-files/x"),
        ("GET", "/version"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/gateway/x/mlflow/invocations"),
        ("POST", "/ajax-api/3.0/jobs/"),
    ]:
        assert known in routes


def test_without_a_store_its_library_is_not_loaded(application):
    assert application["loaded"] == []


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer nothing"}, {"authorization": f"Bearer {OTHER}"}]
)
def test_every_route_asks_for_a_token(server, routes, headers):
    for method, path, status in ask_all(server, routes, headers):
        expected = 200 if path in OPEN and method in ("GET", "HEAD") else 401
        assert status == expected, (method, path)


@pytest.mark.parametrize(
    "foreign",
    [
        {"host": "evil.example"},
        {"host": "ml.example.com.evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
def test_every_route_refuses_a_foreign_host_and_origin(server, routes, foreign):
    headers = {"authorization": f"Bearer {TOKEN}", **foreign}
    for method, path, status in ask_all(server, routes, headers):
        assert status == 403, (method, path)


def test_what_is_left_out_is_refused_with_the_token_too(client, routes):
    found = 0
    words = ("/assistant", "/gateway", "/webhooks", "/jobs", "/prompt-optimization")
    for method, path in routes:
        if any(word in path for word in words):
            response = client.request(method, path)
            assert response.status_code == 403, (method, path)
            if method != "HEAD":
                assert response.json()["error_code"] == "FEATURE_DISABLED"
            found += 1
    assert found > 50


@pytest.mark.parametrize(
    "path",
    [
        "//api/2.0/mlflow/webhooks",
        "/api/2.0//mlflow/webhooks",
        "/api//2.0/mlflow/webhooks/",
        "/api/2.0/mlflow/webhook%73",
        "/x/../api/2.0/mlflow/webhooks",
        "/ajax-api/3.0/mlflow/assistant%2Fconfig",
    ],
)
def test_no_other_spelling_reaches_what_is_left_out(server, path):
    assert server.raw("GET", path).status_code in (403, 404, 308)


def test_an_allowed_host_and_the_servers_own_page_come_in(server, client):
    for headers in (
        {"host": "ml.example.com"},
        {"host": "ML.example.com:8443"},
        {"host": "ml.example.com", "origin": "https://ml.example.com"},
        {"origin": server.url},
    ):
        assert client.get("/version", headers=headers).status_code == 200


def test_a_browser_logs_in_with_the_token_as_password_and_gets_the_pages(server):
    with web.client(base_url=server.url, auth=("anyone", TOKEN)) as browser:
        page = browser.get("/")
        assert page.status_code == 200
        scripts = re.findall(r'src="(static-files/[^"]+\.js)"', page.text)
        assert scripts
        for script in scripts:
            assert browser.get(f"/{script}").status_code == 200
        assert page.headers["x-frame-options"] == "SAMEORIGIN"
        assert page.headers["x-content-type-options"] == "nosniff"


def test_no_answer_lets_a_foreign_page_read_it(client):
    for headers in ({}, {"origin": "null"}):
        for path in ("/version", "/api/2.0/mlflow/experiments/search?max_results=1", "/"):
            response = client.get(path, headers=headers)
            assert response.status_code == 200
            assert "access-control-allow-origin" not in response.headers
            assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_websocket_without_a_token_is_refused(server):
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    response = web.get(f"{server.url}/ws", headers=upgrade)
    assert response.status_code == 401


def test_a_rotation_takes_effect_without_a_restart(server, client):
    try:
        write_tokens(server.tokens, TOKEN, OTHER)
        other = {"authorization": f"Bearer {OTHER}"}
        assert client.get("/version").status_code == 200
        assert client.get("/version", headers=other).status_code == 200
        write_tokens(server.tokens, OTHER)
        assert client.get("/version").status_code == 401
        assert client.get("/version", headers=other).status_code == 200
    finally:
        write_tokens(server.tokens, TOKEN)
    assert client.get("/version").status_code == 200


def test_a_token_never_reaches_the_log_argv_or_environment(server, client):
    assert client.get("/api/2.0/mlflow/experiments/search?max_results=1").status_code == 200
    client.get(f"/version?token={OTHER}", headers={"authorization": f"Bearer {OTHER}"})
    log = server.log.read_text()
    assert "/api/2.0/mlflow/experiments/search" in log
    assert TOKEN not in log
    process = Path("/proc") / str(server.process.pid)
    assert TOKEN.encode() not in (process / "cmdline").read_bytes()
    assert TOKEN.encode() not in (process / "environ").read_bytes()
