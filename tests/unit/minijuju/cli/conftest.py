"""A controller that speaks the protocol and knows just enough to answer the command line."""

import contextlib
import io
import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from minijuju import sockets
from minijuju.cli.main import main
from minijuju.rpc_names import GREETING


@dataclass
class FakeController:
    """Answers with what `answers` holds by method: a value, or a function of the parameters.

    A list under `items` or `progress` is sent before the result.
    """

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    items: dict[str, list[Any]] = field(default_factory=dict)
    progress: dict[str, list[str]] = field(default_factory=dict)

    def replies(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        method, params = request["method"], request["params"]
        self.calls.append((method, params))
        for text in self.progress.get(method, []):
            yield {"progress": text}
        for item in self.items.get(method, []):
            yield {"item": item}
        if method not in self.answers:
            yield {"error": {"code": "bad-request", "message": f"no method {method}"}}
            return
        answer = self.answers[method]
        if callable(answer):
            answer = answer(params)
        yield answer if isinstance(answer, dict) and "error" in answer else {"result": answer}

    def params(self, method: str) -> dict[str, Any]:
        """The parameters of the last call of the method."""
        return next(params for name, params in reversed(self.calls) if name == method)

    def methods(self) -> list[str]:
        return [name for name, _ in self.calls]


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("MINIJUJU_DATA", str(folder))
    monkeypatch.delenv("JUJU_MODEL", raising=False)
    return folder


@pytest.fixture
def fake(data: Path) -> Iterator[FakeController]:
    controller = FakeController()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(GREETING)
            for line in self.rfile:
                for reply in controller.replies(json.loads(line)):
                    self.wfile.write((json.dumps(reply) + "\n").encode())

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        request_queue_size = 32

        def server_bind(self) -> None:
            self.socket.close()
            self.socket = sockets.listen(data / "controller.socket")

        def server_activate(self) -> None:
            pass  # sockets.listen has done so

    server = Server("", Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield controller
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command line in this process."""

    def call(*argv: str, program: str = "minijuju", stdin: str = "") -> Result:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", [program])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(argv))
        return Result(code, out.getvalue(), err.getvalue())

    return call


def status_document(**applications: Any) -> dict[str, Any]:
    return {
        "model": {
            "name": "m",
            "type": "caas",
            "controller": "minijuju",
            "cloud": "localhost",
            "version": "3.6.12",
            "model-status": {"current": "available", "since": "2026-01-01T00:00:00Z"},
        },
        "machines": {},
        "applications": applications,
        "storage": {},
        "controller": {"timestamp": "12:00:00Z"},
    }


def application(
    name: str, *, status: str = "active", units: int = 1, message: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "charm": f"local:{name}-0",
        "charm-origin": "local",
        "charm-name": name,
        "charm-rev": 0,
        "exposed": False,
        "scale": units,
        "address": "127.0.0.9",
        "base": {"name": "ubuntu", "channel": "24.04"},
        "application-status": {"current": status, "message": message, "since": ""},
        "relations": {},
        "units": {
            f"{name}/{number}": {
                "workload-status": {"current": status, "message": message},
                "juju-status": {"current": "idle", "version": "3.6.12"},
                "leader": number == 0,
                "address": f"127.0.1.{number}",
                "open-ports": ["80/tcp", "443/tcp", "53/udp"],
                "provider-id": f"{name}-{number}",
            }
            for number in range(units)
        },
        **more,
    }


@pytest.fixture
def documents_of():
    """Makers of status documents: `status(**applications)` and `application(name, ...)`."""

    class Makers:
        status = staticmethod(status_document)
        application = staticmethod(application)

    return Makers


CHARM = """
name: demo
base: ubuntu@24.04
platforms: {amd64: }
containers: {server: {resource: image, mounts: [{storage: data, location: /data}]}}
resources:
  image: {type: oci-image}
  licence: {type: file, filename: licence.txt}
storage:
  data: {type: filesystem}
  logs: {type: filesystem, multiple: {range: 1-3}}
provides: {web: {interface: http}}
requires: {db: {interface: pgsql}, up: {interface: http}}
config:
  options:
    level: {type: string, default: info}
    workers: {type: int, default: 1}
    ratio: {type: float}
    open: {type: boolean}
"""


@pytest.fixture
def charm(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "charmcraft.yaml").write_text(CHARM)
    return folder
