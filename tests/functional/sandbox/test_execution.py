"""Further commands in a running container."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest

from sandbox import limits, record
from sandbox.container import Container
from sandbox.execution import Execution, ExecutionError, execute, pids
from sandbox.limits import LimitKeeper
from sandbox.spec import Image, Limits

from ..waiting import PATIENCE
from .conftest import Runner, finish

SET_CHILD_SUBREAPER = 36


async def output(container: Container, *command: str) -> tuple[int, str]:
    execution = await execute(container, command, stdout=True)
    try:
        assert execution.stdout is not None
        text = (await execution.stdout.read()).decode()
        return await execution.wait(), text
    finally:
        await execution.close()


@pytest.fixture(params=["cold", "warm", "user"])
def container(request: pytest.FixtureRequest, runner: Runner, warm_image: Image) -> Container:
    match request.param:
        case "warm":
            code = "import time; time.sleep(1000)"
            return runner.start("python", "-c", code, image=warm_image, warm=True, cwd="/srv")
        case "user":
            return runner.start("sleep", "1000", user=1000, group=100, cwd="/srv")
    return runner.start("sleep", "1000", hostname="box", cwd="/srv", env={"COLOUR": "red"})


async def test_it_is_in_the_container(container: Container) -> None:
    names = "user mnt pid ipc uts"
    code, text = await output(
        container, "sh", "-c", f"pwd; for n in {names}; do readlink /proc/self/ns/$n; done"
    )

    assert code == 0
    where, *found = text.splitlines()
    assert where == "/srv"
    ours = [os.readlink(f"/proc/{container.pid}/ns/{name}") for name in names.split()]
    assert found == ours


async def test_it_has_no_privileges(container: Container) -> None:
    _, text = await output(
        container, "grep", "-E", "CapPrm|CapBnd|NoNewPrivs", "/proc/self/status"
    )

    assert text.split() == ["CapPrm:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


async def test_user_and_group(container: Container) -> None:
    _, text = await output(container, "sh", "-c", "id -u; id -g; id -un")

    assert text.split()[:2] == [str(container.spec.user), str(container.spec.group)]
    assert text.split()[2] == ("root" if container.spec.user == 0 else "user1000")


async def test_streams_environment_and_exit_code(runner: Runner) -> None:
    container = runner.start("sleep", "1000", env={"COLOUR": "red"})
    execution = await execute(
        container,
        ["sh", "-c", "cat; echo $COLOUR $MORE >&2; exit 7"],
        stdin=True,
        stdout=True,
        stderr=True,
        variables={"MORE": "1"},
    )

    assert execution.stdin
    assert execution.stdout
    assert execution.stderr
    execution.stdin.write(b"in\n")
    execution.stdin.close()

    assert await execution.stdout.read() == b"in\n"
    assert await execution.stderr.read() == b"red 1\n"
    assert await execution.wait() == 7
    await execution.close()


async def test_a_terminal(container: Container) -> None:
    script = "tty; read size; stty size; echo $size"
    execution = await execute(container, ["sh", "-c", script], terminal=True)
    assert execution.terminal is not None
    execution.resize(40, 120)
    assert execution.stdin
    assert execution.stdout
    execution.stdin.write(b"go\n")

    code = await asyncio.wait_for(execution.wait(), PATIENCE)

    text = (await execution.stdout.read()).decode()
    await execution.close()
    assert code == 0
    assert "/dev/pts/0" in text
    assert "40 120" in text


@pytest.mark.parametrize(("command", "code"), [("no-such", 127), ("/etc/passwd", 126)])
async def test_what_cannot_be_run(container: Container, command: str, code: int) -> None:
    with pytest.raises(ExecutionError, match=command) as caught:
        await execute(container, [command])

    assert caught.value.code == code


async def test_a_container_that_has_ended(runner: Runner) -> None:
    container = runner.start("true")
    await container.wait()

    with pytest.raises(ExecutionError, match="No such"):
        await execute(container, ["true"])


async def test_closing_ends_it(container: Container) -> None:
    execution = await execute(container, ["sh", "-c", "echo up; exec sleep 1000"], stdout=True)
    assert execution.stdout is not None
    assert await execution.stdout.readline() == b"up\n"

    await execution.close()

    assert "sleep 1000" not in (await output(container, "ps", "-o", "args", "--ppid", "0"))[1]


async def test_it_counts_for_the_memory_limit(runner: Runner) -> None:
    container = runner.start("sleep", "1000", limits=Limits(memory=64 << 20))
    keeper = LimitKeeper()
    keeper.add(container)
    watching = asyncio.create_task(keeper.run())
    code = "x = b'x' * (200 << 20); import time; time.sleep(1000)"

    execution = await execute(container, [f"{sys.base_prefix}/bin/python3", "-c", code])
    ended = await asyncio.wait_for(container.wait(), PATIENCE)

    await execution.close()
    watching.cancel()
    assert ended.reason == "OOMKilled"


async def test_who_closes_it_may_be_cancelled(container: Container) -> None:
    execution = await execute(container, ["sleep", "1000"])
    (helper,) = pids(container.directory)
    os.kill(helper, signal.SIGSTOP)  # It takes its time to end.

    closing = asyncio.create_task(execution.close())
    await asyncio.sleep(0.1)
    assert not closing.done()
    later = threading.Timer(0.3, os.kill, (helper, signal.SIGCONT))
    later.start()
    closing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await closing
    later.join()
    assert not pids(container.directory)
    assert helper not in record.children(os.getpid())


async def test_its_processes_are_known(container: Container) -> None:
    execution = await execute(container, ["sh", "-c", "echo up; sleep 1000; :"], stdout=True)
    assert execution.stdout is not None
    await execution.stdout.readline()

    found = limits.processes(container)
    names = {stat.name for pid in found if (stat := record.read_stat(pid))}
    # Not the helper, which is none of it and which nobody may look into.
    helpers = pids(container.directory)
    await execution.close()
    assert helpers
    assert not set(helpers) & set(found)

    assert container.pid in found
    assert "sh" in names
    assert limits.processes(container) == limits.tree(container.pid)


OWNER = textwrap.dedent(
    """\
    import asyncio, sys
    from pathlib import Path
    from sandbox.container import Container
    from sandbox.execution import execute

    async def main():
        container = Container.adopt(Path(sys.argv[1]))
        await execute(container, ["sleep", "1234"])
        print("up", flush=True)
        await asyncio.sleep(1000)

    asyncio.run(main())
    """
)


def test_it_dies_with_its_owner(runner: Runner) -> None:
    container = runner.start("sleep", "1000")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(container.directory)], stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"

    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()

    limit = time.monotonic() + PATIENCE
    while "sleep 1234" in asyncio.run(output(container, "ps", "ax", "-o", "args"))[1]:
        assert time.monotonic() < limit


@pytest.fixture
def adopter() -> Iterator[None]:
    """This process inherits, as an init would, what its descendants leave; and waits for none."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        pytest.skip(f"no subreaper: {os.strerror(ctypes.get_errno())}")
    before = set(record.children(os.getpid()))
    yield
    libc.prctl(SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    # What was killed and not waited for; what lives is somebody else's.
    for pid in set(record.children(os.getpid())) - before:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


@pytest.mark.usefixtures("adopter")
async def test_a_closed_command_does_not_keep_its_container(container: Container) -> None:
    execution = await execute(container, ["sleep", "1000"])
    await execution.close()
    container.kill()

    async with asyncio.timeout(PATIENCE):
        assert (await container.wait()).code == 137


@pytest.mark.usefixtures("adopter")
def test_a_dead_owners_command_does_not_keep_its_container(runner: Runner) -> None:
    """Whoever inherits it may never wait for it, and its PID namespace ends only without it."""
    container = runner.start("sleep", "1000")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(container.directory)], stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    (helper,) = record.children(owner.pid)
    (command,) = record.children(helper)

    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    container.kill()

    assert finish(container).code == 137
    # Waited for by the helper, which then ends itself.
    assert record.read_stat(command) is None
    limit = time.monotonic() + PATIENCE
    while (stat := record.read_stat(helper)) is not None and stat.state != "Z":
        assert time.monotonic() < limit
    assert stat is not None
    assert stat.parent == os.getpid()


async def test_the_helper_cannot_be_looked_into(container: Container) -> None:
    """A command of ours in the container must not lend it the host's files."""
    execution: Execution = await execute(container, ["sleep", "1000"])
    _, text = await output(container, "sh", "-c", "readlink /proc/[0-9]*/exe")
    await execution.close()

    # Nothing but the container's own programs, of which its PID 1 may be an interpreter.
    interpreters = [line for line in text.splitlines() if "python" in line]
    own = os.readlink(f"/proc/{container.pid}/exe")
    assert all(line == own for line in interpreters)
