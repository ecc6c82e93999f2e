"""The executables that a charm calls, run as it runs them."""

import asyncio
import subprocess

import pytest

from minijuju import sockets
from minijuju.hooks import tools
from minijuju.hooks.parser import UsageError, parse


@pytest.fixture
async def served(tmp_path):
    """A folder with the commands, and a server that repeats what it was asked."""
    tools.install(tmp_path)
    asked = []

    async def answer(reader, writer):
        count = int.from_bytes(await reader.readexactly(4), "big")
        fields = []
        for _ in range(count):
            size = int.from_bytes(await reader.readexactly(4), "big")
            fields.append(await reader.readexactly(size))
        asked.append(fields)
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
        [str(folder / "tools" / argv[0]), *argv[1:]],
        input=stdin,
        capture_output=True,
        env=env,
        cwd=folder,
        timeout=30,
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
    tools.install(tmp_path)
    done = await call(tmp_path, "is-leader", JUJU_CONTEXT_ID="")
    assert done.returncode == 1
    assert b"only inside a hook" in done.stderr
    done = await call(tmp_path, "is-leader")
    assert done.returncode == 1
    assert b"cannot reach the controller" in done.stderr
    done = await call(tmp_path, "state-set", "--file", "nothing")
    assert b"cannot read nothing" in done.stderr


def test_installing_again_changes_nothing(tmp_path):
    tools.install(tmp_path)
    before = (tmp_path / "hook-command").stat().st_ino
    tools.install(tmp_path)
    assert (tmp_path / "hook-command").stat().st_ino == before
    (tmp_path / "hook-command").write_text("broken")
    tools.install(tmp_path)
    assert (tmp_path / "hook-command").read_text().startswith("#!")


def test_parsing():
    found = parse(
        ["a", "-r", "1", "--app", "--x=y", "-", "--", "--z"], {"r": "relation", "x": "x"}, ["app"]
    )
    assert found.rest == ("a", "-", "--z")
    assert (found.get("relation"), found.get("x"), found.on("app")) == ("1", "y", True)
    assert not parse(["--app=False"], {}, ["app"]).on("app")
    for wrong in (["--r"], ["--nothing"], ["-q"]):
        with pytest.raises(UsageError):
            parse(wrong, {"r": "r"})
    with pytest.raises(UsageError):
        parse(["--app=perhaps"], {}, ["app"]).on("app")
