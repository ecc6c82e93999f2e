"""Sessions to others, and what may be said of their failures."""

from __future__ import annotations

import io

import aiohttp
import pytest
from aiohttp import web
from tests.loopback import Asked, serving

from toolkit_pipelines import outgoing
from toolkit_pipelines.outgoing import Session


async def test_a_session_is_made_at_its_first_use_and_anew_after_its_end() -> None:
    async def answer(asked: Asked) -> web.StreamResponse:
        return web.json_response(dict(asked.headers), headers={"Set-Cookie": "a=b"})

    made = Session(aiohttp.ClientTimeout(total=60))
    await made.close()
    async with serving(answer) as url:
        for _ in range(2):
            assert made.get() is made.get()
            for _ in range(2):
                async with made.get().get(url, allow_redirects=False) as found:
                    sent = await found.json()
            assert set(sent) == {"Host", "Accept"}
            await made.close()


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def answer(asked: Asked) -> web.StreamResponse:
        return web.Response(text="here")

    made = Session(aiohttp.ClientTimeout(total=60))
    async with serving(answer) as url, made.get().get(url) as found:
        assert await found.text() == "here"
    await made.close()


def test_what_is_large_is_sent_in_pieces() -> None:
    assert outgoing.body(b"x") == b"x"
    large = outgoing.body(b"x" * 3_000_000)
    assert isinstance(large, io.BytesIO)
    assert large.getvalue() == b"x" * 3_000_000


async def test_what_failed_is_said_without_what_may_be_secret() -> None:
    made = Session(aiohttp.ClientTimeout(total=60))
    headers = {"Authorization": "Bearer sesame"}
    for url in ("http://127.0.0.1:1/sesame?sesame", "sesame", "http://a b/sesame", "ftp://sesame"):
        with pytest.raises(outgoing.FAILURES) as caught:
            await made.get().get(url, headers=headers)
        said = outgoing.why(caught.value)
        assert said
        assert "sesame" not in said
    assert (
        outgoing.why(aiohttp.ConnectionTimeoutError("http://sesame")) == "ConnectionTimeoutError"
    )
    assert outgoing.why(TimeoutError()) == "TimeoutError"
    await made.close()
