"""MLflow's client over real sockets: what is sent, and what fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tests.loopback import Answering, Asked, CutError, serving

from toolkit_pipelines import mlflow as module
from toolkit_pipelines.delivery import UnreachableError
from toolkit_pipelines.mlflow import MLflow, RejectedError


@contextlib.asynccontextmanager
async def asking(answering: Answering, prefix: str = "") -> AsyncIterator[MLflow]:
    async with serving(answering) as url:
        made = MLflow(f"{url}{prefix}/", lambda: "sesame")
        try:
            yield made
        finally:
            await made.close()


async def test_what_is_sent() -> None:
    got: list[Asked] = []

    async def answer(asked: Asked) -> web.StreamResponse:
        got.append(asked)
        if asked.method == "PUT":
            return web.Response(headers={"Set-Cookie": "a=b"})
        return web.json_response({"experiment": {"experiment_id": 7}})

    content = b"x" * 3_000_000
    async with asking(answer, "/base") as mlflow:
        assert await mlflow.upload("mlflow-artifacts:/1/a b/artifacts", "kfp/ü?.html", content)
        assert await mlflow.experiment("a b&c=ü/%41") == "7"
        await mlflow.update("r", "RUNNING")
        assert not await mlflow.upload("s3://elsewhere/x", "p", b"")
    put, get, post = got
    assert put.raw_path == (
        "/base/api/2.0/mlflow-artifacts/artifacts/1/a%20b/artifacts/kfp/%C3%BC%3F.html"
    )
    assert put.content == content
    assert "Content-Type" not in put.headers
    assert get.path == "/base/api/2.0/mlflow/experiments/get-by-name"
    assert get.query == {"experiment_name": "a b&c=ü/%41"}
    assert post.headers["Content-Type"] == "application/json"
    assert post.json() == {"run_id": "r", "status": "RUNNING"}
    for each in got:
        assert each.headers["Authorization"] == "Bearer sesame"
        assert each.headers["User-Agent"] == "toolkit-pipelines"
        assert "Cookie" not in each.headers


async def cut(asked: Asked) -> web.StreamResponse:
    raise CutError


async def silent(asked: Asked) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def redirecting(asked: Asked) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/elsewhere"})


async def login(asked: Asked) -> web.StreamResponse:
    return web.Response(text="<html>who are you?")


@pytest.mark.parametrize("server", [cut, silent, redirecting, login])
async def test_what_is_not_mlflows_answer_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, server: Answering
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    async with asking(server) as mlflow:
        for _ in range(2):
            with pytest.raises(UnreachableError) as caught:
                await mlflow.update("r", "RUNNING")
            assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "said", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"]
)
async def test_rubbish_is_tried_again_and_shows_no_token(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for url in (f"http://127.0.0.1:{port}", "http://127.0.0.1:1", "nonsense", "http://a b"):
            mlflow = MLflow(url, lambda: "sesame")
            with pytest.raises(UnreachableError, match="MLflow at") as caught:
                await mlflow.update("r", "RUNNING")
            assert "sesame" not in str(caught.value)
            await mlflow.close()


async def test_a_token_that_cannot_be_read_or_sent() -> None:
    def away() -> str:
        raise FileNotFoundError("the token's file")

    for token in (away, lambda: "ses\nme"):
        mlflow = MLflow("http://127.0.0.1:1", token)
        with pytest.raises(UnreachableError) as caught:
            await mlflow.update("r", "RUNNING")
        assert "ses" not in str(caught.value).removeprefix("MLflow at")
        await mlflow.close()


async def test_what_mlflow_rejects() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response({"error_code": "NO", "message": "never"}, status=400)

    async with asking(answer) as mlflow:
        with pytest.raises(RejectedError, match="NO: never"):
            await mlflow.update("r", "RUNNING")
