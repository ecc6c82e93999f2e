from __future__ import annotations

import asyncio

import pytest

from toolkit_pipelines.store.listeners import Listeners
from toolkit_pipelines.watchers import TooManyError, Watchers


async def test_what_other_threads_record_wakes_those_that_follow_that_run() -> None:
    store = Listeners()
    watchers = Watchers(store.subscribe)
    with watchers.watch("a") as watch, watchers.watch("a") as second, watchers.watch("b") as other:
        for each in (watch, second, other):
            # What was recorded before counts as a change.
            assert await each.changed(60)
        await asyncio.to_thread(store.tell, "a")
        await asyncio.to_thread(store.tell, "a")
        assert await watch.changed(60)
        assert await second.changed(60)
        # Twice told is one change, and the other run has none.
        assert not await watch.changed(0.01)
        assert not await other.changed(0.01)
    store.tell("a")


async def test_no_more_than_so_many() -> None:
    watchers = Watchers(Listeners().subscribe, most=2)
    with watchers.watch("a"), watchers.watch("b"):
        with pytest.raises(TooManyError, match="2 clients"):
            watchers.check()
        with pytest.raises(TooManyError), watchers.watch("a"):
            pass
    watchers.check()


async def test_the_end_wakes_all_and_lets_in_no_more() -> None:
    watchers = Watchers(Listeners().subscribe)
    with watchers.watch("a") as watch:
        assert await watch.changed(60)
        watchers.close()
        assert await watch.changed(60)
        assert watchers.closed
        with pytest.raises(TooManyError, match="ending"):
            watchers.check()
