"""The hook commands, built, and run as a charm runs them."""

import asyncio
import subprocess

import pytest

from minijuju import sockets
from minijuju.hooks import tools


async def fields(reader):
    """The fields of one message."""
    count = int.from_bytes(await reader.readexactly(4), "big")
    read = []
    for _ in range(count):
        size = int.from_bytes(await reader.readexactly(4), "big")
        read.append(await reader.readexactly(size))
    return read


@pytest.fixture
async def served(tmp_path):
    """A folder with a server that repeats what it was asked."""
    asked = []

    async def answer(reader, writer):
        asked.append(await fields(reader))
        reply = [b"7", b"out\xff" * 100_000, b"err"]
        writer.write(len(reply).to_bytes(4, "big"))
        for field in reply:
            writer.write(len(field).to_bytes(4, "big") + field)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, sock=sockets.listen(tmp_path / "socket"))
    yield tmp_path, asked
    server.close()


async def call(folder, *argv, stdin=b"", **env):
    # From the folder, since a socket's path is bounded and a test's is not.
    env = {"JUJU_AGENT_SOCKET_ADDRESS": "socket", "JUJU_CONTEXT_ID": "id", **env}
    return await asyncio.to_thread(
        subprocess.run,
        [str(tools.ensure() / argv[0]), *argv[1:]],
        input=stdin,
        capture_output=True,
        env=env,
        cwd=folder,
        timeout=90,
        check=False,
    )


async def test_a_call(served):
    folder, asked = served
    done = await call(folder, "config-get", "--format=json", "ä")
    assert done.returncode == 7
    assert done.stdout == b"out\xff" * 100_000
    assert done.stderr == b"err"
    assert asked == [[b"id", b"", b"config-get", b"--format=json", "ä".encode()]]


async def test_standard_input_and_files(served):
    folder, asked = served
    await call(folder, "relation-set", "--file", "-", stdin=b"a: b\n" * 50_000)
    assert asked[-1][1] == b"a: b\n" * 50_000
    (folder / "given").write_bytes(b"from: file\n")
    await call(folder, "state-set", "--file", "given")
    assert asked[-1][1] == b"from: file\n"
    (folder / "secret").write_bytes(b"hidden")
    await call(folder, "secret-add", "--owner", "unit", "abc#file=secret")
    assert asked[-1][2:] == [b"secret-add", b"--owner", b"unit", b"abc=hidden"]


async def test_without_a_hook_it_says_so(tmp_path):
    done = await call(tmp_path, "is-leader", JUJU_CONTEXT_ID="")
    assert done.returncode == 1
    assert b"only inside a hook" in done.stderr
    done = await call(tmp_path, "is-leader")
    assert done.returncode == 1
    assert b"cannot reach the controller" in done.stderr
    done = await call(tmp_path, "state-set", "--file", "nothing")
    assert b"cannot read nothing" in done.stderr


@pytest.mark.parametrize("reply", [b"", b"\0\0\0\3\0\0", b"\0\0\0\1\0\0\0\1x"])
async def test_an_answer_that_is_cut_off(tmp_path, reply):
    async def answer(reader, writer):
        # Read first: a server that closes before it has read is one that was not reached.
        await fields(reader)
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, sock=sockets.listen(tmp_path / "socket"))
    done = await call(tmp_path, "is-leader")
    server.close()
    assert done.returncode == 1
    assert done.stderr.startswith(b"ERROR the controller")


async def test_a_file_only_where_it_is_one(served):
    folder, asked = served
    await call(folder, "action-set", "a#file=secret")
    assert asked[-1][2:] == [b"action-set", b"a#file=secret"]
    await call(folder, "secret-add", "a=b#file=secret", "--", "c#file=secret")
    assert asked[-1][2:] == [b"secret-add", b"a=b#file=secret", b"--", b"c#file=secret"]


def test_every_command_is_there():
    folder = tools.ensure()
    assert {path.name for path in folder.iterdir()} == {*tools.NAMES, "hook-command"}
    assert {(folder / name).resolve() for name in tools.NAMES} == {folder / "hook-command"}
    # What is there is not made again.
    assert tools.find() == tools.ensure() == folder
