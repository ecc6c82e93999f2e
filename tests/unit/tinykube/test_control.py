import asyncio

import pytest

from tinykube import control
from tinykube.control import Loop
from tinykube.store import StorageError


class Counting(Loop):
    def __init__(self, registry, faults, loading=()):
        self.faults = list(faults)
        self.loading = list(loading)
        self.loads = 0
        self.done = asyncio.Event()
        super().__init__(registry)

    def load(self):
        self.loads += 1
        if self.loading:
            raise self.loading.pop(0)

    def step(self):
        if self.faults:
            raise self.faults.pop(0)
        self.done.set()
        return False


@pytest.mark.parametrize("fault", [StorageError("disk is full"), KeyError("odd object")])
async def test_a_failed_step_is_tried_again_from_what_is_stored(
    registry, monkeypatch, fault, caplog
):
    monkeypatch.setattr(control, "_RETRY_SECONDS", 0)
    loop = Counting(registry, [fault])
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await loop.done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert loop.loads == 2
    assert str(fault) in caplog.text


async def test_it_reads_until_it_can(registry, monkeypatch, caplog):
    monkeypatch.setattr(control, "_RETRY_SECONDS", 0)
    faults = [StorageError("disk is full"), KeyError("odd object")]
    loop = Counting(registry, [], faults)
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await loop.done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert loop.loads == 3
    assert all(str(fault) in caplog.text for fault in faults)


async def test_it_sleeps_until_woken(registry):
    loop = Counting(registry, [])
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await loop.done.wait()
        loop.done.clear()
        loop.wake()
        await loop.done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
