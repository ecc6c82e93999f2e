"""The balancer as a process of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import process, proxy

from ..waiting import PATIENCE


@pytest.fixture
def network(request):
    """Loopback addresses that no other worker of this run has."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    return f"127.242.{int(worker.removeprefix('gw'))}"


@pytest.fixture
async def unit(network):
    """A unit at .1 that answers every connection; its port."""

    async def answer(reader, writer):
        writer.write(b"unit")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, f"{network}.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def balancer(tmp_path):
    made = proxy.Proxy(tmp_path / "proxy")
    yield made
    await made.stop()
    assert made.identity is None


async def ask(address, port):
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            return await reader.read()
        finally:
            writer.close()


async def test_routes_come_and_go(balancer, network, unit):
    route = proxy.Route(f"{network}.9", unit, ((f"{network}.1", unit),))
    assert await balancer.apply([route]) == {}
    assert await ask(f"{network}.9", unit) == b"unit"
    first = balancer.identity
    assert await balancer.apply([]) == {}
    with pytest.raises(ConnectionRefusedError):
        await ask(f"{network}.9", unit)
    assert balancer.identity == first


async def test_what_is_taken_is_told_and_taken_up_when_free(balancer, network, unit):
    route = proxy.Route(f"{network}.9", unit, ((f"{network}.1", unit),))
    with socket.create_server((f"{network}.9", unit)):
        assert await balancer.apply([route]) == {f"{network}.9:{unit}": "Address already in use"}
    assert await balancer.apply([route]) == {}
    assert await ask(f"{network}.9", unit) == b"unit"


async def test_a_killed_balancer_is_started_again(balancer, network, unit):
    route = proxy.Route(f"{network}.9", unit, ((f"{network}.1", unit),))
    await balancer.apply([route])
    first = balancer.identity
    assert first
    os.kill(first.pid, signal.SIGKILL)
    await balancer.apply([route])
    assert balancer.identity not in (None, first)
    assert await ask(f"{network}.9", unit) == b"unit"


async def test_it_outlives_its_controller_and_is_adopted(balancer, network, unit, tmp_path):
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from sandbox import proxy\n"
        f"route = proxy.Route('{network}.9', {unit}, (('{network}.1', {unit}),))\n"
        "asyncio.run(proxy.Proxy(Path(sys.argv[1])).apply([route]))\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "proxy")
    )
    assert await asyncio.wait_for(owner.wait(), PATIENCE) == -signal.SIGKILL
    first = balancer.identity
    assert first
    assert await ask(f"{network}.9", unit) == b"unit"
    await balancer.apply([])
    assert balancer.identity == first


async def test_a_second_one_in_the_same_folder_ends_at_once(balancer):
    await balancer.apply([])
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(proxy.PROGRAM), str(balancer.folder)),
        stderr=subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(second.communicate(), PATIENCE)
    assert second.returncode == 3
    assert b"another balancer" in said


async def test_a_damaged_file_keeps_the_old_routes(balancer, network, unit):
    route = proxy.Route(f"{network}.9", unit, ((f"{network}.1", unit),))
    await balancer.apply([route])
    (balancer.folder / "routes.json").write_text('{"routes": [')
    running = balancer.identity
    assert running
    running.signal(signal.SIGHUP)
    log = balancer.folder / "balancer.log"
    async with asyncio.timeout(PATIENCE):
        while "kept the old" not in log.read_text():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    assert await ask(f"{network}.9", unit) == b"unit"


async def test_its_end_is_waited_for(balancer):
    await asyncio.wait_for(balancer.ended(), PATIENCE)
    await balancer.apply([])
    waiting = asyncio.create_task(balancer.ended())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    running = balancer.identity
    assert running
    running.signal(signal.SIGKILL)
    await asyncio.wait_for(waiting, PATIENCE)
    assert balancer.identity is None


async def test_it_is_small_and_knows_nothing_of_tls(balancer):
    await balancer.apply([])
    running = balancer.identity
    assert running
    assert "libssl" not in read(running, "maps")
    lines = read(running, "smaps_rollup").splitlines()
    assert next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) < 15 * 1024


def read(identity, name):
    return Path(f"/proc/{identity.pid}/{name}").read_text()


async def test_its_folder_is_its_owners_alone(balancer):
    await balancer.apply([])
    assert balancer.folder.stat().st_mode & 0o777 == 0o700
    recorded = json.loads((balancer.folder / "process.json").read_text())
    assert process.Identity(**recorded) == balancer.identity


async def test_a_balancer_that_is_just_being_started_is_ended(balancer, network, unit):
    route = proxy.Route(f"{network}.9", unit, ((f"{network}.1", unit),))
    before = _children()
    starting = asyncio.ensure_future(balancer.apply([route]))
    await asyncio.to_thread(_await_another, before)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    async with asyncio.timeout(PATIENCE):
        await balancer.stop()
    assert _children() <= before


def _children():
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {child for task in tasks for child in (task / "children").read_text().split()}


def _await_another(before):
    deadline = time.monotonic() + PATIENCE
    while not _children() - before:
        assert time.monotonic() < deadline, "it is not started"
