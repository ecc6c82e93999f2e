from __future__ import annotations

import asyncio

import pytest

from tinykube.node import usage
from tinykube.node.usage import Meter

KEY = ("uid", "main")


class Source:
    """Containers that use one and a half processors and a MiB."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        monkeypatch.setattr(usage.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(usage, "_memory", lambda running: dict.fromkeys(running, 1 << 20))
        monkeypatch.setattr(
            usage,
            "_look_at",
            lambda running: {k: usage._Look(self.now, self.now * 1.5) for k in running},
        )

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.now += seconds

        monkeypatch.setattr(usage.asyncio, "sleep", sleep)


async def test_two_looks_make_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    source, meter = Source(monkeypatch), Meter()
    running = {KEY: None}

    first = await meter.containers(running)  # type: ignore[arg-type]
    source.now += 15
    second = await meter.containers(running)  # type: ignore[arg-type]
    source.now += 1000
    third = await meter.containers(running)  # type: ignore[arg-type]

    assert [first[KEY].cpu, second[KEY].cpu, third[KEY].cpu] == [1.5] * 3
    assert [first[KEY].window, second[KEY].window, third[KEY].window] == [0.5, 15, 0.5]
    assert source.slept == [0.5, 0.5]
    assert first[KEY].memory == 1 << 20


async def test_the_machine() -> None:
    found = await Meter().machine()

    assert found.cpu >= 0
    assert found.memory > 0
    assert asyncio.get_running_loop().is_running()
