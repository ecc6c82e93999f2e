"""Pebbles are kept running: the container is a fake here."""

import asyncio
import socket
from typing import ClassVar

import pytest

from minijuju import pebble_api, supervisor
from sandbox.errors import SandboxError
from sandbox.spec import Exit, Limits, Spec


class Fake:
    """Containers that end when the test says so."""

    started: ClassVar[list]
    refuse: ClassVar[int]

    def __init__(self, spec):
        self.spec = spec
        self.ended = asyncio.Event()
        self.signals = []
        self.reason = None
        self.hosts = None

    @classmethod
    def start(cls, directory, spec):
        if cls.refuse:
            cls.refuse -= 1
            raise SandboxError("no room")
        cls.started.append(cls(spec))
        return cls.started[-1]

    @classmethod
    def adopt(cls, directory):
        return cls.started[-1] if cls.started else None

    def running(self):
        return not self.ended.is_set()

    def exit(self):
        return Exit(137, self.reason or "Error", 1.0) if self.ended.is_set() else None

    async def wait(self):
        await self.ended.wait()
        return self.exit()

    def signal(self, number):
        self.signals.append(number)

    def kill(self, reason=None):
        self.reason = reason
        self.ended.set()

    def set_hosts(self, hosts):
        self.hosts = hosts

    def remove(self):
        assert self.ended.is_set()


@pytest.fixture
def fake(monkeypatch):
    class Fresh(Fake):
        started: ClassVar = []
        refuse: ClassVar = 0

    monkeypatch.setattr(supervisor, "Container", Fresh)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(supervisor, "LAST_PAUSE", 0.002)
    return Fresh


@pytest.fixture
async def watched(fake, tmp_path):
    """A supervisor that is let go of at the end."""
    made = supervisor.Supervisor(
        "web",
        tmp_path,
        Spec(("pebble",), limits=Limits(processes=100)),
        lambda event: None,
        http=("127.0.0.1", 1),
        tell=(told := []).append,
    )
    made.told = told
    yield made
    await made.detach()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def test_a_pebble_that_ends_is_started_again(watched, fake, caplog):
    await watched.start()
    fake.started[0].ended.set()
    await until(lambda: len(fake.started) == 2)
    fake.started[1].ended.set()
    await until(lambda: len(fake.started) == 3)
    await until(lambda: watched.container is fake.started[2])
    assert "web: Pebble ended (Error, exit code 137)" in caplog.text


async def test_a_start_that_fails_is_tried_again(watched, fake, caplog):
    await watched.start()
    fake.refuse = 3
    fake.started[0].ended.set()
    await until(lambda: len(fake.started) == 2)
    assert caplog.text.count("cannot start Pebble: no room") == 3


async def test_the_first_start_that_fails_is_told(watched, fake):
    fake.refuse = 1
    with pytest.raises(SandboxError, match="no room"):
        await watched.start()


async def test_one_that_runs_is_adopted(watched, fake):
    running = fake.start(None, None)
    await watched.start()
    await watched.start()
    assert fake.started == [running]
    assert watched.container is running


async def test_one_that_ended_meanwhile_is_started_anew(watched, fake):
    fake.start(None, None).ended.set()
    await watched.start()
    assert len(fake.started) == 2


async def test_a_socket_that_was_left_is_taken_away(watched, fake, tmp_path):
    (tmp_path / "charm").mkdir()
    (tmp_path / "charm" / pebble_api.SOCKET).touch()
    await watched.start()
    assert not (tmp_path / "charm" / pebble_api.SOCKET).exists()


async def test_stopping_asks_first_and_kills_then(watched, fake):
    await watched.start()
    container = fake.started[0]
    await watched.stop(grace=0.01)
    assert container.signals == [15]
    assert container.reason == "Stopped"
    await asyncio.sleep(0.01)
    assert fake.started == [container]


async def test_letting_go_leaves_it_running(watched, fake):
    await watched.start()
    await watched.detach()
    assert fake.started[0].running()
    assert fake.started[0].signals == []


