"""Containers that are made in advance: like any other, and nothing of the last one is in them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from sandbox import warm
from sandbox.container import Container
from sandbox.record import read_stat
from sandbox.spec import Image, Limits

from ..processes import processes
from ..waiting import PATIENCE
from .conftest import Runner, finish, wait_until_warm
from .test_warm import STATE

pytestmark = pytest.mark.usefixtures("no_cold_start")


def descendants(image: Image) -> list[int]:
    """The processes that an image's warm interpreter has made, the oldest first."""
    interpreter = warm._pool.find(image)
    assert interpreter is not None
    parents = {pid: stat.parent for pid in processes() if (stat := read_stat(pid)) is not None}
    # Bubblewrap waits for the interpreter that it has started.
    found = [pid for pid, parent in parents.items() if parent == interpreter._process.pid]
    for above in found:
        found += sorted(pid for pid, parent in parents.items() if parent == above)
    return found[1:]


def wait_for(image: Image, count: int) -> list[int]:
    limit = time.monotonic() + PATIENCE
    while len(found := descendants(image)) != count:
        assert time.monotonic() < limit, f"{count} processes expected, there are {found}"
        time.sleep(0.005)
    return found


def spare(image: Image) -> tuple[int, int]:
    """The monitor and the PID 1 that wait for a request, once nothing else is left."""
    monitor, first = wait_for(image, 2)
    return monitor, first


def start(
    runner: Runner, image: Image, code: str = "print('ran')", **options: object
) -> Container:
    return runner.start("python", "-c", code, image=image, warm=True, **options)


@pytest.fixture
def last(runner: Runner, warm_image: Image) -> Container:
    """A container that has ended, after which the next one is made."""
    started = start(runner, warm_image)
    finish(started)
    return started


def test_the_next_one_is_there_already(runner: Runner, warm_image: Image, last: Container) -> None:
    _, first = spare(warm_image)

    started = start(runner, warm_image)

    assert started.pid == first
    assert finish(started).code == 0
    assert runner.output(started) == "ran\n"
    assert spare(warm_image)[1] != first


def test_while_the_last_one_still_runs(runner: Runner, warm_image: Image) -> None:
    lasting = start(runner, warm_image, "import time; time.sleep(1000)")

    found = wait_for(warm_image, 4)

    started = start(runner, warm_image)
    assert started.pid in found
    assert started.pid != lasting.pid
    assert finish(started).code == 0


def test_its_state_is_a_new_ones(runner: Runner, warm_image: Image) -> None:
    outputs = []
    for is_first in (True, False):
        if not is_first:
            spare(warm_image)
        started = start(
            runner,
            warm_image,
            f"{STATE}print([line.split()[1] for line in open('/proc/mounts')])",
            env={"A": "b"},
            hostname="here",
            hosts={"127.3.3.3": ("x",)},
        )
        finish(started)
        outputs.append(runner.output(started))

    assert "127.3.3.3 x" in outputs[0]
    assert outputs[0] == outputs[1]


def test_nothing_of_the_last_one_is_in_it(runner: Runner, warm_image: Image) -> None:
    """Neither its variables, its words nor the paths of its mounts, in all of its memory."""
    secret = "drawn-from-the-last-one"
    code = """\
import os
wanted = os.environ["WANTED"][::-1].encode()
found = 0
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps.read().splitlines():
        area, rights = line.split()[:2]
        if "r" not in rights or "[v" in line:
            continue
        begin, end = (int(each, 16) for each in area.split("-"))
        try:
            memory.seek(begin)
            found += memory.read(end - begin).count(wanted)
        except (OSError, OverflowError, ValueError):
            print("cannot read", line)
# Once as it was put together here.
print("found", found - 1)
"""
    finish(start(runner, warm_image, f"# {secret}", env={"SECRET": secret}))
    _, first = spare(warm_image)

    started = start(runner, warm_image, code, env={"WANTED": secret[::-1]})
    assert started.pid == first
    finish(started)

    assert runner.output(started) == "found 0\n"


@pytest.mark.parametrize(
    "options",
    [{"user": 5}, {"group": 7}, {"limits": Limits(memory=64 * 2**20)}],
    ids=["user", "group", "memory"],
)
def test_one_that_asks_for_another_has_another(
    runner: Runner, warm_image: Image, last: Container, options: dict[str, object]
) -> None:
    _, first = spare(warm_image)
    code = """\
import os
size = os.statvfs("/dev/shm")
print(os.getuid(), os.getgid(), size.f_blocks * size.f_frsize == 64 * 2**20)
"""
    started = start(runner, warm_image, code, **options)

    assert started.pid != first
    finish(started)
    user, group = options.get("user", 0), options.get("group", 0)
    assert runner.output(started) == f"{user} {group} {'limits' in options}\n"
    # It waits on for one like the last.
    assert start(runner, warm_image).pid == first


@pytest.mark.parametrize("which", [0, 1], ids=["monitor", "PID 1"])
def test_one_that_was_killed_is_not_missed(
    runner: Runner, warm_image: Image, last: Container, which: int
) -> None:
    killed = spare(warm_image)[which]
    os.kill(killed, signal.SIGKILL)
    limit = time.monotonic() + PATIENCE
    while (stat := read_stat(killed)) is not None and stat.state not in "ZX":
        assert time.monotonic() < limit
        time.sleep(0.001)

    started = start(runner, warm_image)

    assert finish(started).code == 0
    assert runner.output(started) == "ran\n"


@pytest.mark.parametrize(
    "end",
    [
        lambda image: warm.close(),
        lambda image: os.kill(warm._pool.find(image)._process.pid, signal.SIGKILL),  # type: ignore[union-attr]
    ],
    ids=["closed", "killed"],
)
def test_it_ends_with_its_interpreter(
    runner: Runner, warm_image: Image, last: Container, end: Callable[[Image], None]
) -> None:
    both = spare(warm_image)

    end(warm_image)

    limit = time.monotonic() + PATIENCE
    while set(both) & processes().keys():
        assert time.monotonic() < limit, "a container in advance outlives its interpreter"
        time.sleep(0.01)


def test_one_that_nobody_asks_for_ends(
    runner: Runner, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_KEPT", 0.5)
    warm.prestart(image)
    wait_until_warm(image)
    try:
        finish(start(runner, image))
        spare(image)

        wait_for(image, 0)

        started = start(runner, image)
        assert finish(started).code == 0
    finally:
        warm.close()
