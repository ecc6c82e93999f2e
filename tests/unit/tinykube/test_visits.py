"""Who may begin a conversation; the conversations themselves are in tests/functional."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def begin(app, admin):
    """Ask for a WebSocket; what the server says first."""

    async def ask(path: str, *headers: tuple[str, str], host: str = "127.0.0.1:1", token=admin):
        path, _, query = path.partition("?")
        given = [("host", host), *headers]
        if token:
            given.append(("authorization", f"Bearer {token}"))
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "scheme": "wss",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given],
            "subprotocols": ["v4.channel.k8s.io"],
            "extensions": {"websocket.http.response": {}},
        }
        said = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            said.append(message)

        await app(scope, receive, send)
        if said[0]["type"] != "websocket.http.response.start":
            return said[0]["type"], {}
        return said[0]["status"], json.loads(said[1]["body"])

    return ask


PATH = "/api/v1/namespaces/default/pods/one/exec?command=true&stdout=true"


async def test_without_a_token(begin):
    assert (await begin(PATH, token=""))[0] == 401


@pytest.mark.parametrize(
    ("origin", "host", "code"),
    [
        ("https://127.0.0.1:1", "127.0.0.1:1", 404),
        ("https://[::1]:1", "[::1]:1", 404),
        ("https://example.com", "127.0.0.1:1", 403),
        ("http://127.0.0.1:1", "127.0.0.1:1", 403),
        # A name that was made to lead here.
        ("https://example.com:1", "example.com:1", 403),
        ("null", "127.0.0.1:1", 403),
    ],
)
async def test_pages_of_other_sites(begin, origin, host, code):
    assert (await begin(PATH, ("origin", origin), host=host))[0] == code


async def test_an_origin_is_refused_outside_of_websockets(http):
    answer = await http.get("/api/v1/namespaces", headers={"Origin": "https://kube"})

    assert answer.status_code == 403


@pytest.mark.parametrize("action", ["exec", "attach", "portforward"])
async def test_rights_are_needed(begin, account, action):
    path = f"/api/v1/namespaces/default/pods/one/{action}?command=true&stdout=true"
    reader = account("reader", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}])
    rule = {"apiGroups": [""], "resources": [f"pods/{action}"], "verbs": ["create"]}
    writer = account("writer", [rule])

    code, body = await begin(path, token=reader)
    assert (code, body["reason"]) == (403, "Forbidden")
    assert f'cannot create resource "pods/{action}"' in body["message"]
    assert (await begin(path, token=writer))[0] == 404


async def test_no_other_conversations(begin):
    assert (await begin("/api/v1/namespaces/default/pods/one/log"))[0] == 404
    assert (await begin("/api/v1/namespaces"))[0] == "websocket.close"


async def test_a_pod_without_a_node(begin, create, pod):
    from tinykube import kinds

    create(kinds.PODS, pod())

    assert (await begin(PATH))[0] == 400