async def test_new_names_go_to_the_running_one_and_to_the_next(watched, fake):
    await watched.start()
    watched.set_hosts({"127.20.0.1": ("a",)})
    assert fake.started[0].hosts == {"127.20.0.1": ("a",)}
    fake.started[0].ended.set()
    await until(lambda: len(fake.started) == 2)
    assert fake.started[1].spec.hosts == {"127.20.0.1": ("a",)}


async def test_one_that_hangs_is_killed_after_three_probes(watched, fake, monkeypatch):
    monkeypatch.setattr(supervisor.workload, "PROBE_PERIOD", 0.001)
    answers = iter([True, False, False, True, False, False])

    async def healthy(self):
        try:
            return next(answers)
        except StopIteration:
            raise pebble_api.PebbleUnavailableError("hung") from None

    monkeypatch.setattr(pebble_api.Pebble, "healthy", healthy)
    await watched.start()
    await until(lambda: fake.started[0].reason == "Unhealthy")
    assert list(answers) == []


async def test_it_is_told_when_readiness_changes(fake, monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor.workload, "PROBE_PERIOD", 0.001)
    answers = iter([True, True, False, False, True])
    told = []

    async def healthy(self):
        return True

    async def ready(self):
        return next(answers, True)

    monkeypatch.setattr(pebble_api.Pebble, "healthy", healthy)
    monkeypatch.setattr(pebble_api.Pebble, "ready", ready)
    made = supervisor.Supervisor(
        "web",
        tmp_path,
        Spec(("pebble",)),
        lambda event: None,
        http=("127.0.0.1", 0),
        changed=lambda: told.append(made.ready),
    )
    await made.start()
    assert made.ready
    await until(lambda: len(told) == 2)
    assert told == [False, True]

    async def hung(self):
        raise pebble_api.PebbleUnavailableError("hung")

    monkeypatch.setattr(pebble_api.Pebble, "healthy", hung)
    await until(lambda: len(told) == 3)
    assert not made.ready
    await made.stop(0.01)


async def test_its_health_is_served_where_the_port_is_free(fake, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not supervisor.bindable("127.0.0.1", port)
        made = supervisor.Supervisor(
            "web", tmp_path, Spec(("pebble",)), lambda event: None, http=("127.0.0.1", port)
        )
        await made.start()
        assert fake.started[0].spec.command == ("pebble",)
        await made.stop(0.01)
    await made.start()
    assert fake.started[1].spec.command == ("pebble", "--http", f"127.0.0.1:{port}")
    await made.stop(0.01)


def test_a_long_log_is_cut_and_its_end_kept(tmp_path):
    log = tmp_path / "pebble.log"
    with log.open("ab") as writer:
        writer.write(b"old" * 1000 + b"newest")
        writer.flush()
        supervisor.rotate(log, limit=100)
        assert log.stat().st_size == 0
        writer.write(b"after")
        writer.flush()
    assert log.read_bytes() == b"after"
    older = (tmp_path / "pebble.log.1").read_bytes()
    assert older.endswith(b"newest")
    assert len(older) == 100


def test_a_short_log_is_left_alone(tmp_path):
    (tmp_path / "pebble.log").write_bytes(b"x" * 100)
    supervisor.rotate(tmp_path / "pebble.log", limit=100)
    supervisor.rotate(tmp_path / "none.log", limit=100)
    assert (tmp_path / "pebble.log").stat().st_size == 100


async def test_one_with_too_many_processes_is_told_of_and_may_be_given_more(watched, fake):
    await watched.start()
    watched.set_processes(200)
    fake.started[0].kill("TooManyProcesses")
    await until(lambda: len(fake.started) == 2)
    assert len(watched.told) == 1
    assert watched.told[0].startswith("the container web has reached 100 processes and threads")
    assert fake.started[1].spec.limits.processes == 200
    fake.started[1].kill()
    await until(lambda: len(fake.started) == 3)
    assert len(watched.told) == 1
