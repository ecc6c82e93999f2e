"""Charm code begins on so many units at once, and whoever waits or hangs holds up nobody."""

import asyncio

import pytest

from minijuju import turns


@pytest.fixture
def have():
    """Take turns: what began and what may end, by name."""
    began, ends, tasks = [], {}, []

    def take(shared, name):
        ends[name] = asyncio.Event()

        async def have():
            async with shared.turn():
                began.append(name)
                await ends[name].wait()

        tasks.append(asyncio.create_task(have()))
        return tasks[-1]

    return take, began, ends


async def pause():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_in_the_order_in_which_they_ask(have, monkeypatch):
    monkeypatch.setattr(turns, "MOMENT", 3600)
    take, began, ends = have
    shared = turns.Turns(2)
    tasks = [take(shared, name) for name in "abcd"]
    await pause()
    assert began == ["a", "b"]
    ends["b"].set()
    await pause()
    assert began == ["a", "b", "c"]
    # One that is cancelled while it waits or while it has its turn gives way.
    tasks[0].cancel()
    await pause()
    assert began == ["a", "b", "c", "d"]
    for name in "cd":
        ends[name].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    # All are free again, and no more than there were.
    tasks = [take(shared, name) for name in "efg"]
    await pause()
    assert began[4:] == ["e", "f"]
    tasks[2].cancel()
    for name in "ef":
        ends[name].set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_whoever_takes_longer_holds_up_nobody(have, monkeypatch):
    monkeypatch.setattr(turns, "MOMENT", 0.01)
    take, began, ends = have
    shared = turns.Turns(1)
    hangs = [take(shared, name) for name in "abc"]
    async with asyncio.timeout(20):
        while began != ["a", "b", "c"]:  # noqa: ASYNC110 - the clock is what is waited for
            await asyncio.sleep(0.01)
    monkeypatch.setattr(turns, "MOMENT", 3600)
    # Their late ends do not make room twice.
    for name in "abc":
        ends[name].set()
    await asyncio.gather(*hangs)
    after = [take(shared, name) for name in "de"]
    async with asyncio.timeout(20):
        while len(began) < 4:  # noqa: ASYNC110 - the clock is what is waited for
            await asyncio.sleep(0.01)
    await pause()
    assert began[3:] == ["d"]
    for name in "de":
        ends[name].set()
    await asyncio.gather(*after)


def test_as_many_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(turns.os, "sched_getaffinity", lambda pid: {0, 3, 5})
    shared = turns.Turns()
    assert shared._free._value == 3
