"""What the kernel makes of the bound on a container's processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable

import pytest

from sandbox import bubblewrap, gate
from sandbox.execution import execute
from sandbox.spec import Image, Limits

from ..waiting import PATIENCE
from .conftest import Runner, finish

NOBODY = 65534
MOST = 40
LIMIT = "import resource; print(*resource.getrlimit(resource.RLIMIT_NPROC), flush=True)"
# Each round makes one more process; a shell that cannot ends.
MANY = "for each in $(seq {count}); do sleep 60 & done; echo made them"


def run(most: int | None, count: int) -> tuple[int, str]:
    """Run a shell that makes processes in a container; its exit code and what it printed.

    As a user who is not the machine's root: the kernel exempts that one.
    """
    said, saying = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setresgid(*[NOBODY] * 3)
                os.setresuid(*[NOBODY] * 3)
            os.write(saying, json.dumps(_run(most, count)).encode())
        finally:
            os._exit(0)
    os.close(saying)
    with os.fdopen(said) as stream:
        code, output = json.load(stream)
    os.waitpid(pid, 0)
    return code, output


def _run(most: int | None, count: int) -> tuple[int, str]:
    options = ["--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--as-pid-1"]
    options += ["--ro-bind", "/usr", "/usr", "--dev", "/dev", "--symlink", "usr/bin", "/bin"]
    options += ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    command = ["/bin/sh", "-c", MANY.format(count=count)]
    with gate.Gate(most) as before:
        process = subprocess.Popen(
            [str(bubblewrap.find()), *options, *before.options, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=before.descriptors,
            cwd="/",
        )
        before.lift()
        output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


@pytest.fixture
def other_user() -> None:
    if not gate.counted():
        pytest.skip("this kernel counts the processes of all of a user's containers together")
    if os.getuid() == 0 and any(
        not folder.stat().st_mode & 0o001 for folder in bubblewrap.find().parents
    ):
        pytest.skip("another user than root cannot reach bubblewrap")


@pytest.mark.usefixtures("other_user")
def test_there_are_no_more_processes_than_allowed() -> None:
    code, output = run(MOST, 2 * MOST)

    assert code != 0
    # "Cannot fork", or "fork: Resource temporarily unavailable".
    assert "fork" in output
    assert "made them" not in output


@pytest.mark.usefixtures("other_user")
def test_each_container_is_counted_by_itself() -> None:
    others = [subprocess.Popen(["sleep", "60"]) for _ in range(MOST)]
    try:
        assert run(MOST, MOST // 2) == (0, "made them\n")
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.usefixtures("other_user")
def test_without_a_bound_there_is_no_gate() -> None:
    assert run(None, 2 * MOST) == (0, "made them\n")


def test_a_bubblewrap_that_ends_at_once_is_not_waited_for() -> None:
    with gate.Gate(MOST) as before:
        process = subprocess.Popen(
            [str(bubblewrap.find()), "--no-such-option", *before.options],
            stderr=subprocess.DEVNULL,
            pass_fds=before.descriptors,
        )
        before.lift()
        assert process.wait(PATIENCE) != 0


def test_a_container_that_starts_cold_has_its_limit(runner: Runner) -> None:
    container = runner.start("python3", "-c", LIMIT, limits=Limits(processes=77))

    assert finish(container).code == 0
    assert runner.output(container) == "77 77\n"


def test_one_that_starts_warm_has_it_too(
    runner: Runner, warm_image: Image, no_cold_start: Callable[[], None]
) -> None:
    options = {"image": warm_image, "warm": True, "limits": Limits(processes=77)}
    container = runner.start("python", "-c", LIMIT, **options)

    assert finish(container).code == 0
    assert runner.output(container) == "77 77\n"


async def test_further_commands_in_it_have_it_too(runner: Runner) -> None:
    container = runner.start("sleep", "1000", limits=Limits(processes=77))
    execution = await execute(container, ["python3", "-c", LIMIT], stdout=True)

    assert execution.stdout is not None
    assert await asyncio.wait_for(execution.stdout.read(), PATIENCE) == b"77 77\n"
    assert await asyncio.wait_for(execution.wait(), PATIENCE) == 0
    await execution.close()
