"""A unit's agent: asks the uniter what is next, does it, and commits what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

from minijuju import (
    agent_hooks,
    agent_tasks,
    agent_upgrade,
    applications,
    models,
    statuses,
    uniter,
    units,
)
from minijuju.agent_clock import Clock
from minijuju.agent_code import CharmCode
from minijuju.agent_pod import Complete, UnitPod
from minijuju.agent_remote import remote
from minijuju.house import House
from minijuju.uniter import Life, Operation, Step

logger = logging.getLogger(__name__)


class Agent:
    """Runs one unit until it is gone or the task is cancelled.

    Cancelling lets go of the pod, which runs on; the hook at hand is killed and stays pending.

    Attributes:
        pod: the unit's.
    """

    def __init__(
        self,
        house: House,
        model: str,
        unit: str,
        *,
        complete: Complete,
        changed: Callable[[], None],
        bury: Callable[[units.Unit], None],
    ) -> None:
        self.pod = UnitPod(house, model, unit, complete)
        self._state = house.state
        self._model = model
        self._unit = unit
        self._bury = bury
        self._code = CharmCode(house, model, unit, self.pod, changed)
        self._clock = Clock()
        self._wake = asyncio.Event()

    # What the controller calls.

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    def kill(self) -> bool:
        """Kill the charm code that runs; it counts as failed. False: none runs."""
        return self._code.kill()

    @property
    def busy(self) -> bool:
        """Whether charm code runs."""
        return self._code.busy

    async def run(self) -> None:
        """Be the unit's agent; returns when the unit is gone from the model."""
        try:
            await self._code.server.start()
            while True:
                self._wake.clear()
                try:
                    pause = await self._turn()
                except sqlite3.OperationalError as error:
                    # A full disk, say: what was under way was rolled back and is done again.
                    logger.error("%s: the database refuses: %s", self._unit, error)
                    pause = 5.0
                if pause is None:
                    return
                if pause > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._next_event()
        finally:
            await self._code.server.stop()
            await self.pod.detach()

    async def _next_event(self) -> None:
        """Wait for a change of the model or for news of the workload."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        if self.pod.runtime is not None:
            waits.append(asyncio.ensure_future(self.pod.news(self.pod.runtime)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    # One turn.

    async def _turn(self) -> float | None:
        """Do one thing; seconds to wait before the next, None at the end of the unit."""
        unit = units.find(self._state, self._model, self._unit)
        model = models.get(self._state, self._model)
        if unit is None or model is None:
            await self.pod.remove()
            return None
        application = applications.get(self._state, self._model, unit.application)
        if self.pod.runtime is None and not unit.local.removed:
            pause = await self.pod.start(model, application, unit)
            if pause and unit.life is Life.DYING and not unit.local.installed:
                self._terminate(unit)
                return 0.01
            return pause
        wishes, due = remote(
            self._state,
            model,
            application,
            unit,
            charm=self.pod.charm,
            workload=self.pod.workload(unit.local),
            clock=self._clock,
        )
        operation = uniter.next_operation(unit.local, wishes)
        if operation is None:
            self._rest(unit)
            return self._clock.patience(model, unit.local, due)
        if isinstance(operation, uniter.RunHook):
            operation = uniter.RunHook(uniter.queued_hook(operation.hook, wishes))
        await self._execute(model, unit, operation)
        return 0.0

    def _rest(self, unit: units.Unit) -> None:
        """Say that nothing is to be done; a failed hook keeps its error."""
        failed = unit.local.pending is not None and unit.local.pending.step is Step.FAILED
        # Idle it is once every container has told that it is there.
        if not failed and unit.local.installed and self.pod.present:
            statuses.put(self._state, self._model, self._unit, "agent", "idle")

    async def _execute(self, model: models.Model, unit: units.Unit, operation: Operation) -> None:
        match operation:
            case uniter.RunHook():
                await agent_hooks.run(self._code, self._clock, model, unit, operation)
            case uniter.SkipHook():
                agent_hooks.skip(self._code, unit, operation)
            case uniter.RunTask():
                await agent_tasks.run(self._code, model, unit, operation)
            case uniter.FailTask():
                agent_tasks.fail(self._code, unit, operation)
            case uniter.Upgrade():
                await agent_upgrade.run(self._code, self._clock, model, unit, operation)
            case uniter.Terminate():
                self._terminate(unit)
            case _:
                with self._state.transaction():
                    self._code.save(uniter.succeed(unit.local, operation))

    def _terminate(self, unit: units.Unit) -> None:
        """Take the unit out of the model; what it had goes, but for storage that is kept."""
        with self._state.transaction():
            self._bury(unit)
