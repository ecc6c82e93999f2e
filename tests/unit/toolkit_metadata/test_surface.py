"""What is left out, what a plain path is, and bodies that are too large."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_metadata import surface
from toolkit_metadata.settings import Settings
from toolkit_metadata.surface import Surface, left_out, plain


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/3.0/mlflow/assistant",
        "/ajax-api/3.0/mlflow/assistant/message",
        "/AJAX-API/3.0/mlflow/Assistant",
        "/api/2.0/mlflow/webhooks/x/test",
        "/api/2.0//mlflow///webhooks",
        "/api/2.0/mlflow/./webhooks",
        "/x/../api/2.0/mlflow/webhooks",
        "/gateway/x/mlflow/invocations",
        "/ajax-api/2.0/mlflow/gateway-proxy",
        "/api/3.0/mlflow/gateway/secrets/list",
        "/ajax-api/3.0/jobs/x",
        "/api/3.0/mlflow/prompt-optimization/jobs",
    ],
)
def test_left_out(path):
    assert left_out(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/version",
        "/api/2.0/mlflow/runs/create",
        "/api/2.0/mlflow-artifacts/artifacts/webhooks/gateway",
        "/static-files/assistant.js",
        "/graphql",
        "/v1/traces",
        "/api",
        "/api/2.0/mlflow",
    ],
)
def test_offered(path):
    assert left_out(path) is None


@given(st.lists(st.text(st.characters(exclude_characters="/")), min_size=1).map("/".join))
def test_a_plain_path_stays_below_where_it_starts(path):
    if plain(path):
        assert not path.startswith("/")
        assert Path("/root/x", path).parts[:3] == ("/", "root", "x")
        assert ".." not in Path(path).parts
        assert path.isprintable()


@pytest.mark.parametrize(
    "path", ["", ".", "..", "a/../b", "a//b", "/a", "a/", "a\\b", "a\0", "a\nb"]
)
def test_what_is_not_plain(path):
    assert not plain(path)


@pytest.mark.parametrize("path", ["a", "a b/c.txt", "ä/日本.bin", "...", "a..b", "-", "a:b"])
def test_what_is_plain(path):
    assert plain(path)


def serve(app, chunks, path="/api/2.0/mlflow/runs/create", headers=()):
    settings = Settings(address="127.0.0.1", port=1, data=Path("/data"), tokens=Path("/t"))
    sent = []
    incoming = iter(chunks)

    async def receive():
        body = next(incoming, None)
        return {"type": "http.request", "body": body or b"", "more_body": body is not None}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
    asyncio.run(Surface(app, settings)(scope, receive, send))
    return sent


async def read_all(scope, receive, send):
    total = 0
    while True:
        message = await receive()
        total += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(total).encode()})


async def answer_errors_itself(scope, receive, send):
    """As MLflow's application does: an error on the way becomes a 500, and goes on."""
    try:
        await read_all(scope, receive, send)
    except Exception:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"boom"})
        raise


@pytest.mark.parametrize("app", [read_all, answer_errors_itself])
def test_a_body_is_passed_up_to_the_limit_and_refused_beyond(app, monkeypatch):
    monkeypatch.setattr(surface, "LARGEST_BODY", 10)
    assert serve(app, [b"12345", b"67890"])[1]["body"] == b"10"
    refused = serve(app, [b"12345", b"678901"])
    assert [message.get("status") for message in refused] == [413, None]
    assert json.loads(refused[1]["body"])["error_code"] == "REQUEST_LIMIT_EXCEEDED"


def test_a_declared_length_is_refused_before_a_byte_is_read(monkeypatch):
    monkeypatch.setattr(surface, "LARGEST_BODY", 10)

    async def never(scope, receive, send):
        raise AssertionError("the application was asked")

    sent = serve(never, [], headers=[(b"content-length", b"11")])
    assert sent[0]["status"] == 413


def test_artifacts_are_streamed_without_a_limit(monkeypatch):
    monkeypatch.setattr(surface, "LARGEST_BODY", 10)
    sent = serve(read_all, [b"x" * 100], path="/api/2.0/mlflow-artifacts/artifacts/a")
    assert sent[1]["body"] == b"100"


def test_a_failing_application_is_not_hidden():
    async def broken(scope, receive, send):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        serve(broken, [])
