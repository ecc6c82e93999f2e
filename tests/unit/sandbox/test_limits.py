from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import limits, record
from sandbox.container import Container
from sandbox.spec import Limits, Spec

PATIENCE = 30


def test_what_cannot_be_looked_into_counts_by_what_all_may_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Path.read_text

    def refuse(self: Path, *arguments: str, **options: str) -> str:
        if self.name == "smaps_rollup":
            raise PermissionError(13, "Permission denied")
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)

    assert limits.proportional([os.getpid()]) > 1 << 20


@pytest.mark.parametrize(
    ("most", "found"), [(2, True), (3, False), (100, False)], ids=["full", "not full", "far"]
)
def test_a_container_is_full_by_its_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, found: bool
) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 1/280 11206\n")
    monkeypatch.setattr(limits, "_LOAD", load)
    with subprocess.Popen(["sh", "-c", "read x; :"], stdin=subprocess.PIPE) as one:
        with subprocess.Popen(["sh", "-c", "read x; :"], stdin=subprocess.PIPE) as other:
            assert limits.crowded(lambda: [one.pid, other.pid], most) is found
            other.kill()
        one.kill()


def test_nobody_is_looked_at_while_the_machine_has_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 1/280 11206\n")
    monkeypatch.setattr(limits, "_LOAD", load)

    def roots() -> list[int]:
        raise AssertionError

    assert not limits.crowded(roots, 4096)


class Ended(Container):
    """One that is seen to have ended only when another has been begun in its folder."""

    def __init__(self, directory: Path, spec: Spec) -> None:
        super().__init__(directory, spec, record.Process(0, 0, "", time.time()))
        self.looked_at, self.replaced = threading.Event(), threading.Event()

    def running(self) -> bool:
        self.looked_at.set()
        assert self.replaced.wait(PATIENCE)
        return False


@pytest.fixture
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


async def test_one_that_takes_the_place_of_another_is_looked_at(
    tmp_path: Path, sleeping: subprocess.Popen[bytes]
) -> None:
    spec = Spec(("sleep", "1000"), limits=Limits(memory=1))
    keeper, first = limits.LimitKeeper(), Ended(tmp_path, spec)
    keeper.add(first)
    watching = asyncio.create_task(keeper.run())
    try:
        assert await asyncio.to_thread(first.looked_at.wait, PATIENCE)
        identity = record.identify(sleeping.pid, time.time())
        assert identity is not None
        keeper.add(Container(tmp_path, spec, identity))
        first.replaced.set()

        ended = await asyncio.to_thread(sleeping.wait, PATIENCE)
    finally:
        watching.cancel()
    assert ended == -signal.SIGKILL
    assert record.read_reason(tmp_path) == "OOMKilled"
