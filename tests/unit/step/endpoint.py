"""The service's routes for steps on a real socket, and a wire to them that a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from toolkit_identity import Guard
from toolkit_objects import PART, ObjectStore
from toolkit_pipelines import steps
from toolkit_pipelines.root import Attempt, PipelineRoot
from toolkit_pipelines.steps import Exchange, StepTokens

PATIENCE = 60
TOKENS = StepTokens(b"key")
PRODUCER = Attempt("p/run", "p/run/load", "0" * 16)
ATTEMPT = Attempt("p/run", "p/run/train", "1" * 16)


class Endpoint:
    """One attempt's service.

    Attributes:
        folder: what the service has, its side of the root.
        root: the root as the step sees it, elsewhere.
        answers: statuses to give instead of the next answers, by method and part of the path.
    """

    def __init__(self, folder: Path, store: ObjectStore | None = None) -> None:
        self.folder = folder / "service"
        self.folder.mkdir()
        self.place = folder / "step"
        self.root = PipelineRoot(self.folder, str(self.place))
        self.exchange = Exchange(self.root, store)
        self.token = TOKENS.issue("run", "pod")
        self.answers: list[tuple[str, str, int]] = []
        self.asked: list[str] = []
        self.task: dict[str, Any] = {
            "version": "1",
            "root": str(self.place),
            "folder": f"{self.place}/{ATTEMPT.folder}",
            "executor_input": {
                "inputs": {"parameterValues": {}, "artifacts": {}},
                "outputs": {
                    "parameters": {},
                    "artifacts": {},
                    "outputFile": f"{self.place}/{ATTEMPT.folder}/executor_output.json",
                },
            },
            "output_types": {},
            "command": ["true"],
            "constants": {},
            "written_inputs": [],
            "environment": None,
            "install": None,
            "part_size": PART if store else 0,
            "certificates": store.certificates if store else "",
        }
        self.prepare()
        (self.folder / PRODUCER.folder).mkdir(parents=True)

    def under_way(self, run_id: str, pod: str) -> Attempt | None:
        return ATTEMPT if (run_id, pod) == ("run", "pod") else None

    def prepare(self) -> None:
        self.root.prepare(ATTEMPT, self.task)

    def input(self, name: str) -> Path:
        """Add an input artifact; give where its content goes."""
        uri = f"{self.place}/{PRODUCER.folder}/{name}"
        artifact = {"name": name, "type": {}, "uri": uri, "metadata": {}}
        self.task["executor_input"]["inputs"]["artifacts"][name] = {"artifacts": [artifact]}
        self.prepare()
        return self.folder / PRODUCER.folder / name

    def output(self, name: str) -> str:
        """Add an output artifact; give its path in the step."""
        uri = f"{self.place}/{ATTEMPT.folder}/{name}"
        artifact = {"name": name, "type": {}, "uri": uri, "metadata": {}}
        self.task["executor_input"]["outputs"]["artifacts"][name] = {"artifacts": [artifact]}
        self.prepare()
        return uri

    def delivered(self, name: str) -> Path:
        return self.folder / ATTEMPT.folder / name

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        what = f"{scope['method']} {scope['path'].rpartition('/')[2]}"
        self.asked.append(what)
        for answer in self.answers:
            method, path, status = answer
            if what == f"{method} {path}":
                self.answers.remove(answer)
                start = {"type": "http.response.start", "status": status, "headers": []}
                await send(start)
                await send({"type": "http.response.body", "body": b'{"message": "on purpose"}'})
                return
        await self._guarded(scope, receive, send)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Wire]:
        self._guarded = Guard(
            steps.application(self.exchange, self), tokens=TOKENS, allowed_hosts=["127.0.0.1"]
        )
        config = uvicorn.Config(
            self.app, interface="asgi3", log_config=None, lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with Wire(listener.getsockname()[1]) as wire:
                yield wire
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            listener.close()


class Wire:
    """Forwards connections to a port.

    Attributes:
        cuts: (bytes up, bytes down) after which the next connections are cut; None for never.
        corrupt: the next connection that brings more than this many bytes up has one changed.
        breaks: (bytes, upwards or not) at which connections that come that far are cut, one each.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.cuts: list[tuple[int | None, int | None]] = []
        self.corrupt: int | None = None
        self.breaks: list[tuple[int, bool]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Wire:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self._server = starting.result(PATIENCE)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/steps/v1"
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up, down = self.cuts.pop(0) if self.cuts else (None, None)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            ways = [
                asyncio.ensure_future(self._pass(reader, there_writer, up, upwards=True)),
                asyncio.ensure_future(self._pass(there_reader, writer, down)),
            ]
            # The end of either is the end of both: that is what a cut looks like.
            with contextlib.suppress(asyncio.CancelledError):
                # Cancelled at the end, if a client keeps its connection.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for each in (writer, there_writer):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limit: int | None,
        *,
        upwards: bool = False,
    ) -> None:
        passed = 0
        while chunk := await reader.read(64 * 1024):
            if limit is not None:
                chunk = chunk[: limit - passed]
            for each in self.breaks:
                if each[1] is upwards and passed + len(chunk) > each[0]:
                    self.breaks.remove(each)
                    return
            if upwards and self.corrupt is not None and passed + len(chunk) > self.corrupt:
                self.corrupt = None
                chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
            writer.write(chunk)
            await writer.drain()
            passed += len(chunk)
            if passed == limit:
                return
