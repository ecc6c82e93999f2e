"""The launcher's client: when it gives up, and whom it shows its token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from toolkit_launcher.service import Service, TransferError


class Store:
    """An HTTP server that says what it is told to and notes what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.content = b"{}"
        self.seen: list[tuple[str, dict[str, str]]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.seen.append((self.path, dict(self.headers)))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(store.status)
                self.send_header("Content-Length", str(len(store.content)))
                self.end_headers()
                self.wfile.write(store.content)

            do_PUT = do_GET  # noqa: N815 - likewise

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def own() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def other() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


def test_the_token_is_shown_to_the_service_alone(own: Store, other: Store, tmp_path: Path) -> None:
    service = Service(f"{own.url}/steps/v1", "secret")
    service.call("GET", "inputs")
    assert own.seen[0][0] == "/steps/v1/inputs"
    assert own.seen[0][1]["Authorization"] == "Bearer secret"
    other.content = b"12345"
    service.download(
        {"path": "x", "url": f"{other.url}/b/x?sig=1", "size": 5, "sha256": None},
        str(tmp_path / "x"),
    )
    place = {"url": f"{other.url}/b/x?sig=2", "headers": {"Content-MD5": "abc"}}
    service.upload(place, str(tmp_path / "x"), {"path": "x", "size": 5, "sha256": ""})
    assert [path for path, _ in other.seen] == ["/b/x?sig=1", "/b/x?sig=2"]
    assert all("Authorization" not in headers for _, headers in other.seen)
    assert other.seen[1][1]["Content-MD5"] == "abc"


def test_what_lasts_is_given_up(own: Store) -> None:
    own.status = 503
    with pytest.raises(TransferError, match=r"given up after 0 s: .*503"):
        Service(own.url, "secret", patience=0.3).call("GET", "inputs")
    assert len(own.seen) > 1


def test_nobody_there_is_given_up() -> None:
    with pytest.raises(TransferError, match="given up"):
        Service("http://127.0.0.1:1", "secret", patience=0.1).call("GET", "inputs")


@pytest.mark.parametrize("url", ["ftp://h/x", "file:///etc/passwd"])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    entry = {"path": "x", "url": url, "size": 1, "sha256": None}
    with pytest.raises(TransferError, match="no address of HTTP"):
        Service("http://127.0.0.1:1", "secret", patience=5).download(entry, str(tmp_path / "x"))


@pytest.mark.parametrize("content", [b"123456", b"54321"])
def test_a_download_that_is_not_what_was_named(own: Store, tmp_path: Path, content: bytes) -> None:
    own.content = content
    digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"  # of 12345
    entry = {"path": "x", "url": "content?path=x", "size": 5, "sha256": digest}
    with pytest.raises(TransferError, match="SHA-256"):
        Service(own.url, "secret", patience=5).download(entry, str(tmp_path / "x"))
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_go_on_is_not_trusted(own: Store, tmp_path: Path) -> None:
    own.content = b"123"
    entry = {"path": "x", "url": "x", "size": 5, "sha256": None}
    # It sent too little, and then everything anew in place of the rest.
    with pytest.raises(TransferError, match="does not go on where it was cut"):
        Service(own.url, "secret", patience=5).download(entry, str(tmp_path / "x"))


def test_a_file_that_changes_while_it_is_sent(own: Store, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"12345")
    own.status = 422
    place = {"url": "content?path=x", "headers": {}}
    with pytest.raises(TransferError, match="changed while it was sent"):
        Service(own.url, "secret", patience=5).upload(
            place, str(source), {"path": "x", "size": 5, "sha256": "0" * 64}
        )
