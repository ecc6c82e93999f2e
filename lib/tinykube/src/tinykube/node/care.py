"""What is done about one run of a container while it lives: its hooks, its probes and its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.container import Container
from sandbox.spec import Exit
from tinykube.node import handlers
from tinykube.node.handlers import HookError, Outcome
from tinykube.node.prober import Prober
from tinykube.node.recipe import Context
from tinykube.node.runs import Runs

# What is left for the end after a hook before it that took all the time, as a kubelet has it.
_LEAST_GRACE = 2.0
_WATCHED = ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle")


class Care:
    """Takes care of the runs of one container.

    Args:
        context: what it shares with the pod's others.
        body: the container as the pod's spec has it.
        runs: what of its runs is on disk.
        again: tells whether it is run again after an end with this exit code.
    """

    def __init__(
        self,
        context: Context,
        body: Mapping[str, Any],
        runs: Runs,
        again: Callable[[int], bool],
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._body = body
        self._runs = runs
        self._again = again
        self.name: str = body["name"]
        self.none = not any(name in body for name in _WATCHED)

    def prober(self, container: Container | None, probed: Callable[[], None]) -> Prober:
        """The prober of a run; None stands for no run, which is never probed.

        Args:
            container: the run.
            probed: called whenever a probe has changed what is known.
        """

        async def look(probe: Mapping[str, Any], seconds: float) -> Outcome:
            if container is None:
                raise TypeError(f"container {self.name} is probed and does not run")
            address = self._context.host.serving
            return await handlers.probe(probe, self._body, container, address, seconds)

        began = 0.0 if container is None else container.started
        return Prober(self._body, look, self._clock, began, self._context.event, probed)

    async def watch(self, container: Container, prober: Prober, attempt: int) -> Exit:
        """Hook and probes of a run, until it has ended."""
        if self.none:
            return await container.wait()
        waiting = asyncio.create_task(container.wait())
        care = asyncio.create_task(self._attend(container, prober, attempt))
        try:
            await asyncio.wait((waiting, care), return_when=asyncio.FIRST_COMPLETED)
            while not waiting.done():
                care.result()
                if prober.doomed is None:
                    # No probe that could be fatal is left.
                    await asyncio.wait((waiting,))
                    break
                return await self._punish(container, prober)
            return waiting.result()
        finally:
            for task in (waiting, care):
                task.cancel()
            await asyncio.wait((waiting, care))

    async def _attend(self, container: Container, prober: Prober, attempt: int) -> None:
        hook = (self._body.get("lifecycle") or {}).get("postStart")
        if hook and not self._runs.hooked(attempt):
            try:
                await self._hook(hook, container)
            except HookError as error:
                if container.exit() is not None:
                    return
                self._context.event(
                    "Warning", "FailedPostStartHook", f"PostStartHook failed: {error}"
                )
                self._context.event("Normal", "Killing", "FailedPostStartHook")
                await self.terminate(container, self._clock.monotonic() + self._grace(None))
                return
            self._runs.mark_hooked(attempt)
        await prober.run()

    async def _punish(self, container: Container, prober: Prober) -> Exit:
        """Kill a container whose probe says that it is lost."""
        kind = str(prober.doomed).lower()
        # A signal's exit code stands for what a policy would see.
        again = self._again(137)
        text = f"Container {self.name} failed {kind} probe"
        self._context.event("Normal", "Killing", f"{text}, will be restarted" if again else text)
        probe = self._body[f"{kind}Probe"]
        return await self.terminate(container, self._clock.monotonic() + self._grace(probe))

    def _grace(self, probe: Mapping[str, Any] | None) -> float:
        own = (probe or {}).get("terminationGracePeriodSeconds")
        seconds = self._context.pod["spec"].get("terminationGracePeriodSeconds")
        return float(own if own is not None else 30 if seconds is None else seconds)

    async def _hook(self, hook: Mapping[str, Any], container: Container) -> None:
        await handlers.hook(
            hook, self._body, container, self._context.host.serving, self._clock.sleep
        )

    async def terminate(self, container: Container, until: float) -> Exit:
        """Its hook, then its signal now, SIGKILL at `until` (of the monotonic clock)."""
        ended = container.exit()
        if ended is not None:
            return ended
        lifecycle = self._body.get("lifecycle") or {}
        left = until - self._clock.monotonic()
        if (hook := lifecycle.get("preStop")) and left > 0:
            try:
                async with asyncio.timeout(left):
                    await self._hook(hook, container)
            except (HookError, TimeoutError) as error:
                text = str(error) or f"it did not end within {left:.0f} s"
                self._context.event("Warning", "FailedPreStopHook", f"PreStopHook failed: {text}")
            until = max(until, self._clock.monotonic() + _LEAST_GRACE)
        container.signal(signal.Signals[lifecycle.get("stopSignal") or "SIGTERM"])
        try:
            async with asyncio.timeout(max(until - self._clock.monotonic(), 0)):
                return await container.wait()
        except TimeoutError:
            container.kill()
            return await container.wait()
