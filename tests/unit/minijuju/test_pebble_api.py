"""The client of Pebble's API, against an HTTP server on a unix socket."""

import asyncio
import contextlib
import json
import os
from urllib.parse import parse_qs, urlsplit

import pytest

from minijuju import pebble_api


@contextlib.asynccontextmanager
async def serving(folder, answers):
    """A server whose socket lies in `folder`; `answers`: path to (code, result)."""
    seen = []

    async def answer(reader, writer):
        while head := await reader.readline():
            target = urlsplit(head.split()[1].decode())
            while (await reader.readline()).strip():
                pass
            seen.append((target.path, {k: v[0] for k, v in parse_qs(target.query).items()}))
            code, result = answers[target.path]
            body = result if isinstance(result, bytes) else json.dumps({"result": result}).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (code, len(body), body)
            )
            await writer.drain()
        writer.close()

    descriptor = os.open(folder, os.O_PATH)
    path = f"/proc/self/fd/{descriptor}/{pebble_api.SOCKET}"
    server = await asyncio.start_unix_server(answer, path)
    client = pebble_api.Pebble(folder)
    try:
        yield client, seen
    finally:
        await client.close()
        server.close()
        await server.wait_closed()
        os.close(descriptor)


@pytest.fixture
def folder(tmp_path):
    """A folder whose path is longer than a unix socket's may be."""
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    return deep


async def test_the_boot_id(folder):
    async with serving(folder, {"/v1/system-info": (200, {"boot-id": "b1"})}) as (client, _):
        assert await client.boot_id() == "b1"


@pytest.mark.parametrize(("code", "healthy"), [(200, True), (502, False)])
async def test_health(folder, code, healthy):
    answers = {"/v1/health": (code, {"healthy": healthy})}
    async with serving(folder, answers) as (client, seen):
        assert await client.healthy() is healthy
        assert seen == [("/v1/health", {"level": "alive"})]


async def test_notices(folder):
    raw = {
        "id": "1",
        "user-id": None,
        "type": "change-update",
        "key": "8",
        "last-repeated": "2026-01-01T00:00:00Z",
        "last-data": {"kind": "perform-check"},
    }
    bare = {"id": "2", "type": "custom", "key": "a.b/c", "last-repeated": "2026-01-01T00:00:01Z"}
    async with serving(folder, {"/v1/notices": (200, [raw, bare])}) as (client, seen):
        first, second = await client.notices("2025-01-01T00:00:00Z", 1.5)
        assert first.last_data == {"kind": "perform-check"}
        assert second == pebble_api.Notice("2", "custom", "a.b/c", "2026-01-01T00:00:01Z", {})
        query = {"users": "all", "timeout": "1.500s", "after": "2025-01-01T00:00:00Z"}
        assert seen == [("/v1/notices", query)]


async def test_changes(folder):
    change = {"id": "3", "kind": "perform-check", "status": "Error", "data": {"check-name": "up"}}
    answers = {
        "/v1/changes/3": (200, change),
        "/v1/changes/4": (404, {"message": "no change"}),
        "/v1/changes/5": (500, {"message": "broken"}),
    }
    async with serving(folder, answers) as (client, _):
        assert await client.change("3") == pebble_api.Change(
            "3", "perform-check", "Error", {"check-name": "up"}
        )
        assert await client.change("4") is None
        with pytest.raises(pebble_api.PebbleApiError, match="broken"):
            await client.change("5")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"type": "sync"}'])
async def test_an_answer_that_is_not_pebbles(folder, body):
    async with serving(folder, {"/v1/system-info": (200, body)}) as (client, _):
        with pytest.raises(pebble_api.PebbleApiError, match="no answer of Pebble's"):
            await client.boot_id()


async def test_nobody_there(folder):
    client = pebble_api.Pebble(folder)
    with pytest.raises(pebble_api.PebbleUnavailableError):
        await client.boot_id()


async def test_a_folder_made_anew_is_found(folder):
    async with serving(folder, {"/v1/system-info": (200, {"boot-id": "b1"})}) as (client, _):
        await client.boot_id()
        folder.rename(folder.with_name("old"))
        folder.mkdir()
        assert await client.boot_id() == "b1"
    with pytest.raises(pebble_api.PebbleUnavailableError):
        await client.boot_id()
    async with serving(folder, {"/v1/system-info": (200, {"boot-id": "b2"})}):
        assert await client.boot_id() == "b2"
        # The server waits for its clients.
        await client.close()
