"""The service's side of an object store, against a real one: what it does, and what it says."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from toolkit_objects import Listing, Location, ObjectStore, ObjectStoreError, Writing
from toolkit_objects import store as objects

from ...unit.step.endpoint import Wire
from .. import web
from ..objectstore import StoreServer

SIZE = 3 * 1024 * 1024
BIG = bytes(range(256)) * (SIZE // 256)
PIECE = 5 * 1024 * 1024  # the least that S3 takes as a part that is not the last


def open_store(server: StoreServer, bucket: str, url: str = "", **options: Any) -> ObjectStore:
    location = Location(bucket, "a/prefix", url or server.url, path_style=True)
    return ObjectStore(location, options.pop("keys", server.keys), **options)


@pytest.fixture(scope="module")
def bucket(object_store: StoreServer) -> str:
    return object_store.bucket("objects")


@pytest.fixture
def wire(object_store: StoreServer) -> Iterator[Wire]:
    with Wire(object_store.port) as made:
        yield made


def address(wire: Wire) -> str:
    return wire.url.removesuffix("/steps/v1")


def put(url: str, content: bytes, headers: dict[str, str]) -> httpx2.Response:
    return web.put(url, content=content, headers=headers)


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def keep(store: ObjectStore, below: str, content: bytes) -> None:
    url, headers = store.writing(below, md5(content), sha256(content))
    assert put(url, content, headers).status_code == 200


def test_a_store_that_can_be_used(object_store: StoreServer, bucket: str) -> None:
    open_store(object_store, bucket).check()
    open_store(
        object_store, bucket, object_store.secure_url, certificates=object_store.authority
    ).check()
    assert object_store.contents(bucket) == {}
    assert object_store.uploads(bucket) == []


@pytest.mark.parametrize(
    ("bucket_name", "options", "message", "transient"),
    [
        ("no-such-bucket", {}, "NoSuchBucket", False),
        ("objects", {"keys": {"access-key": "nobody", "secret-key": "s" * 16}}, "Access", False),
        ("objects", {"keys": "wrong"}, "SignatureDoesNotMatch", False),
        ("objects", {"keys": "reader"}, "AccessDenied", False),
        ("objects", {"url": "http://127.0.0.1:1"}, "Could not connect", True),
        ("objects", {"url": "secure"}, "not trusted", False),
    ],
)
def test_a_store_that_cannot_be_used_says_why(
    object_store: StoreServer,
    bucket: str,
    bucket_name: str,
    options: dict[str, Any],
    message: str,
    transient: bool,
) -> None:
    given = dict(options)
    match options.get("keys"):
        case "wrong":
            given["keys"] = {**object_store.keys, "secret-key": "another-secret"}
        case "reader":
            given["keys"] = object_store.reader
    if options.get("url") == "secure":
        given["url"] = object_store.secure_url
    store = open_store(object_store, bucket_name, **given)
    with pytest.raises(ObjectStoreError, match=message) as raised:
        store.check()
    assert raised.value.transient is transient
    assert store.uri in str(raised.value)
    for secret in (object_store.keys, object_store.reader):
        assert secret["secret-key"] not in str(raised.value)


def test_a_link_takes_one_content_for_a_while(object_store: StoreServer, bucket: str) -> None:
    store = open_store(object_store, bucket)
    below = "run/task/salt/a folder/é+x.bin"
    url, headers = store.writing(below, md5(b"content"), sha256(b"content"))
    assert put(url, b"CONTENT", headers).status_code == 400
    other = {"Content-MD5": md5(b"CONTENT"), "x-amz-checksum-sha256": sha256(b"CONTENT")}
    assert put(url, b"CONTENT", other).status_code == 403
    assert store.sizes("run") == {}
    assert put(url, b"content", headers).status_code == 200
    assert put(store.reading(below), b"CONTENT", headers).status_code == 403
    assert store.sizes("run/task") == {below: 7}
    assert store.sizes("run/tas") == {}
    link = store.reading(below)
    assert web.get(link).content == b"content"
    assert object_store.keys["secret-key"] not in url + link
    brief = open_store(object_store, bucket, lifetime=1)
    link = brief.reading(below)
    url, headers = brief.writing(below, md5(b"content"), sha256(b"content"))
    time.sleep(3)
    for late in (web.get(link), put(url, b"content", headers)):
        assert late.status_code == 403
    store.remove("run")


@pytest.mark.parametrize("cut", [10, 300_000, 2_500_000])
def test_a_reading_that_is_cut_goes_on(
    object_store: StoreServer, bucket: str, wire: Wire, cut: int
) -> None:
    keep(open_store(object_store, bucket), "run/read", BIG)
    store = open_store(object_store, bucket, address(wire))
    wire.breaks = [(cut, False)] * 3
    assert b"".join(store.read("run/read", SIZE)) == BIG
    assert len(wire.breaks) < 3


def test_a_reading_that_never_ends_well_is_given_up(
    object_store: StoreServer, bucket: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PAUSE", 0.01)
    keep(open_store(object_store, bucket), "run/read", BIG)
    store = open_store(object_store, bucket, address(wire))
    wire.breaks = [(10, False)] * 100
    with pytest.raises(ObjectStoreError) as raised:
        list(store.read("run/read", SIZE))
    assert raised.value.transient
    for size, message in ((SIZE - 1, "has more than"), (SIZE + 1, "InvalidRange")):
        with pytest.raises(ObjectStoreError, match=message) as raised:
            list(open_store(object_store, bucket).read("run/read", size))
        assert not raised.value.transient
    with pytest.raises(ObjectStoreError, match="NoSuchKey"):
        list(open_store(object_store, bucket).read("run/none", 1))


def test_an_object_is_made_of_its_parts(object_store: StoreServer, bucket: str) -> None:
    store = open_store(object_store, bucket)
    parts = [bytes([1]) * PIECE, bytes([2]) * PIECE, b"end"]
    upload = store.begin("run/big")
    sizes = [len(part) for part in parts]
    for number, part in reversed(list(enumerate(parts, 1))):
        url, headers = store.writing_part("run/big", upload, number, md5(part))
        assert put(url, part[:-1] + b"x", headers).status_code == 400
        if number == 1:
            with pytest.raises(ObjectStoreError, match="have not come") as raised:
                store.finish("run/big", upload, sizes)
            assert not raised.value.transient
        assert put(url, part, headers).status_code == 200
    assert store.sizes("run").get("run/big") is None
    store.finish("run/big", upload, sizes)
    assert store.sizes("run")["run/big"] == sum(sizes)
    assert b"".join(store.read("run/big", sum(sizes))) == b"".join(parts)
    store.abort("run/big", upload)  # there is none any more


def test_all_below_a_path_is_removed(object_store: StoreServer, bucket: str) -> None:
    store = open_store(object_store, bucket)
    store.remove("run")
    for name in ("run/a/1", "run/a/2/3", "run-b/1"):
        keep(store, name, b"x")
    store.begin("run/c")
    store.remove("run")
    store.remove("run")
    assert object_store.contents(bucket) == {"a/prefix/run-b/1": 1}
    assert object_store.uploads(bucket) == []
    store.remove("run-b")


def test_what_is_right_below_a_path(object_store: StoreServer, bucket: str) -> None:
    store = open_store(object_store, bucket)
    for name in ("tree/a", "tree/b/1", "tree/b/2/3", "tree-b/1"):
        keep(store, name, b"xx")
    assert store.listing("tree") == Listing(("b",), {"a": 2})
    assert store.listing("tree/b") == Listing(("2",), {"1": 2})
    assert set(store.listing("").folders) >= {"tree", "tree-b"}
    assert store.listing("tree/a") == store.listing("none") == Listing((), {})
    store.delete("tree/a")
    store.delete("tree/a")
    assert store.listing("tree") == Listing(("b",), {})
    for name in ("tree", "tree-b"):
        store.remove(name)


@pytest.mark.parametrize("pieces", [[], [b"1" * PIECE], [b"1" * PIECE, b"2" * PIECE]])
@pytest.mark.parametrize("rest", [b"", b"end"])
def test_an_object_is_written_piece_by_piece(
    object_store: StoreServer, bucket: str, pieces: list[bytes], rest: bytes
) -> None:
    store = open_store(object_store, bucket)
    writing = Writing(store, "run/pieces")
    for piece in pieces:
        writing.add(piece)
    assert store.size("run/pieces") is None
    writing.finish(rest)
    whole = b"".join([*pieces, rest])
    assert store.size("run/pieces") == len(whole)
    assert b"".join(store.read("run/pieces", len(whole))) == whole
    store.delete("run/pieces")


def test_a_writing_that_is_aborted_leaves_nothing(object_store: StoreServer, bucket: str) -> None:
    store = open_store(object_store, bucket)
    Writing(store, "run/none").abort()
    writing = Writing(store, "run/cut")
    writing.add(b"1" * PIECE)
    writing.abort()
    assert store.size("run/cut") is None
    assert object_store.uploads(bucket) == []


def test_a_link_for_a_part_may_take_any_content(object_store: StoreServer, bucket: str) -> None:
    store = open_store(object_store, bucket)
    upload = store.begin("run/linked")
    url, headers = store.writing_part("run/linked", upload, 1)
    assert headers == {}
    tag = put(url, b"anything", headers).headers["etag"]
    store.complete("run/linked", upload, {1: tag})
    assert b"".join(store.read("run/linked", 8)) == b"anything"
    store.delete("run/linked")
