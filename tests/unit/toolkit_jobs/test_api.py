"""Requests over real sockets: whatever network and server do, one of the two errors comes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from multidict import CIMultiDict
from tests.loopback import Answering, Asked, CutError, serving, streamed

from toolkit_jobs import Connection, RefusedError, UnavailableError
from toolkit_jobs import api as module
from toolkit_jobs.api import Api, ExpiredError

PATIENCE = 60
SECRET = "sesame"


@contextlib.asynccontextmanager
async def asking(url: str, token: str = SECRET, **more: Any) -> AsyncIterator[Api]:
    made = Api(Connection(url, _token=token, **more))
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def between(answering: Answering, **more: Any) -> AsyncIterator[Api]:
    async with serving(answering, **more) as url, asking(url) as api:
        yield api


class Speaker:
    """A server that says the same to everyone, whatever that is, and closes."""

    def __init__(self) -> None:
        self.says = b""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.says)
            await writer.drain()
        writer.close()


@pytest.fixture
async def speaker() -> AsyncIterator[tuple[Speaker, Api]]:
    made = Speaker()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with await asyncio.start_server(made.answer, sock=listener), asking(url) as api:
        yield made, api


async def read(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def call(api: Api) -> Awaitable[Any]:
    return api.call("GET", "/x")


def post(api: Api) -> Awaitable[Any]:
    return api.call("POST", "/x", body={"a": "b"})


def log(api: Api) -> Awaitable[Any]:
    return read(api.stream("/x", {}, endless=False))


def followed(api: Api) -> Awaitable[Any]:
    return read(api.stream("/x", {}, endless=True))


async def watch(api: Api) -> list[Any]:
    return [each async for each in api.events("/x", "a=b", "1")]


ASKED: list[Callable[[Api], Awaitable[Any]]] = [call, post, log, followed, watch]


async def silent(asked: Asked) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def cut(asked: Asked) -> web.StreamResponse:
    raise CutError


async def begun(asked: Asked) -> web.StreamResponse:
    """A line, and no more."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"a": "b"}\n'
        await asyncio.Event().wait()

    return await streamed(asked, pieces())


