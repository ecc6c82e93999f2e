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


@pytest.mark.parametrize("result", [{}, [], "text", 7, None, [1], [{}], {"data": 1}])
async def test_a_result_that_is_not_pebbles(folder, result):
    paths = ("/v1/system-info", "/v1/notices", "/v1/changes/1", "/v1/health")
    async with serving(folder, dict.fromkeys(paths, (200, result))) as (client, _):
        asked = [client.boot_id(), client.change("1"), client.healthy()]
        if result not in ([], {}):
            asked.append(client.notices(None, 1))
        for question in asked:
            with pytest.raises(pebble_api.PebbleApiError, match="no answer of Pebble's"):
                await question


@contextlib.asynccontextmanager
async def answering(folder, head, part, pause=0.0):
    """A server that sends `head` and then `part` without end."""

    async def answer(reader, writer):
        await reader.readline()
        try:
            writer.write(b"HTTP/1.1 200 X\r\n" + head + b"\r\n\r\n")
            while True:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            pass  # the client has had enough
        finally:
            writer.close()

    descriptor = os.open(folder, os.O_PATH)
    path = f"/proc/self/fd/{descriptor}/{pebble_api.SOCKET}"
    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
        os.close(descriptor)


async def test_an_answer_without_end(folder):
    """From whoever has taken the socket: it must not fill the controller's memory."""
    part = b"10000\r\n" + b" " * 65536 + b"\r\n"
    async with answering(folder, b"Transfer-Encoding: chunked", part):
        client = pebble_api.Pebble(folder, patience=60)
        with pytest.raises(pebble_api.PebbleApiError, match="more than"):
            await client.boot_id()
        await client.close()


async def test_an_answer_takes_no_longer_than_it_may(folder):
    async with answering(folder, b"Content-Length: 100000", b" ", pause=0.01):
        client = pebble_api.Pebble(folder, patience=0.2)
        with pytest.raises(pebble_api.PebbleUnavailableError):
            await client.boot_id()
        await client.close()


async def test_a_link_in_the_place_of_the_socket_leads_nowhere(folder, tmp_path):
    """A charm could name another unit's."""
    other = tmp_path / "other"
    other.mkdir()
    async with serving(other, {"/v1/system-info": (200, {"boot-id": "b1"})}) as (theirs, _):
        assert await theirs.boot_id() == "b1"
        for place in (other / pebble_api.SOCKET, tmp_path / "a-file"):
            (folder / pebble_api.SOCKET).symlink_to(place)
            client = pebble_api.Pebble(folder)
            with pytest.raises(pebble_api.PebbleUnavailableError):
                await client.boot_id()
            (folder / pebble_api.SOCKET).unlink()
        (folder / pebble_api.SOCKET).touch()
        with pytest.raises(pebble_api.PebbleUnavailableError, match="no socket"):
            await client.boot_id()
        await theirs.close()


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
