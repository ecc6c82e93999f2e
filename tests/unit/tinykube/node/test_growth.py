from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tinykube.node import growth, timeline
from tinykube.node.growth import Growth


async def running(made: Growth) -> asyncio.Task[None]:
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    return task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def write(path: Path, text: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(text)


async def test_growth_is_noted_when_it_happens(tmp_path: Path) -> None:
    made, log = Growth(), tmp_path / "0.log"
    log.touch()
    task = await running(made)
    made.add(log)
    for size in (2, 4):
        with made.following(log) as grown:
            write(log, b"x\n")
            async with asyncio.timeout(30):
                await grown.wait()
        assert timeline.read(log).sizes[-1] == size

    found = timeline.read(log)
    await ended(task)

    assert found.sizes == (2, 4)
    assert found.moments[0] < found.moments[1]
    assert timeline.times_of(log).stat().st_mode & 0o777 == 0o600


async def test_growth_is_told(tmp_path: Path) -> None:
    told = asyncio.Event()
    made, log = Growth(told.set), tmp_path / "0.log"
    log.touch()
    task = await running(made)
    made.add(log)
    assert told.is_set()
    told.clear()

    write(log, b"x\n")
    async with asyncio.timeout(30):
        await told.wait()
    await ended(task)


async def test_what_was_written_meanwhile_has_the_time_of_the_last_write(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    write(log, b"before\n")
    os.utime(log, (100, 100))

    Growth().add(log)

    assert timeline.read(log).moment(0) == 100 * 10**9


async def test_the_end_wakes_who_follows(tmp_path: Path) -> None:
    made, log = Growth(), tmp_path / "0.log"
    log.touch()
    made.add(log)
    with made.following(log) as grown:
        write(log, b"last\n")
        made.finish(log)
        assert grown.is_set()

    assert timeline.read(log).sizes == (5,)


async def test_without_notifications_times_are_coarse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Without:
        @staticmethod
        def inotify_init1(flags: int) -> int:
            return -1

    monkeypatch.setattr(growth, "_libc", Without())
    made, log = Growth(), tmp_path / "0.log"
    log.touch()
    made.add(log)
    write(log, b"a\n")
    made.finish(log)

    assert not made.active
    assert timeline.read(log).sizes == (2,)


def test_a_torn_pair_is_taken_away(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    write(log, b"a\n")
    timeline.Recorder(log).note()
    write(timeline.times_of(log), b"\1\2\3")
    write(log, b"b\n")

    timeline.Recorder(log).note()

    assert timeline.read(log).sizes == (2, 4)


def test_a_log_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "KEPT", 64 * 1024)
    monkeypatch.setattr(timeline, "SLACK", 16 * 1024)
    log = tmp_path / "0.log"
    write(log, b"".join(b"line %06d\n" % n for n in range(10_000)))
    before = log.stat()
    recorder = timeline.Recorder(log)
    recorder.note()

    recorder.trim()

    assert log.stat().st_size == before.st_size
    with log.open("rb") as stream:
        begin = timeline.beginning(stream.fileno())
        assert 0 < before.st_size - begin <= 64 * 1024 + 4096
        stream.seek(begin)
        assert stream.read().endswith(b"line 009999\n")
