from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tinykube.node.clock import Clock
from tinykube.node.handlers import Outcome, Result
from tinykube.node.prober import Prober

GOOD, BAD = Outcome(Result.SUCCESS), Outcome(Result.FAILURE, "no")
UNKNOWN = Outcome(Result.UNKNOWN, "what")


class Wound(Clock):
    """A clock that moves when somebody waits, and by nothing else."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Rig:
    """A prober whose probes give what a list says, then wait for ever."""

    def __init__(self, body: dict[str, Any], **outcomes: list[Outcome]) -> None:
        self.outcomes = {f"{name}Probe": list(found) for name, found in outcomes.items()}
        self.clock = Wound()
        self.events: list[str] = []
        self.looks: list[tuple[str, float]] = []
        self.states: list[tuple[bool, bool]] = []
        self.done = asyncio.Event()
        self.body = body
        self.prober = Prober(
            body,
            self.look,
            self.clock,
            1000.0,
            lambda type_, reason, message: self.events.append(message),
            lambda: self.states.append((self.prober.started, self.prober.ready)),
        )

    async def look(self, probe: Mapping[str, Any], seconds: float) -> Outcome:
        name = next(key for key, value in self.body.items() if value is probe)
        if not self.outcomes[name]:
            self.done.set()
            await asyncio.Event().wait()
        self.looks.append((name, self.clock.now - 1000))
        return self.outcomes[name].pop(0)

    async def run(self) -> None:
        task = asyncio.create_task(self.prober.run())
        end = asyncio.create_task(self.done.wait())
        await asyncio.wait((task, end), return_when=asyncio.FIRST_COMPLETED)
        for item in (task, end):
            item.cancel()
        await asyncio.wait((task, end))
        if task.done() and not task.cancelled():
            task.result()


async def test_ready_from_the_start_without_probes() -> None:
    rig = Rig({})

    await rig.prober.run()

    assert (rig.prober.started, rig.prober.ready, rig.prober.doomed) == (True, True, None)


async def test_liveness_must_fail_in_a_row() -> None:
    rig = Rig({"livenessProbe": {"periodSeconds": 5}}, liveness=[BAD, BAD, GOOD, BAD, BAD, BAD])

    await rig.run()

    assert rig.prober.doomed == "Liveness"
    assert [at for _, at in rig.looks] == [0, 5, 10, 15, 20, 25]
    assert rig.events == ["Liveness probe failed: no"] * 5


async def test_what_nobody_knows_decides_nothing() -> None:
    rig = Rig({"livenessProbe": {"failureThreshold": 2}}, liveness=[BAD, UNKNOWN, UNKNOWN, GOOD])

    await rig.run()

    assert rig.prober.doomed is None
    assert "Liveness probe errored and resulted in unknown state: what" in rig.events


async def test_readiness_comes_and_goes() -> None:
    rig = Rig(
        {"readinessProbe": {"successThreshold": 2, "failureThreshold": 2}},
        readiness=[GOOD, GOOD, BAD, BAD, GOOD, GOOD],
    )

    await rig.run()

    assert rig.states == [(True, False), (True, True), (True, False), (True, True)]
    assert rig.prober.doomed is None


async def test_the_start_comes_before_all_other_probes() -> None:
    rig = Rig(
        {"startupProbe": {"periodSeconds": 1, "failureThreshold": 9}, "livenessProbe": {"a": 1}},
        startup=[BAD, BAD, GOOD],
        liveness=[GOOD],
    )

    await rig.run()

    assert [name for name, _ in rig.looks] == ["startupProbe"] * 3 + ["livenessProbe"]
    assert rig.prober.started


async def test_a_start_that_fails() -> None:
    rig = Rig({"startupProbe": {"failureThreshold": 2}}, startup=[BAD, BAD])

    await rig.run()

    assert rig.prober.doomed == "Startup"
    assert not rig.prober.started


@pytest.mark.parametrize(("jump", "first"), [(0, 30), (-1000, 30), (10, 20)])
async def test_the_initial_delay_counts_from_the_start(jump: float, first: float) -> None:
    rig = Rig({"livenessProbe": {"initialDelaySeconds": 30}}, liveness=[GOOD])
    rig.clock.now += jump

    await rig.run()

    assert rig.looks[0][1] == first + jump


async def test_after_the_nodes_restart_it_is_as_it_was() -> None:
    rig = Rig({"startupProbe": {"a": 1}, "readinessProbe": {"a": 2}}, readiness=[])
    rig.prober.recall({"started": True, "ready": True})

    await rig.run()

    assert (rig.prober.started, rig.prober.ready) == (True, True)
    assert rig.states == []
