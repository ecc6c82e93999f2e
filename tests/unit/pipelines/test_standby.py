"""A stand-by over real sockets: what it is asked goes to the one that leads, as it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from toolkit_pipelines import standby as module
from toolkit_pipelines.standby import STARTING, StandBy

TOKEN = {"Authorization": "Bearer secret"}
PATIENCE = 60


class Leader:
    """What leads: it tells how it was asked."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.asked = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/echo/{path:path}", self.echo, methods=["GET", "POST", "HEAD"]),
                Route("/endless", self.endless),
                Route("/healthz", self.echo),
                Route("/early", self.early, methods=["POST"]),
                Route("/deaf", self.deaf, methods=["GET", "POST"]),
                Route("/broken", self.broken),
                Route("/packed", self.packed),
                Route("/elsewhere", self.elsewhere),
            ]
        )

    @staticmethod
    async def echo(request: Request) -> Response:
        told = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "headers": dict(request.headers),
            "body": (await request.body()).decode(),
        }
        return JSONResponse(told, 418, headers={"x-told": "yes", "connection": "keep-alive"})

    @staticmethod
    async def early(request: Request) -> Response:
        return JSONResponse({"message": "too large"}, 413)

    async def deaf(self, request: Request) -> Response:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    @staticmethod
    async def broken(request: Request) -> Response:
        return Response(b"x", headers={"content-length": "2"})

    @staticmethod
    async def packed(request: Request) -> Response:
        headers = {"content-encoding": "gzip", "set-cookie": "who=me"}
        return Response(gzip.compress(b"packed"), headers=headers)

    @staticmethod
    async def elsewhere(request: Request) -> Response:
        headers = [("location", "/healthz"), ("x-two", "1"), ("x-two", "2")]
        answer = Response(status_code=302)
        answer.raw_headers += [(name.encode(), value.encode()) for name, value in headers]
        return answer

    async def endless(self, request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.01)
            finally:
                self.left.set()

        return StreamingResponse(chunks())


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, interface="asgi3", log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def none(self: uvicorn.Server) -> Iterator[None]:
        yield

    monkeypatch.setattr(uvicorn.Server, "capture_signals", none)


@contextlib.asynccontextmanager
async def pair(leader: Leader) -> AsyncIterator[tuple[StandBy, httpx2.AsyncClient]]:
    standby = StandBy()
    app = standby.guarded(allowed_hosts=["127.0.0.1"], allowed_origins=["http://page.example"])
    async with serving(leader.app) as there, serving(app) as here:
        standby.tell(there, "stand-by: another service leads")
        async with httpx2.AsyncClient(base_url=here, trust_env=False, timeout=PATIENCE) as client:
            try:
                yield standby, client
            finally:
                await standby.close()


async def test_a_request_goes_as_it_came() -> None:
    async with pair(Leader()) as (standby, client):
        headers = {**TOKEN, "Origin": "http://page.example", "X-Other": "1", "TE": "trailers"}
        answer = await client.post("/echo/a%2Fb?c=d%20e", content=b"body", headers=headers)
        assert (answer.status_code, answer.headers["x-told"]) == (418, "yes")
        told = answer.json()
        assert (told["method"], told["path"], told["query"]) == ("POST", "/echo/a%2Fb", "c=d%20e")
        assert told["body"] == "body"
        assert told["headers"]["authorization"] == "Bearer secret"
        assert told["headers"]["x-other"] == "1"
        assert told["headers"]["host"] == standby.leader.removeprefix("http://")
        # Judged here, by the Host that the client meant.
        assert "origin" not in told["headers"]
        assert "te" not in told["headers"]
        assert len(answer.headers.get_list("date")) == 1
        assert (await client.head("/echo/x", headers=TOKEN)).status_code == 418
        # Without a token as well: it is the leader's to say.
        assert (await client.get("/healthz")).status_code == 418
        assert (await client.get("/echo/x")).status_code == 401
        foreign = await client.get("/echo/x", headers={**TOKEN, "Host": "evil.example"})
        assert foreign.status_code == 403


async def test_a_client_that_leaves_is_left_by_the_leader() -> None:
    leader = Leader()
    async with pair(leader) as (_, client):
        async with client.stream("GET", "/endless", headers=TOKEN) as answer:
            async for chunk in answer.aiter_raw():
                assert chunk
                break
        async with asyncio.timeout(PATIENCE):
            await leader.left.wait()


async def test_large_bodies_are_passed_on_in_pieces() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    async with pair(Leader()) as (_, client):
        answer = await client.post("/echo/x", content=pieces(), headers=TOKEN)
        assert len(answer.json()["body"]) == 64 * 65536


