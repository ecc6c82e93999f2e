"""Kubeconfigs made whole, given to the controller, and what is left in their clusters."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from toolkit_cli import elsewhere, tokens
from toolkit_cli.errors import ToolkitError


def write(folder, user, cluster=None, name="config"):
    other = {"name": "other", "context": {"cluster": "x", "user": "y"}}
    data = {
        "current-context": "c",
        "contexts": [
            other,
            {"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}},
        ],
        "clusters": [
            {"name": "k", "cluster": {"server": "https://10.0.0.9:6443", **(cluster or {})}}
        ],
        "users": [{"name": "y", "user": {"token": "foreign"}}, {"name": "u", "user": user}],
    }
    path = folder / name
    path.write_text(yaml.safe_dump(data))
    return path


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def test_files_go_in_and_other_contexts_stay_out(tmp_path):
    for name in ("ca.crt", "token", "crt", "key"):
        (tmp_path / name).write_text(f"{name}\n")
    path = write(tmp_path, {"tokenFile": "token"}, {"certificate-authority": "ca.crt"})
    found = yaml.safe_load(elsewhere.flatten(path))
    assert found["users"] == [{"name": "u", "user": {"token": "token"}}]
    assert found["clusters"][0]["cluster"]["certificate-authority-data"] == encoded("ca.crt\n")
    assert "foreign" not in yaml.safe_dump(found)
    path = write(tmp_path, {"client-certificate": "crt", "client-key": str(tmp_path / "key")})
    (entry,) = yaml.safe_load(elsewhere.flatten(path))["users"]
    assert entry["user"] == {
        "client-certificate-data": encoded("crt\n"),
        "client-key-data": encoded("key\n"),
    }


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": {"command": "x"}}, "plugins are not run"),
        ({"tokenFile": "none"}, "No such file"),
        ({}, "neither a token nor"),
    ],
)
def test_credentials_that_are_not_there(tmp_path, user, message):
    with pytest.raises(ToolkitError, match=message):
        elsewhere.flatten(write(tmp_path, user))


@pytest.mark.parametrize("text", ["", "- a", "a: [", "current-context: c"])
def test_no_kubeconfig(tmp_path, text):
    (tmp_path / "config").write_text(text)
    with pytest.raises(ToolkitError, match="not a usable kubeconfig"):
        elsewhere.flatten(tmp_path / "config")


class FakeJuju:
    def __init__(self):
        self.known = {}
        self.calls = []

    def call(self, method, **params):
        self.calls.append((method, params))
        return {"secrets": self.known, "add_secret": "secret:abc"}.get(method)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def test_the_application_is_given_it(home):
    juju = FakeJuju()
    content = elsewhere.flatten(write(home, {"token": "t"}))
    assert elsewhere.give(juju, "m", content, "http://a:1") == "n"
    assert [name for name, _ in juju.calls] == [
        "secrets", "add_secret", "grant_secret", "config_set",
    ]  # fmt: skip
    assert juju.calls[-1][1]["settings"] == {
        "artifact-transfer": "endpoint",
        "artifact-address": "http://a:1",
        "kubeconfig": "secret:abc",
    }
    assert tokens.path("m", "kubeconfig").stat().st_mode & 0o777 == 0o600
    juju.known = {"xyz": {"name": "kubeconfig"}}
    elsewhere.give(juju, "m", content, "")
    assert "update_secret" in [name for name, _ in juju.calls]
    assert juju.calls[-1][1]["settings"]["kubeconfig"] == "secret:xyz"


def test_what_is_left_is_deleted_and_nothing_else(home):
    deleted = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self):
            mine = "pipelines%3Dpipelines" in self.path and "/secrets" in self.path
            items = [{"metadata": {"name": "one"}}, {"metadata": {"name": "two"}}] if mine else []
            self.answer(404 if "/jobs" in self.path else 200, {"items": items})

        def do_DELETE(self):
            deleted.append(self.path.partition("?")[0])
            self.answer(404 if self.path.partition("?")[0].endswith("two") else 200, {})

        def answer(self, status, body):
            content = json.dumps(body).encode()
            assert self.headers["Authorization"] == "Bearer t"
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        tokens.write("m", "pipelines", "a token")
        content = elsewhere.flatten(write(home, {"token": "t"}, {"server": url}))
        tokens.write("m", "kubeconfig", content)
        assert list(elsewhere.forget()) == [(url, "1 objects deleted")]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert deleted == [f"/api/v1/namespaces/n/secrets/{name}" for name in ("one", "two")]


def test_a_cluster_that_is_away_is_told(home):
    content = elsewhere.flatten(write(home, {"token": "t"}, {"server": "http://127.0.0.1:1"}))
    tokens.write("m", "kubeconfig", content)
    ((_, outcome),) = elsewhere.forget()
    assert "not cleaned up" in outcome
