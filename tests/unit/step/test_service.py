"""The launcher's client: when it gives up, and whom it shows its token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from toolkit_launcher import service as client
from toolkit_launcher.service import Service, TransferError, digests
from toolkit_objects import store as objects


class Store:
    """An HTTP server that says what it is told to and notes what it was asked.

    Attributes:
        refusals: what it answers first, instead.
    """

    def __init__(self) -> None:
        self.status = 200
        self.content = b"{}"
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.sent: list[bytes] = []
        self.refusals: list[tuple[int, bytes]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.seen.append((self.path, dict(self.headers)))
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                store.sent.append(sent)
                content, status = store.content, store.status
                if store.refusals:
                    status, content = store.refusals.pop(0)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

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
    place = {"path": "x", "url": f"{other.url}/b/x?sig=2", "headers": {"Content-MD5": "abc"}}
    service.upload(place, 0, str(tmp_path / "x"), digests(str(tmp_path / "x")))
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
    place = {"path": "x", "url": "content?path=x", "headers": {}}
    entry = digests(str(source))
    source.write_bytes(b"54321")
    with pytest.raises(TransferError, match="changed while it was sent"):
        Service(own.url, "secret", patience=5).upload(place, 0, str(source), entry)


def failure(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (400, "ExpiredToken"), (401, "Unauthorized")]
)
def test_a_link_that_has_ended_is_asked_for_once(
    own: Store, other: Store, tmp_path: Path, status: int, code: str
) -> None:
    service = Service(f"{own.url}/steps/v1", "secret", patience=20)
    own.content = json.dumps({"url": f"{other.url}/b/x?sig=2"}).encode()
    other.content = b"12345"
    other.refusals = [(status, failure(code))]
    entry = {"path": "a/x y", "url": f"{other.url}/b/x?sig=1", "size": 5, "sha256": None}
    service.download(dict(entry), str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"12345"
    assert [path for path, _ in own.seen] == ["/steps/v1/inputs?path=a/x%20y"]
    assert [path for path, _ in other.seen] == ["/b/x?sig=1", "/b/x?sig=2"]
    # The new one is refused as well: it is not the time.
    other.refusals = [(status, failure(code))] * 2
    with pytest.raises(TransferError, match=f"a/x y: GET .*/b/x: {status}: {code}: m") as raised:
        service.download(dict(entry), str(tmp_path / "y"))
    assert "sig" not in str(raised.value)


def test_the_parts_of_a_file_go_each_by_its_own_link(
    own: Store, other: Store, tmp_path: Path
) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"0123456789ab")
    found = digests(str(source), 5)
    assert (found.size, found.md5, len(found.parts)) == (12, "", 3)
    parts = [
        {"url": f"{other.url}/{n}", "headers": {"Content-MD5": md5}, "start": 5 * n, "size": size}
        for n, (md5, size) in enumerate(zip(found.parts, (5, 5, 2), strict=True))
    ]
    service = Service(f"{own.url}/steps/v1", "secret", patience=20)
    own.content = json.dumps({"path": "x", "parts": parts}).encode()
    stale = [{**part, "url": f"{other.url}/old"} for part in parts]
    place: dict[str, Any] = {"path": "x", "parts": stale}
    other.refusals = [
        (403, failure("AccessDenied")),
        (503, failure("SlowDown")),
        (400, failure("BadDigest")),
        (400, failure("RequestTimeout")),
    ]
    for number in range(3):
        service.upload(place, number, str(source), found)
    assert [path for path, _ in own.seen] == ["/steps/v1/outputs?path=x"]
    assert [path for path, _ in other.seen] == ["/old", "/0", "/0", "/0", "/0", "/1", "/2"]
    assert other.sent[-3:] == [b"01234", b"56789", b"ab"]
    assert other.seen[-1][1]["Content-MD5"] == found.parts[2]


def test_a_part_that_shrinks_while_it_is_sent(own: Store, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"12345")
    found = digests(str(source))
    source.write_bytes(b"123")
    place = {"path": "x", "url": "content?path=x", "headers": {}}
    with pytest.raises(TransferError, match="x: it was changed while it was sent"):
        Service(own.url, "secret", patience=5).upload(place, 0, str(source), found)


def test_a_download_that_is_damaged_is_got_again(own: Store, tmp_path: Path) -> None:
    own.content = b"12345"
    own.refusals = [(200, b"54321")]
    digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"  # of 12345
    entry = {"path": "x", "url": "content?path=x", "size": 5, "sha256": digest}
    Service(own.url, "secret", patience=5).download(entry, str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"12345"
    assert len(own.seen) == 2


@pytest.mark.parametrize("size", [0, 5, 6, 40, 41, 80, 81])
def test_both_sides_cut_a_file_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    assert client._MAX_PARTS == objects.MAX_PARTS
    for module in (client, objects):
        monkeypatch.setattr(module, "_MAX_PARTS" if module is client else "MAX_PARTS", 8)
    monkeypatch.setattr(objects, "PART", 5)
    source = tmp_path / "x"
    source.write_bytes(b"x" * size)
    length = objects.part_size(size)
    wanted = -(-size // length) if length else 0
    assert len(digests(str(source), 5).parts) == wanted
