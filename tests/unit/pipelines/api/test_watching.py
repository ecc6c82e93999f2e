"""Runs followed by a client: the application is called as a server calls it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from toolkit_pipelines import api, naming
from toolkit_pipelines.api import watching
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.events import (
    Event,
    RunEnded,
    RunPhase,
    RunRetried,
    TaskCached,
    TaskCanceled,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import Run
from toolkit_pipelines.watchers import Watchers


class Client:
    """A client with a connection of its own, whose answer comes as it is sent."""

    def __init__(self, run_id: str, last: int | None) -> None:
        self.path = f"/apis/v2beta1/runs/{run_id}:watch"
        self.headers = [] if last is None else [(b"last-event-id", str(last).encode())]
        self.status = 0
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.stuck = False
        self.body = b""
        self.ended = False

    async def receive(self) -> dict[str, Any]:
        if not self.body and not self.status:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.ended = not message.get("more_body", False)
        await self.sent.put(message["body"])

    async def message(self) -> tuple[int, str, Any]:
        """Give the next message: its id, its kind, its data; comments are passed over."""
        async with asyncio.timeout(60):
            while True:
                while b"\n\n" not in self.body:
                    self.body += await self.sent.get()
                text, _, self.body = self.body.partition(b"\n\n")
                fields = dict(line.split(": ", 1) for line in text.decode().split("\n"))
                if "data" in fields:
                    return int(fields["id"]), fields["event"], json.loads(fields["data"])


Follow = Callable[..., contextlib.AbstractAsyncContextManager[Client]]


@pytest.fixture
def follow(context: Context) -> Follow:
    app = api.application(context)

    @contextlib.asynccontextmanager
    async def follow(run: Run, last: int | None = None) -> AsyncIterator[Client]:
        client = Client(run.run_id, last)
        scope = {
            "type": "http",
            "method": "GET",
            "path": client.path,
            "query_string": b"",
            "headers": client.headers,
            "root_path": "",
        }
        task = asyncio.create_task(app(scope, client.receive, client.send))
        try:
            yield client
            client.gone.set()
            async with asyncio.timeout(60):
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return follow


def append(store: Store, run: Run, *events: Event) -> None:
    store.runs.append(run.run_id, events, store.runs.run(run.run_id).sequence)


def started(run: Run, task: str = "train", **more: Any) -> TaskStarted:
    return TaskStarted(run_id=run.run_id, time=11.0, task=task, **more)


def ended(run: Run, phase: RunPhase = RunPhase.SUCCEEDED, message: str = "") -> RunEnded:
    return RunEnded(run_id=run.run_id, time=20.0, phase=phase, message=message)


async def test_a_run_is_followed_to_its_end(
    store: Store, new_run: Callable[..., Run], follow: Follow
) -> None:
    run = new_run()
    append(store, run, started(run, "before"))
    async with follow(run) as client:
        number, kind, snapshot = await client.message()
        assert (number, kind, snapshot["state"]) == (2, "snapshot", "RUNNING")
        (task,) = snapshot["run_details"]["task_details"]
        assert (task["display_name"], task["state"]) == ("before", "RUNNING")
        assert "pipeline_spec" not in snapshot
        inputs = Values({"depth": 5})
        await asyncio.to_thread(
            append, store, run, started(run, "outer/train", pod="pod-0", inputs=inputs)
        )
        number, kind, change = await client.message()
        assert (number, kind) == (3, "task")
        assert change == {
            "run_id": run.run_id,
            "task_id": naming.task_id(run.run_id, "outer/train"),
            "task": "outer/train",
            "display_name": "train",
            "parent_task_id": naming.task_id(run.run_id, "outer"),
            "state": "RUNNING",
            "update_time": "1970-01-01T00:00:11.000000Z",
            "attempt": 0,
            "pod_name": "pod-0",
            "input_parameters": {"depth": 5},
        }
        succeeded = TaskSucceeded(
            run_id=run.run_id, time=12.0, task="outer/train", outputs=Values({"score": 0.5})
        )
        await asyncio.to_thread(append, store, run, succeeded, ended(run))
        number, kind, change = await client.message()
        assert (number, kind, change["state"]) == (4, "task", "SUCCEEDED")
        assert change["output_parameters"] == {"score": 0.5}
        number, kind, last = await client.message()
        assert (number, kind, last["state"]) == (5, "run", "SUCCEEDED")
        assert "run_details" not in last
        async with asyncio.timeout(60):
            while not client.ended:
                await client.sent.get()


def test_each_kind_of_change(
    client: TestClient, store: Store, new_run: Callable[..., Run]
) -> None:
    run, origin = new_run(), new_run("origin")
    done = TaskSucceeded(run_id=origin.run_id, time=1.0, task="t", fingerprint="f")
    append(store, origin, started(origin, "t"), done)
    common: dict[str, Any] = {"run_id": run.run_id, "time": 12.0}
    append(
        store,
        run,
        started(run, "loop", iterations=2),
        started(run, "loop/1", iteration=1),
        TaskFailed(**common, task="loop/1", reason="Error", message="boom", retry=15.0),
        TaskFailed(**common, task="loop", reason="Error", message="boom", attempt=1),
        TaskSkipped(**common, task="if", reason="not so"),
        started(run, "kept"),
        TaskCached(
            **common, task="kept", origin=origin.run_id, origin_task="t", origin_sequence=3
        ),
        started(run, "stopped"),
        TaskCanceled(**common, task="stopped"),
        ended(run, RunPhase.FAILED, "boom"),
    )
    reply = client.get(f"/runs/{run.run_id}:watch", headers={"last-event-id": "1"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-store"
    found = messages(reply.text)
    assert [number for number, _, _ in found] == list(range(2, 12))
    changes = [change for _, kind, change in found if kind == "task"]
    assert [(x["task"], x["state"]) for x in changes] == [
        ("loop", "RUNNING"),
        ("loop/1", "RUNNING"),
        ("loop/1", "PENDING"),
        ("loop", "FAILED"),
        ("if", "SKIPPED"),
        ("kept", "RUNNING"),
        ("kept", "CACHED"),
        ("stopped", "RUNNING"),
        ("stopped", "CANCELED"),
    ]
    assert (changes[0]["iteration_count"], changes[1]["iteration_index"]) == (2, 1)
    assert changes[1]["display_name"] == "loop[1]"
    assert changes[2]["retry_time"] == "1970-01-01T00:00:15.000000Z"
    assert changes[3]["error"]["message"] == "Error: boom"
    assert changes[4]["skip_reason"] == "not so"
    assert changes[6]["cached_from"]["run_id"] == origin.run_id
    assert (found[-1][1], found[-1][2]["state"]) == ("run", "FAILED")


def messages(text: str) -> list[tuple[int, str, Any]]:
    parts = [dict(x.split(": ", 1) for x in part.split("\n")) for part in text.split("\n\n")[:-1]]
    return [(int(p["id"]), p["event"], json.loads(p["data"])) for p in parts if "data" in p]


def test_a_client_that_was_cut_off_misses_nothing_and_hears_nothing_twice(
    client: TestClient, store: Store, new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_BATCH", 3)
    run = new_run()
    tasks = [started(run, f"t{number}") for number in range(10)]
    append(store, run, *tasks, ended(run))
    for last in range(1, 12):
        reply = client.get(f"/runs/{run.run_id}:watch", headers={"last-event-id": str(last)})
        found = messages(reply.text)
        assert [number for number, _, _ in found] == list(range(last + 1, 13))
        assert [kind for _, kind, _ in found] == ["task"] * (11 - last) + ["run"]
    # All is told: it need not come again.
    reply = client.get(f"/runs/{run.run_id}:watch", headers={"last-event-id": "12"})
    assert (reply.status_code, reply.content) == (204, b"")
    # From where there is nothing, all is told.
    reply = client.get(f"/runs/{run.run_id}:watch", headers={"last-event-id": "13"})
    assert [(number, kind) for number, kind, _ in messages(reply.text)] == [(12, "snapshot")]


@pytest.mark.parametrize("last", ["-1", "x", "1.0", "9" * 20, "²"])
def test_an_id_that_is_none(client: TestClient, new_run: Callable[..., Run], last: str) -> None:
    headers = {"last-event-id": last.encode()}
    reply = client.get(f"/runs/{new_run().run_id}:watch", headers=headers)
    assert reply.status_code == 400
    assert "Last-Event-ID" in reply.json()["message"]


def test_a_run_that_is_not_there(client: TestClient) -> None:
    assert client.get("/runs/nothing:watch").status_code == 404


def test_only_asking_for_the_headers_does_not_wait(
    client: TestClient, new_run: Callable[..., Run]
) -> None:
    reply = client.head(f"/runs/{new_run().run_id}:watch")
    assert (reply.status_code, reply.content) == (200, b"")


async def test_what_a_retry_takes_back_is_told_by_a_snapshot(
    store: Store, new_run: Callable[..., Run], follow: Follow
) -> None:
    run = new_run()
    failed = TaskFailed(run_id=run.run_id, time=12.0, task="train", reason="Error", message="m")
    append(store, run, started(run), failed, ended(run, RunPhase.FAILED))
    retried = RunRetried(run_id=run.run_id, time=30.0, dropped=("train",))
    append(store, run, retried)
    async with follow(run, last=4) as client:
        number, kind, snapshot = await client.message()
        assert (number, kind, snapshot["state"]) == (5, "snapshot", "RUNNING")
        assert snapshot["run_details"] == {"task_details": []}


async def test_what_another_attempt_of_a_nested_pipeline_takes_back_likewise(
    store: Store, new_run: Callable[..., Run], follow: Follow
) -> None:
    run = new_run()
    common: dict[str, Any] = {"run_id": run.run_id, "time": 12.0}
    failed = TaskFailed(**common, task="outer/inner", reason="Error", message="m")
    append(
        store,
        run,
        TaskStarted(**common, task="outer"),
        TaskStarted(**common, task="outer/inner", pod="p"),
        failed,
    )
    async with follow(run, last=4) as client:
        again = TaskFailed(
            **common, task="outer", reason="TaskFailed", message="m", retry=99.0, nested=True
        )
        append(store, run, again)
        number, kind, snapshot = await client.message()
        assert (number, kind) == (5, "snapshot")
        (task,) = snapshot["run_details"]["task_details"]
        assert (task["display_name"], task["state"]) == ("outer", "PENDING")


async def test_the_clients_end_when_the_service_does(
    context: Context, new_run: Callable[..., Run], follow: Follow
) -> None:
    async with follow(new_run()) as client:
        await client.message()
        context.watchers.close()
        async with asyncio.timeout(60):
            while not client.ended:
                await client.sent.get()


async def test_a_client_that_leaves_is_forgotten(
    context: Context, new_run: Callable[..., Run], follow: Follow
) -> None:
    async with follow(new_run()) as client:
        await client.message()
    assert context.watchers._watches == {}


async def test_a_client_that_takes_nothing_is_cut_off(
    context: Context, store: Store, new_run: Callable[..., Run], follow: Follow, monkeypatch: Any
) -> None:
    monkeypatch.setattr(watching.EventStream.__init__, "__kwdefaults__", {"patience": 0.01})
    run = new_run()
    async with follow(run) as client:
        await client.message()
        client.stuck = True
        await asyncio.to_thread(append, store, run, started(run))
        async with asyncio.timeout(60):
            while context.watchers._watches:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        assert not client.ended


async def test_silence_is_broken_by_comments(
    new_run: Callable[..., Run], follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT", 0.01)
    async with follow(new_run()) as client:
        await client.message()
        async with asyncio.timeout(60):
            assert await client.sent.get() == b":\n\n"


def test_no_more_than_so_many(context: Context, store: Store, new_run: Callable[..., Run]) -> None:
    full = dataclasses.replace(context, watchers=Watchers(store.runs.subscribe, most=0))
    reply = TestClient(api.application(full)).get(f"/apis/v2beta1/runs/{new_run().run_id}:watch")
    assert reply.status_code == 503
    assert "0 clients" in reply.json()["message"]


def test_large_messages_go_in_pieces() -> None:
    async def told() -> Any:
        yield b"x" * 200_000

    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()

    asyncio.run(watching.EventStream(told())({"type": "http", "method": "GET"}, receive, send))
    assert [len(piece) for piece in sent] == [0, 65536, 65536, 65536, 3392, 0]
