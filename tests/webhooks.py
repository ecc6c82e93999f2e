"""A receiver of webhooks: a real HTTP server of a test's own."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """What the receiver was sent, and its answer; the names of headers are in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it is sent, and answers with the statuses of a test, then with `status`.

    Attributes:
        got: what it was sent, in order.
        statuses: the next answers.
        status: the answer after those.
        release: while it is not set nothing is answered.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[Call] = []
        self.statuses: list[int] = []
        self.status = 204
        self.release = threading.Event()
        self.release.set()

    @property
    def url(self) -> str:
        """An address with all the parts that must not be shown."""
        return f"http://user:sesame@127.0.0.1:{self.server_port}/secret-path?key=hidden"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.statuses.pop(0) if self.server.statuses else self.server.status
        self.server.got.append(Call(self.path, headers, body, status))
        self.server.release.wait(60)
        with contextlib.suppress(OSError):
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/other")
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that serves until the block ends."""
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.release.set()
            made.shutdown()
            thread.join()
