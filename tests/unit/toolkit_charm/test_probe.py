"""Bounded requests to a workload."""

import http.server
import socket
import threading

import pytest

from toolkit_charm import probe


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("authorization")))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 200)
        self.end_headers()
        self.wfile.write(b"x" * 10_000)

    def do_POST(self):
        length = int(self.headers["content-length"])
        sent = self.rfile.read(length)
        self.server.asked.append((self.path, self.headers["content-type"], sent))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.codes = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def url(server, path="/ready"):
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_the_status_and_the_start_of_the_body(server):
    code, body = probe.get(url(server), token="t")
    assert code == 200
    assert 0 < len(body) < 10_000
    assert server.asked == [("/ready", "Bearer t")]


def test_no_answer_is_none(server):
    gone = url(server)
    server.shutdown()
    server.server_close()
    assert probe.get(gone) is None


def test_a_proxy_in_the_environment_is_not_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert probe.get(url(server))[0] == 200


def test_wait_goes_on_until_the_answer_is_200(server):
    server.codes = [503, 503]
    assert probe.wait(url(server), seconds=30, hopeless=lambda: False, interval=0.001)
    assert len(server.asked) == 3


def test_wait_gives_up_when_the_time_is_over_or_it_is_hopeless(server):
    server.codes = [503] * 10
    assert not probe.wait(url(server), seconds=0, hopeless=lambda: False)
    assert len(server.asked) == 1
    assert not probe.wait(url(server), seconds=30, hopeless=lambda: True)
    assert len(server.asked) == 2


def test_what_is_asked_and_all_of_the_answer(server):
    assert probe.ask("GET", url(server, "/a?b=c%20d"), token="t") == (200, "x" * 10_000)
    assert server.asked == [("/a?b=c%20d", "Bearer t")]


def test_a_body_is_json(server):
    assert probe.ask("POST", url(server), body={"a": [1]})[0] == 200
    assert server.asked == [("/ready", "application/json", b'{"a": [1]}')]


def test_nobody_to_ask():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        probe.ask("GET", f"http://127.0.0.1:{port}")
