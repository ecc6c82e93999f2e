"""The probes of one run of a container, and what follows from them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from tinykube.node.clock import Clock
from tinykube.node.handlers import Outcome, Result

Kind = Literal["Startup", "Liveness", "Readiness"]
Look = Callable[[Mapping[str, Any], float], Awaitable[Outcome]]


class Prober:
    """Probes a container; `run` is its task and ends with `doomed` set, or never.

    Args:
        body: the container as the pod's spec has it.
        look: runs a probe once, within so many seconds.
        clock: the node's.
        began: when the run began, in seconds since the epoch.
        event: records an Event about the pod: type, reason, message.
        changed: called when `started` or `ready` changes.

    Attributes:
        started: True once its start is over.
        ready: True while it can serve.
        doomed: the probe for which it is to be killed.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        look: Look,
        clock: Clock,
        began: float,
        event: Callable[[str, str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._body = body
        self._look = look
        self._clock = clock
        self._began = began
        self._event = event
        self._changed = changed
        self.started = False
        self.ready = False
        self.doomed: Kind | None = None

    def recall(self, known: Mapping[str, Any]) -> None:
        """Believe what was known before the node's restart, until a probe says otherwise."""
        self.started = bool(known.get("started"))
        self.ready = bool(known.get("ready"))

    async def run(self) -> None:
        """Probe until something is fatal; without probes of that kind, for ever."""
        startup = self._body.get("startupProbe")
        if startup and not self.started:
            await self._repeat("Startup", startup)
            if self.doomed:
                return
        self._set(started=True)
        kinds: tuple[tuple[Kind, str], ...] = (
            ("Liveness", "livenessProbe"),
            ("Readiness", "readinessProbe"),
        )
        others = [
            asyncio.create_task(self._repeat(kind, found))
            for kind, name in kinds
            if (found := self._body.get(name))
        ]
        if not self._body.get("readinessProbe"):
            self._set(ready=True)
        if not others:
            return
        try:
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                if task.done():
                    task.result()
        finally:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    async def _repeat(self, kind: Kind, probe: Mapping[str, Any]) -> None:
        """Look again and again; returns when the start is over or the container is doomed."""
        delay = probe.get("initialDelaySeconds", 0) - (self._clock.time() - self._began)
        if delay > 0:
            await self._clock.sleep(min(delay, probe.get("initialDelaySeconds", 0)))
        count, last = 0, Result.UNKNOWN
        while True:
            outcome = await self._look(probe, float(probe.get("timeoutSeconds", 1)))
            if outcome.result is Result.UNKNOWN:
                text = f"{kind} probe errored and resulted in unknown state: {outcome.message}"
                self._event("Warning", "Unhealthy", text)
            else:
                count = count + 1 if outcome.result is last else 1
                last = outcome.result
                if not outcome.good:
                    text = f"{kind} probe failed: {outcome.message}"
                    self._event("Warning", "Unhealthy", text)
                if self._judge(kind, probe, outcome, count):
                    return
            await self._clock.sleep(float(probe.get("periodSeconds", 10)))

    def _judge(self, kind: Kind, probe: Mapping[str, Any], outcome: Outcome, count: int) -> bool:
        """True if this probe is over."""
        name = "successThreshold" if outcome.good else "failureThreshold"
        if count < probe.get(name, 1 if outcome.good else 3):
            return False
        if kind == "Readiness":
            self._set(ready=outcome.good)
            return False
        if outcome.good:
            return kind == "Startup"
        self.doomed = kind
        return True

    def _set(self, *, started: bool | None = None, ready: bool | None = None) -> None:
        before = self.started, self.ready
        self.started = self.started if started is None else started
        self.ready = self.ready if ready is None else ready
        if before != (self.started, self.ready):
            self._changed()
