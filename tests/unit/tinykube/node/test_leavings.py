from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.container import Container
from sandbox.spec import Spec
from tinykube.node.clock import Clock
from tinykube.node.leavings import Leavings


class Hands(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.moved = asyncio.Condition()
        self.sleeping = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        async with self.moved:
            self.sleeping.set()
            await self.moved.wait_for(lambda: self.now >= until)

    async def waited(self) -> None:
        """Until somebody sleeps."""
        async with asyncio.timeout(30):
            await self.sleeping.wait()

    async def move(self, seconds: float) -> None:
        self.now += seconds
        self.sleeping.clear()
        async with self.moved:
            self.moved.notify_all()


@pytest.fixture
async def clock() -> Hands:
    return Hands()


@pytest.fixture
async def leavings(clock: Hands) -> AsyncIterator[Leavings]:
    made = Leavings(clock)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def ended(directory: Path) -> Container:
    container = await asyncio.to_thread(Container.start, directory, Spec(("/bin/true",)))
    await container.wait()
    return container


async def test_files_go_a_little_later_and_records_stay(
    tmp_path: Path, clock: Hands, leavings: Leavings
) -> None:
    first, second = await ended(tmp_path / "first"), await ended(tmp_path / "second")
    leavings.add("one", first)
    await clock.waited()
    await clock.move(0.5)
    leavings.add("two", second)
    assert (first.directory / "root").is_dir()
    await clock.move(0.6)
    # It sleeps again, for the second one.
    await clock.waited()
    assert not (first.directory / "root").exists()
    assert (second.directory / "root").is_dir()
    await clock.move(0.5)
    leavings.add("one", first)
    await clock.move(0.6)
    await clock.waited()
    assert not (second.directory / "root").exists()
    found = Container.adopt(first.directory)
    assert found is not None
    assert found.exit() == first.exit()


async def test_what_is_forgotten_or_gone_does_no_harm(
    tmp_path: Path, clock: Hands, leavings: Leavings, caplog: pytest.LogCaptureFixture
) -> None:
    kept, broken, last = [await ended(tmp_path / name) for name in ("kept", "broken", "last")]
    leavings.add("kept", kept)
    await leavings.forget("kept")
    await leavings.forget("unknown")
    leavings.add("broken", broken)
    leavings.add("last", last)
    (broken.directory / "hosts").unlink()
    (broken.directory / "hosts").mkdir()
    await clock.waited()
    clock.now += 0.5
    leavings.add("later", last)
    await clock.move(0.6)
    await clock.waited()
    assert not (last.directory / "root").exists()
    assert (kept.directory / "root").is_dir()
    assert "stay for now" in caplog.text
