from __future__ import annotations

import asyncio

import pytest

from toolkit_jobs import PodPhase, PodStatus, RefusedError
from toolkit_pipelines.pods import end_all

from .engine.conftest import FakePods

PATIENCE = 60.0


class Lingering(FakePods):
    """Pods that are there for a while after they were deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int | None]] = []

    async def delete(self, name: str, *, grace: int | None = None) -> None:
        await self._call()
        self.asked.append((name, grace))

    def leave(self, name: str) -> None:
        del self.statuses[name]
        for listener in self._listeners:
            listener(PodStatus(name, PodPhase.GONE))


async def test_it_waits_until_the_last_pod_is_gone() -> None:
    pods = Lingering()
    for name in ("a", "b"):
        pods.publish(PodStatus(name, PodPhase.RUNNING))
    # The API is away at first.
    pods.away = 1
    ending = asyncio.create_task(end_all(pods))
    async with asyncio.timeout(PATIENCE):
        while len(pods.asked) < 2:  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.01)
        assert pods.asked == [("a", 0), ("b", 0)]
        pods.leave("a")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ending.done()
        pods.leave("b")
        await ending


async def test_without_pods_there_is_nothing_to_wait_for() -> None:
    async with asyncio.timeout(PATIENCE):
        await end_all(Lingering())


async def test_a_refusal_is_told() -> None:
    class Refusing(Lingering):
        async def delete(self, name: str, *, grace: int | None = None) -> None:
            raise RefusedError(403, "Forbidden", "no")

    pods = Refusing()
    pods.publish(PodStatus("a", PodPhase.RUNNING))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RefusedError):
            await end_all(pods)