async def test_what_it_says_itself() -> None:
    async with pair(Leader()) as (standby, client):
        assert (await client.get("/livez")).status_code == 200
        leads = await client.get("/leads")
        assert leads.status_code == 503
        assert leads.json()["message"] == "stand-by: another service leads"
        again = await client.get("/healthz", headers={"Toolkit-Forwarded": "1"})
        assert again.status_code == 503
        # One that is gone, one whose name is no address, and none.
        with socket.create_server(("127.0.0.1", 0)) as free:
            gone = f"http://127.0.0.1:{free.getsockname()[1]}"
        for name in (gone, "psql", "http://a/b", "http://u@h", ""):
            standby.tell(name, STARTING)
            answer = await client.get("/echo/x", headers=TOKEN)
            assert answer.status_code == 503
            assert (answer.headers["retry-after"], answer.json()["code"]) == ("1", 14)
            assert STARTING in answer.json()["message"]
            assert (await client.get("/livez")).status_code == 200


async def test_a_body_that_breaks_off() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ClientDisconnect

    async with pair(Leader()) as (_, client):
        with pytest.raises(ClientDisconnect):
            await client.post("/echo/x", content=broken(), headers=TOKEN)
        assert (await client.get("/echo/x", headers=TOKEN)).status_code == 418


async def said(url: str, request: bytes) -> bytes:
    """What is answered to what no client of a library would send."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    return answer


async def test_what_is_asked_is_not_tidied_up() -> None:
    async with pair(Leader()) as (_, client):
        end = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer s\r\nConnection: close\r\n"
        url = str(client.base_url).rstrip("/")
        path = b"/echo//a|b/./../c%7e%2f"
        answer = await said(url, b"GET " + path + b"?x={y}&z=%20+" + end + "X: ü\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 418")
        assert b'"path":"' + path + b'"' in answer
        assert b'"query":"x={y}&z=%20+"' in answer
        assert '"x":"\u00c3\u00bc"'.encode() in answer
        assert b"accept" not in answer
        assert b"user-agent" not in answer
        answer = await said(url, b"GET /healthz" + end + b"X: \xfc\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"UTF-8" in answer


async def test_an_answer_comes_as_it_was_given() -> None:
    async with pair(Leader()) as (_, client):
        whole = await client.get("/echo/x", headers=TOKEN)
        head = await client.head("/echo/x", headers=TOKEN)
        assert int(head.headers["content-length"]) > 0
        assert head.headers["content-type"] == whole.headers["content-type"]
        for _ in range(2):
            packed = await client.get("/packed", headers=TOKEN)
            assert (packed.content, packed.headers["content-encoding"]) == (b"packed", "gzip")
            assert packed.headers["set-cookie"] == "who=me"
            client.cookies.clear()
        assert "cookie" not in (await client.get("/echo/x", headers=TOKEN)).json()["headers"]
        moved = await client.get("/elsewhere", headers=TOKEN)
        assert (moved.status_code, moved.headers["location"]) == (302, "/healthz")
        assert moved.headers.get_list("x-two") == ["1", "2"]


async def test_a_body_that_is_announced_and_waits() -> None:
    async with pair(Leader()) as (_, client):
        headers = {**TOKEN, "Expect": "100-continue"}
        told = (await client.post("/echo/x", content=b"body", headers=headers)).json()
        assert told["body"] == "body"
        assert "expect" not in told["headers"]
        told = (await client.post("/echo/x", content=b"", headers=TOKEN)).json()
        assert (told["body"], told["headers"]["content-length"]) == ("", "0")
        assert "transfer-encoding" not in told["headers"]
        assert "content-type" not in told["headers"]


async def test_an_answer_before_the_body_was_read() -> None:
    async with pair(Leader()) as (_, client):
        for size in (1, 64 * 1024, 1_000_000):
            answer = await client.post("/early", content=b"x" * size, headers=TOKEN)
            assert (answer.status_code, answer.json()) == (413, {"message": "too large"})


async def test_a_leader_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEND_SECONDS", 0.05)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield b"x" * 65536

    async with pair(Leader()) as (_, client):
        answer = await client.post("/deaf", content=pieces(), headers=TOKEN)
        assert answer.status_code == 503
        assert (await client.get("/healthz", headers=TOKEN)).status_code == 418


async def test_an_answer_that_breaks_off() -> None:
    async with pair(Leader()) as (_, client):
        with pytest.raises(httpx2.TransportError):
            await client.get("/broken", headers=TOKEN)
        assert (await client.get("/healthz", headers=TOKEN)).status_code == 418


async def test_what_is_under_way_as_it_is_closed_is_asked_again() -> None:
    leader = Leader()
    async with pair(leader) as (standby, client):
        waiting = asyncio.create_task(client.get("/deaf", headers=TOKEN))
        await leader.asked.wait()
        await standby.close()
        assert (await waiting).status_code == 503
        assert (await client.get("/healthz", headers=TOKEN)).status_code == 418
