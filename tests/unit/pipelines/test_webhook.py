"""Runs that failed, told to a real HTTP server, which answers as a test says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.webhooks import Receiver, receiving

from toolkit_pipelines import webhook
from toolkit_pipelines.__main__ import QUIET
from toolkit_pipelines.events import RunEnded, RunPhase, RunRetried, TaskStarted
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.interface import Recipient, Run
from toolkit_pipelines.webhook import Endpoint, Webhook, WebhookError

KEY = b"k" * 32


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "pipelines.db", webhook.record)
    yield opened
    opened.close()


Deliver = Callable[..., contextlib.AbstractAsyncContextManager[None]]


@pytest.fixture
def deliver(store: Store) -> Deliver:
    @contextlib.asynccontextmanager
    async def deliver(url: str, key: bytes = b"", **more: Any) -> AsyncIterator[None]:
        to = Endpoint(url, key)
        hook = Webhook(store.runs, to, "http://ml:8888", backoff=(0.001, 0.01), **more)
        task = asyncio.create_task(hook.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return deliver


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def end(store: Store, run: Run, phase: RunPhase = RunPhase.FAILED, message: str = "boom") -> None:
    sequence = store.runs.run(run.run_id).sequence
    # Now, since what is older than a day is not tried again.
    event = RunEnded(run_id=run.run_id, time=time.time(), phase=phase, message=message)
    store.runs.append(run.run_id, [event], sequence)


def waiting(store: Store) -> list[str]:
    return [each.record.run_id for each in store.runs.outbox(Recipient.WEBHOOK)]


async def test_a_run_that_failed_is_told(
    store: Store, new_run: Callable[..., Run], receiver: Receiver, deliver: Deliver
) -> None:
    run = new_run("nightly")
    async with deliver(receiver.url, KEY):
        await asyncio.to_thread(end, store, run)
        await until(lambda: receiver.got and not waiting(store))
    (got,) = receiver.got
    path, headers, body = got.path, got.headers, got.body
    assert path == "/secret-path?key=hidden"
    found = json.loads(body)
    finished = found["data"].pop("finished_at")
    assert found == {
        "type": "run.failed",
        "timestamp": finished,
        "data": {
            "run_id": run.run_id,
            "name": "nightly",
            "experiment": "Default",
            "experiment_id": run.experiment_id,
            "pipeline": "p",
            "state": "FAILED",
            "error": "boom",
            "link": f"http://ml:8888/apis/v2beta1/runs/{run.run_id}",
        },
    }
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == f"Basic {base64.b64encode(b'user:sesame').decode()}"
    assert headers["webhook-id"] == f"{run.run_id}-2"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(KEY, signed, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


async def test_only_of_failures(
    store: Store, new_run: Callable[..., Run], receiver: Receiver, deliver: Deliver
) -> None:
    for phase in (RunPhase.SUCCEEDED, RunPhase.SKIPPED, RunPhase.CANCELED):
        end(store, new_run(), phase)
    assert waiting(store) == []
    failed = new_run()
    store.runs.append(
        failed.run_id, [TaskStarted(run_id=failed.run_id, time=time.time(), task="t")], 1
    )
    end(store, failed)
    retried = RunRetried(run_id=failed.run_id, time=time.time())
    store.runs.append(failed.run_id, [retried], 3)
    end(store, failed)
    async with deliver(receiver.url):
        await until(lambda: not waiting(store))
    # Each failure of a run that is retried is one of its own, in order.
    ids = [each.headers["webhook-id"] for each in receiver.got]
    assert ids == [f"{failed.run_id}-3", f"{failed.run_id}-5"]
    assert "webhook-signature" not in receiver.got[0].headers


def as_the_service_logs(caplog: pytest.LogCaptureFixture) -> None:
    """All that this project logs, and of the libraries what the service lets through."""
    caplog.set_level(logging.DEBUG)
    for name in QUIET:
        caplog.set_level(logging.WARNING, name)


async def test_it_is_tried_again_under_the_same_id_and_nothing_secret_is_logged(
    store: Store,
    new_run: Callable[..., Run],
    receiver: Receiver,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    as_the_service_logs(caplog)
    receiver.statuses = [500, 404, 302, 429, 200]
    run, other = new_run(), new_run()
    end(store, run)
    async with deliver(receiver.url, KEY):
        await until(lambda: not waiting(store))
        receiver.statuses = [302]
        await asyncio.to_thread(end, store, other)
        await until(lambda: len(receiver.got) == 7 and not waiting(store))
    assert {each.headers["webhook-id"] for each in receiver.got[:5]} == {f"{run.run_id}-2"}
    # The redirect was not followed.
    assert {each.path for each in receiver.got} == {"/secret-path?key=hidden"}
    assert "answers with 500" in caplog.text
    assert "answers with 302, a redirect, which is not followed" in caplog.text
    for secret in ("sesame", "secret-path", "hidden", "kkkk"):
        assert secret not in caplog.text
    assert "sesame" not in repr(Endpoint(receiver.url, KEY))


async def test_a_receiver_that_is_away_or_silent(
    store: Store,
    new_run: Callable[..., Run],
    receiver: Receiver,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    as_the_service_logs(caplog)
    run = new_run()
    end(store, run)
    async with deliver("http://user:sesame@127.0.0.1:1/secret-path"):
        await until(lambda: "does not answer" in caplog.text)
    assert waiting(store) == [run.run_id]
    receiver.release.clear()
    async with deliver(receiver.url, timeout=0.05):
        await until(lambda: "within 0.05 s" in caplog.text)
    assert waiting(store) == [run.run_id]
    receiver.release.set()
    async with deliver(receiver.url):
        await until(lambda: not waiting(store))
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("said", [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nX"])
async def test_what_fails_in_the_middle_shows_no_secret_either(
    store: Store,
    new_run: Callable[..., Run],
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
    said: bytes,
) -> None:
    as_the_service_logs(caplog)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
        writer.close()

    run = new_run()
    end(store, run)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with deliver(f"http://user:sesame@127.0.0.1:{port}/secret-path?key=hidden", KEY):
            await until(lambda: f"http://127.0.0.1:{port} does not answer: " in caplog.text)
    for secret in ("sesame", "secret-path", "hidden", "kkkk", "c2VzYW1l"):
        assert secret not in caplog.text


async def test_the_address_is_asked_as_it_is(
    store: Store, new_run: Callable[..., Run], receiver: Receiver, deliver: Deliver
) -> None:
    end(store, new_run())
    host = f"127.0.0.1:{receiver.server_port}"
    async with deliver(f"http://us%3Aer@x:p%C3%A4ss@{host}/a%2Fb|c/../%7e?d={{e}}&f=%7E+%2B#part"):
        await until(lambda: not waiting(store))
    (got,) = receiver.got
    assert got.path == "/a%2Fb%7Cc/../%7e?d=%7Be%7D&f=%7E+%2B"
    assert got.headers["host"] == host
    credentials = base64.b64decode(got.headers["authorization"].removeprefix("Basic "))
    assert credentials.decode() == "us:er@x:päss"


async def test_after_a_day_it_is_given_up(
    store: Store,
    new_run: Callable[..., Run],
    receiver: Receiver,
    deliver: Deliver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = new_run()
    end(store, run)
    receiver.statuses = [500] * 100
    tomorrow = time.time() + webhook.GIVE_UP + 60
    async with deliver(receiver.url, clock=lambda: tomorrow):
        await until(lambda: not waiting(store))
    assert len(receiver.got) == 1
    assert f"is not told that run {run.run_id} failed" in caplog.text


async def test_a_run_that_was_deleted_meanwhile_is_told_all_the_same(
    store: Store, new_run: Callable[..., Run], receiver: Receiver, deliver: Deliver
) -> None:
    run = new_run()
    end(store, run, message="x" * 10_000)
    store.runs.delete(run.run_id)
    async with deliver(receiver.url):
        await until(lambda: not waiting(store))
    data = json.loads(receiver.got[0].body)["data"]
    assert (data["run_id"], data["state"]) == (run.run_id, "FAILED")
    assert data["error"] == "x" * 2000
    assert "name" not in data


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_files(tmp_path: Path) -> None:
    url = written(tmp_path, "url", "https://user:pw@hooks.example.com:8443/x\n")
    key = written(tmp_path, "key", f"whsec_{base64.b64encode(KEY).decode()}\n")
    found = webhook.endpoint(url, key)
    assert found == Endpoint("https://user:pw@hooks.example.com:8443/x", KEY)
    assert found.shown == "https://hooks.example.com:8443"
    assert webhook.endpoint(url).key == b""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://sesame.example.com/",
        "sesame",
        "https:///sesame",
        "https://h:99999/sesame",
        "https://h:0/sesame",
        "https://h/sesame x",
        "https://h/sesame\nx",
        "https://h/sesamé",
        "https://h/sesame" + "x" * 2000,
    ],
)
def test_an_address_that_cannot_be_used_is_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(WebhookError, match="failure_webhook_file") as caught:
        webhook.endpoint(written(tmp_path, "url", text))
    assert "sesam" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "sesame", "whsec_sesame", "whsec_" + "c2VzYW1l" * 20, "c2VzYW1l" * 5]
)
def test_a_key_that_cannot_be_used_is_not_shown(tmp_path: Path, text: str) -> None:
    url = written(tmp_path, "url", "https://hooks.example.com")
    with pytest.raises(WebhookError, match="failure_webhook_key_file") as caught:
        webhook.endpoint(url, written(tmp_path, "key", text))
    assert "sesame" not in str(caught.value)
    assert "c2Vz" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WebhookError, match="cannot be read"):
        webhook.endpoint(tmp_path / "none")
