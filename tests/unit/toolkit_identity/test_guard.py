"""The guard as an ASGI application sees and is seen."""

import asyncio
import base64
import json
import os

import pytest

from toolkit_identity import CALLER, Guard, HostPatternError, TokenFile

TOKEN = "correct-horse-battery"
GOOD = [("host", "ml.example.com:5000"), ("authorization", f"Bearer {TOKEN}")]


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Behind:
    """An application that notes what reaches it."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"X-Frame-Options", b"DENY")],
                }
            )
            await send({"type": "http.response.body", "body": b"secret"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"one:{TOKEN}\n")
    return TokenFile(path)


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def guard(behind, tokens):
    return Guard(
        behind,
        tokens=tokens,
        allowed_hosts=["ml.example.com"],
        open_paths=["/health"],
        allowed_origins=["https://friend.example.com"],
        realm='meta"data',
    )


def call(app, headers, *, method="GET", path="/", kind="http", extensions=None):
    """Send one connection through; give the messages that came back."""
    sent = []

    async def receive():
        return {
            "type": "websocket.connect" if kind == "websocket" else "http.request",
            "body": b"",
        }

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "path": path,
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        "extensions": extensions or {},
    }
    if kind == "http":
        scope["method"] = method
    asyncio.run(app(scope, receive, send))
    return sent


def refusal(sent):
    assert sent[0]["type"].endswith("http.response.start"), sent
    assert (b"content-type", b"application/json") in sent[0]["headers"]
    return sent[0]["status"], json.loads(sent[1]["body"])["error_code"]


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic("", TOKEN), basic("anyone", TOKEN)],
)
def test_a_token_comes_in_and_is_not_passed_on(guard, behind, authorization):
    sent = call(
        guard, [("host", "ml.example.com"), ("Authorization", authorization), ("x-a", "b")]
    )
    assert sent[0]["status"] == 200
    (scope,) = behind.scopes
    assert scope["headers"] == [(b"host", b"ml.example.com"), (b"x-a", b"b")]
    assert scope[CALLER] == "one"


def test_what_needs_no_token_has_no_caller(guard, behind):
    call(guard, [("host", "ml.example.com")], path="/health")
    (scope,) = behind.scopes
    assert scope[CALLER] is None


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "UNAUTHENTICATED"),
        ("", "INVALID_TOKEN"),
        ("Bearer", "INVALID_TOKEN"),
        ("Bearer nothing", "INVALID_TOKEN"),
        (f"Bearer {TOKEN}x", "INVALID_TOKEN"),
        (f"Bearer {TOKEN} {TOKEN}", "INVALID_TOKEN"),
        (TOKEN, "INVALID_TOKEN"),
        (f"Token {TOKEN}", "INVALID_TOKEN"),
        (basic(TOKEN, ""), "INVALID_TOKEN"),
        (basic("one", "wrong"), "INVALID_TOKEN"),
        ("Basic !!!", "INVALID_TOKEN"),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), "INVALID_TOKEN"),
        ("Basic " + base64.b64encode(TOKEN.encode()).decode(), "INVALID_TOKEN"),
        ("Bearer \xff\xfe", "INVALID_TOKEN"),
    ],
)
def test_no_or_a_wrong_token_is_a_401_with_challenges(guard, behind, authorization, code):
    headers = [("host", "ml.example.com")]
    if authorization is not None:
        headers.append(("authorization", authorization))
    sent = call(guard, headers)
    assert refusal(sent) == (401, code)
    challenges = [value for name, value in sent[0]["headers"] if name == b"www-authenticate"]
    assert challenges == [b'Basic realm="metadata", charset="UTF-8"', b'Bearer realm="metadata"']
    assert not behind.scopes


def test_two_authorization_headers_are_refused(guard):
    assert refusal(call(guard, [*GOOD, ("authorization", f"Bearer {TOKEN}")])) == (
        401,
        "INVALID_TOKEN",
    )


@pytest.mark.parametrize(
    "host", [None, "evil.com", "ml.example.com.evil.com", "", "ml.example.com@evil"]
)
def test_a_foreign_host_is_refused_even_with_the_token_and_on_open_paths(guard, behind, host):
    headers = [("authorization", f"Bearer {TOKEN}")] + (
        [("host", host)] if host is not None else []
    )
    for path in ("/", "/health"):
        assert refusal(call(guard, headers, path=path)) == (403, "HOST_NOT_ALLOWED")
    assert not behind.scopes


def test_two_hosts_are_refused(guard):
    assert refusal(call(guard, [*GOOD, ("host", "ml.example.com")]))[0] == 403


@pytest.mark.parametrize(
    ("origin", "method", "let_in"),
    [
        ("http://ml.example.com:5000", "POST", True),
        ("https://friend.example.com", "POST", True),
        ("HTTPS://Friend.example.com", "GET", True),
        ("null", "GET", True),
        ("null", "POST", False),
        ("null", "DELETE", False),
        ("http://ml.example.com:5001", "POST", False),
        ("https://evil.com", "POST", False),
        ("https://evil.com", "GET", False),
        ("https://friend.example.com:444", "GET", False),
        ("", "GET", False),
    ],
)
def test_origins(guard, origin, method, let_in):
    sent = call(guard, [*GOOD, ("origin", origin)], method=method)
    if let_in:
        assert sent[0]["status"] == 200
    else:
        assert refusal(sent) == (403, "ORIGIN_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("site", "let_in"),
    [("cross-site", False), ("same-site", False), ("none", True), ("same-origin", True)],
)
def test_a_browser_that_sends_no_origin_is_judged_by_its_fetch_metadata(guard, site, let_in):
    sent = call(guard, [*GOOD, ("sec-fetch-site", site)], method="POST")
    assert (sent[0]["status"] == 200) is let_in
    assert call(guard, [*GOOD, ("sec-fetch-site", site)])[0]["status"] == 200


@pytest.mark.parametrize(
    ("path", "method", "let_in"),
    [
        ("/health", "GET", True),
        ("/health", "HEAD", True),
        ("/health", "POST", False),
        ("/health/", "GET", False),
        ("/health/../x", "GET", False),
        ("//health", "GET", False),
        ("/x/health", "GET", False),
    ],
)
def test_open_paths_are_exact_and_for_reading_only(guard, path, method, let_in):
    sent = call(guard, [("host", "ml.example.com")], path=path, method=method)
    assert (sent[0]["status"] == 200) is let_in


def test_a_websocket_is_judged_the_same_way(guard, behind):
    assert call(guard, GOOD, kind="websocket")[0]["type"] == "websocket.accept"
    denial = {"websocket.http.response": {}}
    for headers, status in [
        (GOOD[:1], 401),
        ([*GOOD, ("origin", "null")], 403),
        ([*GOOD, ("origin", "https://evil.com")], 403),
        ([("host", "evil.com"), GOOD[1]], 403),
    ]:
        sent = call(guard, headers, kind="websocket", extensions=denial)
        assert sent[0]["type"] == "websocket.http.response.start"
        assert refusal(sent)[0] == status
        assert call(guard, headers, kind="websocket")[0]["type"] == "websocket.close"
    assert len(behind.scopes) == 1
    # A websocket to an open path is no health check.
    sent = call(guard, GOOD[:1], kind="websocket", path="/health", extensions=denial)
    assert refusal(sent)[0] == 401


def test_the_lifespan_passes_through(guard, behind):
    call(guard, [], kind="lifespan")
    assert behind.scopes[0]["type"] == "lifespan"


@pytest.mark.parametrize("headers", [GOOD, GOOD[:1], []])
def test_security_headers_are_on_every_answer_and_the_applications_own_win(guard, headers):
    sent = call(guard, headers)
    names = [name.lower() for name, _ in sent[0]["headers"]]
    assert names.count(b"x-frame-options") == 1
    assert {b"x-content-type-options", b"referrer-policy", b"cross-origin-resource-policy"} <= set(
        names
    )
    if headers is GOOD:
        assert (b"X-Frame-Options", b"DENY") in sent[0]["headers"]


def test_an_unusable_token_file_lets_nobody_in_and_says_so_without_detail(
    guard, behind, tokens, caplog
):
    tokens.path.unlink()
    sent = call(guard, GOOD)
    assert refusal(sent) == (503, "TOKENS_UNAVAILABLE")
    assert str(tokens.path) not in sent[1]["body"].decode()
    assert str(tokens.path) in caplog.text
    assert call(guard, GOOD[:1], path="/health")[0]["status"] == 200


def test_a_rotated_token_is_refused_on_the_next_request(guard, tokens):
    assert call(guard, GOOD)[0]["status"] == 200
    fresh = tokens.path.with_name("fresh")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write("two:another-good-secret\n")
    fresh.replace(tokens.path)
    assert refusal(call(guard, GOOD)) == (401, "INVALID_TOKEN")


def test_a_hostile_header_is_quoted_and_cut_in_the_answer(guard):
    sent = call(guard, [("host", "\x1b[31m" + "x" * 5000)])
    message = json.loads(sent[1]["body"])["message"]
    assert "\x1b" not in message
    assert len(message) < 400


@pytest.mark.parametrize("origin", ["", "a", "null", "ftp://a", "https://a/b"])
def test_a_malformed_allowed_origin_is_refused_at_once(behind, tokens, origin):
    with pytest.raises(HostPatternError, match="is not an origin"):
        Guard(behind, tokens=tokens, allowed_hosts=[], allowed_origins=[origin])