async def broken(asked: Asked) -> web.StreamResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"a": "b"}\n{"c":'
        raise CutError

    return await streamed(asked, pieces())


async def test_what_is_sent_and_what_comes_back() -> None:
    got: list[Asked] = []

    async def answer(asked: Asked) -> web.StreamResponse:
        got.append(asked)
        return web.json_response({"it": "is"}, headers={"Set-Cookie": "a=b"})

    async with between(answer) as api:
        query = {"labelSelector": "app=x,k in (a b,ü)", "dryRun": "All"}
        found = await api.call("PATCH", "/a%2Fb/c%20d", query=query, body={"k": ["ü\ud800", 1]})
        assert found == {"it": "is"}
        await api.call("GET", "/b", headers={"Accept": "other"})
    first, second = got
    path, _, sent = first.raw_path.partition("?")
    assert (first.method, path) == ("PATCH", "/a%2Fb/c%20d")
    assert sent == "labelSelector=app%3Dx%2Ck+in+%28a+b%2C%C3%BC%29&dryRun=All"
    assert first.query == query
    assert first.json() == {"k": ["ü\ud800", 1]}
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Authorization"] == f"Bearer {SECRET}"
    assert first.headers["Accept-Encoding"] == "identity"
    assert first.headers["User-Agent"] == "toolkit-jobs"
    assert (second.content, second.headers["Accept"]) == (b"", "other")
    assert "Content-Type" not in second.headers
    assert "Cookie" not in second.headers


async def test_an_address_may_have_a_path() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({"path": asked.raw_path})

    async with serving(answer) as url, asking(f"{url}/clusters/a") as api:
        assert await api.call("GET", "/api") == {"path": "/clusters/a/api"}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("server", [cut, silent])
async def test_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, server: Answering, asked: Callable[[Api], Awaitable[Any]]
) -> None:
    for name in ("_CALL", "_STREAM", "_ENDLESS", "_WATCH"):
        monkeypatch.setattr(module, name, aiohttp.ClientTimeout(sock_read=0.05))
    async with between(server) as api:
        with pytest.raises(UnavailableError, match="/x") as caught:
            await asked(api)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}",
        "http://[::1]:{port}",
        "https://127.0.0.1:{port}",
        "http://name.invalid",
        "http://127.0.0.1:99999",
        "http://a b",
        "http://",
        "ftp://a",
        "nonsense",
    ],
)
async def test_nobody_is_there(url: str, asked: Callable[[Api], Awaitable[Any]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with asking(url.format(port=port)) as api:
        with pytest.raises(UnavailableError, match="the Kubernetes API at"):
            await asked(api)


@pytest.mark.parametrize("asked", [call, post, log, followed])
async def test_an_answer_that_breaks_off(asked: Callable[[Api], Awaitable[Any]]) -> None:
    async with between(broken) as api:
        with pytest.raises(UnavailableError, match="/x"):
            await asked(api)


@pytest.mark.parametrize("asked", [call, post, log])
async def test_an_answer_that_does_not_go_on(
    monkeypatch: pytest.MonkeyPatch, asked: Callable[[Api], Awaitable[Any]]
) -> None:
    for name in ("_CALL", "_STREAM"):
        monkeypatch.setattr(module, name, aiohttp.ClientTimeout(sock_read=0.05))
    async with between(begun) as api:
        with pytest.raises(UnavailableError, match="/x"):
            await asked(api)


@pytest.mark.parametrize("server", [broken, begun])
async def test_a_watch_that_breaks_off_has_ended(
    monkeypatch: pytest.MonkeyPatch, server: Answering
) -> None:
    monkeypatch.setattr(module, "_WATCH", aiohttp.ClientTimeout(sock_read=0.05))
    async with between(server) as api:
        assert await watch(api) == [{"a": "b"}]


async def test_bounds_are_what_they_are_said_to_be() -> None:
    bounds = (module._CALL, module._STREAM, module._ENDLESS, module._WATCH)
    assert [each.sock_read for each in bounds] == [30, 30, None, 330]
    assert [each.total for each in bounds] == [120, None, None, None]
    assert {each.sock_connect for each in bounds} == {5}


async def test_a_server_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is bounded too, though the library bounds reading alone."""
    monkeypatch.setattr(module, "_CALL", aiohttp.ClientTimeout(total=0.2, sock_read=30.0))
    done = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await done.wait()
        writer.transport.abort()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asking(f"http://127.0.0.1:{port}") as api:
            with pytest.raises(UnavailableError, match="POST /x"):
                await api.call("POST", "/x", body={"a": "b" * 32_000_000})
        done.set()


async def test_large_bodies() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({"got": asked.json()["a"], "n": len(asked.content)})

    async with between(answer) as api:
        for size in (1, 64 * 1024, 3_000_000):
            found = await api.call("POST", "/x", body={"a": "b" * size})
            assert found == {"got": "b" * size, "n": size + 8}


GOOD = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nWarning: 299 - "w"\r\n'
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n6\r\n "b"}\n\r\n0\r\n\r\n'
)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{}",
        b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 503 No\r\n\r\n[1]",
    ],
)
async def test_an_answer_that_is_none(speaker: tuple[Speaker, Api], said: bytes) -> None:
    server, api = speaker
    server.says = said
    for asked in (call, post):
        with pytest.raises(UnavailableError) as caught:
            await asked(api)
        assert SECRET not in str(caught.value)
    for asked in (log, followed, watch):
        with contextlib.suppress(UnavailableError, ValueError):
            await asked(api)


async def test_an_answer_that_breaks_off_anywhere(speaker: tuple[Speaker, Api]) -> None:
    server, api = speaker
    for end in range(len(GOOD)):
        server.says = GOOD[:end]
        for asked in (call, log, followed):
            with pytest.raises(UnavailableError):
                await asked(api)
        with contextlib.suppress(UnavailableError):
            assert await watch(api) in ([], [{"a": "b"}])
    server.says = GOOD
    assert await call(api) == {"a": "b"}
    assert await log(api) == b'{"a": "b"}\n'
    assert await watch(api) == [{"a": "b"}]


@pytest.mark.parametrize("byte", [b"\x00", b"\n", b"9", b"\xff"])
async def test_an_answer_with_a_byte_changed(speaker: tuple[Speaker, Api], byte: bytes) -> None:
    server, api = speaker
    for place in range(len(GOOD)):
        server.says = GOOD[:place] + byte + GOOD[place + 1 :]
        for asked in (call, followed):
            with contextlib.suppress(UnavailableError, RefusedError):
                await asked(api)
        with contextlib.suppress(UnavailableError, RefusedError, ValueError):
            await watch(api)


@pytest.mark.parametrize("code", [301, 302, 307, 403, 409, 422])
async def test_a_refusal_is_told_and_no_redirect_followed(code: int) -> None:
    paths: list[str] = []

    async def answer(asked: Asked) -> web.StreamResponse:
        paths.append(asked.path)
        body = {"reason": "Because", "message": "no"}
        return web.json_response(body, status=code, headers={"Location": "/elsewhere"})

    async with between(answer) as api:
        for asked in ASKED:
            with pytest.raises(RefusedError, match=r"^no \(Because\)$") as caught:
                await asked(api)
            assert (caught.value.code, caught.value.reason) == (code, "Because")
    assert paths == ["/x"] * len(ASKED)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"no"', b"\xff"])
async def test_a_refusal_that_says_nothing(body: bytes) -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.Response(status=404, body=body)

    async with between(answer) as api:
        assert await api.find("/x") == {}
        assert await api.metadata("/x") == {}
        await api.drop("/x", {})
        with pytest.raises(RefusedError, match=r"HTTP 404 \(404\)"):
            await log(api)


async def test_a_token_that_is_refused_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")

    async def answer(asked: Asked) -> web.StreamResponse:
        if asked.headers["Authorization"] == "Bearer new":
            return web.json_response({})
        return web.json_response({"message": "who?"}, status=401)

    async with serving(answer) as url:
        api = Api(Connection(url, _token_file=token))
        for asked in ASKED[:4]:
            token.write_text("old")
            with pytest.raises(UnavailableError, match="who"):
                await asked(api)
            token.write_text("new")
            await asked(api)
            token.write_text("old")
            api._connection.forget_token()
        await api.close()


async def test_a_token_that_cannot_be_sent_is_not_shown() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({})

    async with serving(answer) as url, asking(url, token="ses\nme") as api:
        for asked in ASKED:
            with pytest.raises(UnavailableError) as caught:
                await asked(api)
            assert "ses" not in str(caught.value)


async def test_a_watch_that_has_expired() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({"reason": "Expired", "message": "too old"}, status=410)

    async with between(answer) as api:
        with pytest.raises(ExpiredError):
            await watch(api)


async def test_changes_come_as_they_are_told_however_long_they_are() -> None:
    long = {"a": "ü\u2028" * 500_000}
    told = asyncio.Event()
    got: list[Asked] = []

    async def answer(asked: Asked) -> web.StreamResponse:
        got.append(asked)

        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"n": 1}\n{"n"'
            await told.wait()
            yield b": 2}\n\n\r\n"
            yield json.dumps(long, ensure_ascii=False).encode()
            yield b'\n{"n": 3}'

        return await streamed(asked, pieces())

    found = []
    async with between(answer) as api:
        async for each in api.events("/x", "app=a b", "7"):
            told.set()
            found.append(each)
    assert found == [{"n": 1}, {"n": 2}, long, {"n": 3}]
    assert got[0].query == {
        "labelSelector": "app=a b",
        "watch": "true",
        "resourceVersion": "7",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
    }


async def test_a_change_that_is_none() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.Response(body=b'{"n": 1}\nrubbish\n')

    async with between(answer) as api:
        with pytest.raises(ValueError, match="Expecting value"):
            await watch(api)


async def test_a_log_that_is_followed_comes_as_it_is_written() -> None:
    seen = asyncio.Event()

    async def answer(asked: Asked) -> web.StreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first\n"
            await seen.wait()
            yield b"x" * 1_000_000

        return await streamed(asked, pieces())

    sizes = []
    async with between(answer) as api:
        async for piece in api.stream("/log", {"follow": "true"}, endless=True):
            if not sizes:
                assert piece == b"first\n"
            sizes.append(len(piece))
            seen.set()
    assert sum(sizes) == 1_000_006
    assert max(sizes) <= 64 * 1024


async def test_a_log_is_given_as_it_is() -> None:
    packed = gzip.compress(b"log")

    async def answer(asked: Asked) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with between(answer) as api:
        assert await log(api) == packed


async def test_who_stops_reading_a_log_is_missed() -> None:
    left = asyncio.Event()

    async def answer(asked: Asked) -> web.StreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.005)
            finally:
                left.set()

        return await streamed(asked, pieces())

    async with between(answer) as api:
        async with contextlib.aclosing(api.stream("/log", {}, endless=True)) as pieces:
            async for piece in pieces:
                assert piece
                break
        await left.wait()


async def test_whoever_closes_ends_what_is_read() -> None:
    listening = asyncio.Event()

    async def answer(asked: Asked) -> web.StreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"
            listening.set()
            await asyncio.Event().wait()

        return await streamed(asked, pieces())

    async with between(answer) as api:
        reading = asyncio.create_task(read(api.stream("/log", {}, endless=True)))
        await listening.wait()
        await api.close()
        with pytest.raises(UnavailableError):
            await reading


async def test_as_many_warnings_as_there_are() -> None:
    told = [f'spec.containers[{number}].image: "{"x" * 300}"' for number in range(1000)]
    quoted = [each.replace('"', '\\"') for each in told]
    headers = CIMultiDict([("Warning", f'299 - "{each}"') for each in quoted])
    headers.add("Warning", "199 - other")

    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({}, status=201, headers=headers)

    async with between(answer) as api:
        assert await api.warnings("/x", {}) == told


async def test_connections_are_kept_and_bounded() -> None:
    ports: set[Any] = set()
    now = most = 0
    full, go_on = asyncio.Event(), asyncio.Event()

    async def answer(asked: Asked) -> web.StreamResponse:
        nonlocal now, most
        assert asked.raw.transport is not None
        ports.add(asked.raw.transport.get_extra_info("peername"))
        if asked.path == "/x":
            return web.json_response({})
        now += 1
        most = max(most, now)
        if now == 64:
            full.set()
        await go_on.wait()
        now -= 1
        return web.json_response({})

    async with between(answer) as api:
        for _ in range(5):
            await post(api)
        assert len(ports) == 1
        asked = [asyncio.ensure_future(api.call("GET", "/wait")) for _ in range(80)]
        await full.wait()
        go_on.set()
        await asyncio.gather(*asked)
    assert most == 64


async def test_a_kept_connection_that_has_ended_is_made_anew() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        found = web.json_response({}, headers={"X-Padding": "x"})
        await found.prepare(asked.raw)
        await found.write_eof()
        assert asked.raw.transport is not None
        asked.raw.transport.close()
        return found

    async with between(answer) as api:
        for _ in range(20):
            assert await call(api) == {}


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({})

    async with between(answer) as api:
        assert await call(api) == {}


def certificate(folder: Path) -> tuple[str, ssl.SSLContext]:
    """An authority's text, and what a server of loopback that it vouches for has."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    file = folder / "server.pem"
    file.write_text(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        + text
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return text, context


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_tls(tmp_path: Path, host: str) -> None:
    authority, context = certificate(tmp_path)
    other, _ = certificate(tmp_path)

    async def answer(asked: Asked) -> web.StreamResponse:
        if asked.path == "/broken":
            raise CutError
        return await broken(asked) if asked.path == "/x" else web.json_response({"a": "b"})

    async with serving(answer, host=host, tls=context) as url:
        async with asking(url, authority=authority) as api:
            assert await api.call("GET", "/y") == {"a": "b"}
            assert await api.call("POST", "/y", body={"a": "b" * 500_000}) == {"a": "b"}
            for asked in (call, post, log, followed):
                with pytest.raises(UnavailableError):
                    await asked(api)
            with pytest.raises(UnavailableError):
                await api.call("GET", "/broken")
            assert await watch(api) == [{"a": "b"}]
        for trusted in (other, ""):
            async with asking(url, authority=trusted) as api:
                with pytest.raises(UnavailableError, match="certificate"):
                    await call(api)
        async with asking(url.replace("https", "http")) as api:
            with pytest.raises(UnavailableError):
                await call(api)
    async with between(broken) as plain:
        url = plain._connection.url.replace("http", "https")
        async with asking(url, authority=authority) as api:
            for asked in ASKED:
                with pytest.raises(UnavailableError):
                    await asked(api)
