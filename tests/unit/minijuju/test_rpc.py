"""The controller's socket: what a client may send, and what it is told."""

import asyncio
import json
import threading

import pytest

from minijuju import rpc, sockets
from minijuju.errors import BadRequestError, NotFoundError
from minijuju.rpc_names import GREETING, reach


class Methods:
    def __init__(self):
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()

    async def echo(self, reply, text: str, times: int = 1) -> str:
        reply.progress("working")
        await reply.item(text)
        return text * times

    async def missing(self, reply) -> None:
        raise NotFoundError("no such thing")

    async def defect(self, reply) -> None:
        raise ZeroDivisionError("oh")

    async def forever(self, reply) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@pytest.fixture
async def served(tmp_path):
    methods = Methods()
    server = rpc.Server(
        tmp_path,
        {name: getattr(methods, name) for name in ("echo", "missing", "defect", "forever")},
    )
    await server.start()
    yield tmp_path, methods
    await server.close()


async def ask(folder, data):
    connection = sockets.connect(folder / rpc.SOCKET)
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    assert await reader.readline() == GREETING
    writer.write(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")
    answers = []
    async with asyncio.timeout(10):
        while True:
            answers.append(json.loads(await reader.readline()))
            if "result" in answers[-1] or "error" in answers[-1]:
                break
    writer.close()
    await writer.wait_closed()
    return answers


async def test_a_call(served):
    folder, _ = served
    answers = await ask(folder, {"method": "echo", "params": {"text": "a", "times": 2}})
    assert {"progress": "working"} in answers
    assert {"item": "a"} in answers
    assert answers[-1] == {"result": "aa"}
    assert (folder / rpc.SOCKET).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"method": "missing"}, "not-found"),
        ({"method": "defect"}, "failed"),
        ({"method": "nothing"}, "bad-request"),
        ({"method": "__class__"}, "bad-request"),
        ({"method": "echo"}, "bad-request"),
        ({"method": "echo", "params": {"text": 3}}, "bad-request"),
        ({"method": "echo", "params": {"text": "a", "times": True}}, "bad-request"),
        ({"method": "echo", "params": {"text": "a", "more": 1}}, "bad-request"),
        ({"method": "echo", "params": {"text": "a", "reply": 1}}, "bad-request"),
        ({"method": "echo", "params": []}, "bad-request"),
        ([], "bad-request"),
        (b"nonsense\n", "bad-request"),
        (b"\xff\xfe\n", "bad-request"),
    ],
)
async def test_what_is_wrong(served, request_, code):
    answers = await ask(served[0], request_)
    assert answers[-1]["error"]["code"] == code
    assert answers[-1]["error"]["message"]


async def test_a_client_that_goes_away_ends_what_it_asked_for(served):
    folder, methods = served
    connection = sockets.connect(folder / rpc.SOCKET)
    connection.sendall(b'{"method": "forever"}\n')
    async with asyncio.timeout(10):
        await methods.started.wait()
        connection.close()
        await methods.cancelled.wait()


async def test_a_socket_at_a_long_path(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    listener = sockets.listen(folder / "socket")
    sockets.connect(folder / "socket").close()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        sockets.connect(folder / "socket")


def test_kinds_of_parameters():
    async def method(
        reply,
        names: list[str],
        table: dict[str, str] = {},  # noqa: B006
        number: int | None = None,
        ratio: float = 1.0,
    ) -> None:
        pass

    rpc.check_params(method, {"names": ["a"], "table": {"a": "b"}, "number": 1, "ratio": 2})
    for wrong in (
        {"names": "a"},
        {"names": [1]},
        {"names": [], "table": {"a": 1}},
        {"names": [], "number": "1"},
        {"names": [], "ratio": "1"},
    ):
        with pytest.raises(BadRequestError):
            rpc.check_params(method, wrong)


async def test_a_controller_greets(served):
    (await asyncio.to_thread(reach, served[0])).close()


def test_a_socket_that_nobody_answers_at_is_no_controller(tmp_path):
    listener = sockets.listen(tmp_path / rpc.SOCKET)

    def cut_off():
        listener.accept()[0].close()

    thread = threading.Thread(target=cut_off)
    thread.start()
    with pytest.raises(ConnectionResetError):
        reach(tmp_path)
    thread.join()
    listener.close()
