from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from sandbox import limits
from sandbox.container import Container
from sandbox.limits import LimitKeeper
from sandbox.spec import Limits

from ..waiting import PATIENCE
from .conftest import Runner

MIB = 1 << 20


@pytest.fixture
async def keeper() -> AsyncIterator[LimitKeeper]:
    made = LimitKeeper()
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait((task,))


async def ended(container: Container) -> tuple[int, str]:
    exit_ = await asyncio.wait_for(container.wait(), PATIENCE)
    return exit_.code, exit_.reason


def hungry(mib: int, then: str = "time.sleep(1000)") -> tuple[str, ...]:
    code = f"import time; held = bytearray({mib} << 20); held[::4096] = b'x' * len(held[::4096])"
    return ("python3", "-c", f"{code}; {then}")


async def test_memory_of_the_whole_tree(runner: Runner, keeper: LimitKeeper) -> None:
    python = " ".join(f"'{word}'" if " " in word else word for word in hungry(0)[:2])
    code = hungry(80)[2].replace('"', "")
    script = f'{python} "{code}" & {python} "{code}" & wait'
    container = runner.start("sh", "-c", script, limits=Limits(memory=120 * MIB))
    keeper.add(container)

    assert await ended(container) == (137, "OOMKilled")


async def test_within_the_limit_nothing_happens(runner: Runner, keeper: LimitKeeper) -> None:
    container = runner.start(
        *hungry(60, "time.sleep(1.2)"), limits=Limits(memory=120 * MIB, deadline=60)
    )
    keeper.add(container)

    assert await ended(container) == (0, "Completed")


async def test_the_deadline_holds_for_an_adopted_container(
    runner: Runner, keeper: LimitKeeper
) -> None:
    container = runner.start("sleep", "1000", limits=Limits(deadline=0.3))
    adopted = Container.adopt(container.directory)
    assert adopted is not None
    keeper.add(adopted)

    assert await ended(adopted) == (137, "DeadlineExceeded")


async def test_one_with_too_many_processes_is_killed(runner: Runner, keeper: LimitKeeper) -> None:
    script = "(for each in $(seq 200); do sleep 1000 & done); sleep 1000"
    container = runner.start("sh", "-c", script, limits=Limits(processes=64))
    keeper.add(container)

    assert await ended(container) == (137, "TooManyProcesses")


async def test_one_with_fewer_processes_than_allowed_is_not(
    runner: Runner, keeper: LimitKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_SPARSE", 0.05)
    script = "for each in $(seq 30); do sleep 1000 & done; sleep 0.5"
    container = runner.start("sh", "-c", script, limits=Limits(processes=64))
    keeper.add(container)

    assert await ended(container) == (0, "Completed")


async def test_one_without_limits_is_left_alone(runner: Runner, keeper: LimitKeeper) -> None:
    container = runner.start("sh", "-c", "exit 3")
    keeper.add(container)

    assert await ended(container) == (3, "Error")


def test_measures() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import subprocess as s; s.run(['sh', '-c', 'echo; read x; :'])"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = limits.tree(process.pid)
        assert len(pids) == 2
        assert os.getpid() not in pids
        assert 0 < limits.proportional(pids) <= limits.resident(pids)
        process.kill()
    assert limits.resident([process.pid]) == 0
    assert limits.proportional([process.pid]) == 0
