"""One container of a pod: its runs, one after the other as the restart policy has it.

See `tinykube.node.runs` for what of it is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox.container import Container
from sandbox.errors import NoSpaceError, SandboxError
from sandbox.spec import Exit, Spec
from sandbox.starting import Starting
from tinykube import objects
from tinykube.node import logs, restarts, status
from tinykube.node.care import Care
from tinykube.node.prober import Prober
from tinykube.node.recipe import Context, Recipe
from tinykube.node.restarts import BackOff
from tinykube.node.runs import Runs
from tinykube.node.status import ContainerView, State, Terminated, Waiting

logger = logging.getLogger(__name__)

_MESSAGE_BYTES = 4096
# Seconds between tries of what the disk has no room for.
_RETRY, _LONGEST_RETRY = 0.5, 10.0


class Workload:
    """One container of a pod.

    Args:
        context: what it shares with the pod's others.
        body: the container as the pod's spec has it.
        known: its status as the API has it, from before the node's restart.
        changed: called whenever `view` gives something new.
        init: True for one that initialises the pod: it is restarted until it succeeds.
    """

    def __init__(
        self,
        context: Context,
        body: Mapping[str, Any],
        known: Mapping[str, Any],
        changed: Callable[[], None],
        *,
        init: bool,
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._body = body
        self._changed = changed
        self._init = init
        self.name: str = body["name"]
        self.sidecar = init and restarts.sidecar(body)
        self._policy: str = context.pod["spec"].get("restartPolicy", "Always")
        self._runs = Runs(context.folder, self.name)
        self._recipe = Recipe(context, body, self._runs, self._set)
        self._state: State = (
            status.INITIALIZING
            if context.pod["spec"].get("initContainers") and not init
            else status.CREATING
        )
        self._last: Terminated | None = None
        self._image_id = str(known.get("imageID") or "")
        self._attempt = 0
        self._current: Container | None = None
        self._begun = False
        self._care = Care(context, body, self._runs, self._restarted)
        self._prober: Prober | None = None
        self._remembered = self._care.prober(None, self._probed)
        self.started = asyncio.Event()
        self._recall(known)
        self._back_off = BackOff(self._attempt)

    @property
    def view(self) -> ContainerView:
        """What there is to report now."""
        state = self._state
        running = isinstance(state, status.Running)
        found = self._prober or self._remembered
        return ContainerView(
            name=self.name,
            image=self._body["image"],
            state=state,
            image_id=self._image_id,
            container_id=self._id(self._attempt) if self._begun else "",
            last=self._last,
            restarts=self._attempt,
            started=running and found.started,
            ready=running and found.started and found.ready,
            sidecar=self.sidecar,
            final=isinstance(state, Terminated) and not self._again(state),
        )

    @property
    def begun(self) -> bool:
        """True once a run of it was started."""
        return self._begun or self._last is not None

    @property
    def current(self) -> tuple[Path, Container] | None:
        """The log and the container of the run that was begun last; None before and between."""
        if not self._begun or self._current is None:
            return None
        return self._runs.log(self._attempt), self._current

    @property
    def running(self) -> bool:
        """True while a process of it runs."""
        return self._current is not None and self._current.exit() is None

    async def run(self) -> Terminated:
        """Run it, again where the policy says so; its last end. Being cancelled ends nothing."""
        while True:
            if not isinstance(self._state, Terminated):
                await self._once()
            ended = self._state
            if not isinstance(ended, Terminated):
                raise TypeError(f"container {self.name} ended in {ended}")
            if not self._again(ended):
                return ended
            await self._wait(ended)
            self._attempt += 1
            self._begun = False
            self._current = None
            self._last = ended

    async def stop(self, until: float) -> None:
        """End it: its hook, then SIGTERM now, SIGKILL at `until` (of the monotonic clock)."""
        container = self._current
        if container is None:
            if self._last is not None and not isinstance(self._state, Terminated):
                # It was to be started again: it is left as it ended last.
                self._set(self._last)
            return
        await self._end(container, await self._care.terminate(container, until), last=True)

    def rename(self) -> None:
        """Bring a running container's names up to the services there are."""
        if self._current is not None and self.running:
            # It may end, and its files go, at any moment.
            with contextlib.suppress(FileNotFoundError):
                self._current.set_hosts(self._recipe.hosts())

    def kill(self) -> None:
        """End it at once."""
        if self._current is not None:
            self._current.kill()

    def _again(self, ended: Terminated) -> bool:
        return self._restarted(ended.code)

    def _restarted(self, code: int) -> bool:
        """True if it is run again after an end with this code."""
        return restarts.again(self._body, self._policy, code, init=self._init)

    def _recall(self, known: Mapping[str, Any]) -> None:
        """Find the last run on disk; failing that, believe the API that there was one."""
        found = self._runs.newest()
        count = int(known.get("restartCount") or 0)
        if found is not None:
            number, container = found
            ended = container.exit()
            if number < count and ended is not None:
                # The next run was about to begin.
                self._attempt, self._last = count, self._terminated(container, ended, number)
                return
            self._attempt, self._current, self._begun = number, container, True
            if ended is not None:
                self._state = self._terminated(container, ended, number)
                if self._last_of(ended) and (container.directory / "root").exists():
                    self._context.spent(container)
            else:
                self._state = status.Running(container.started)
                if known.get("containerID") == self._id(number):
                    self._remembered.recall(known)
            before = self._runs.find(number - 1) if number else None
            before_end = before.exit() if before else None
            if before is not None and before_end is not None:
                self._last = self._terminated(before, before_end, number - 1)
            return
        state = known.get("state") or {}
        self._attempt = count
        if "terminated" in state or "running" in state:
            # Its folder is gone with all that is known of it; it must not run a second time.
            self._begun = True
            self._state = status.lost()

    def _id(self, attempt: int) -> str:
        return f"sandbox://{self._context.pod['metadata']['uid']}/{self.name}/{attempt}"

    def _set(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._changed()

    def _probed(self) -> None:
        if self._prober is not None and self._prober.started:
            self.started.set()
        self._changed()

    async def _once(self) -> None:
        """One run, or what is left of it after the node's restart."""
        container = self._current or await self._start()
        if container is None:
            return
        self._current = container
        self._begun = True
        self._context.keeper.add(container)
        log = self._runs.log(self._attempt)
        if log.is_file():
            self._context.growth.add(log)
        prober = self._prober = self._care.prober(container, self._probed)
        prober.started, prober.ready = self._remembered.started, self._remembered.ready
        if self._care.none:
            # Nothing to wait for: one report tells all of it.
            prober.started = prober.ready = True
            self.started.set()
        self._set(status.Running(container.started))
        try:
            ended = await self._care.watch(container, prober, self._attempt)
        finally:
            self._prober = None
            self._remembered = self._care.prober(None, self._probed)
            self.started.clear()
        await self._end(container, ended, last=self._last_of(ended))

    def _last_of(self, ended: Exit) -> bool:
        """True if the pod may have ended with this: nothing of this container comes after it."""
        return not self._init and not self._restarted(ended.code)

    async def _end(self, container: Container, ended: Exit, *, last: bool) -> None:
        self._context.growth.finish(self._runs.log(self._attempt))
        self._set(self._terminated(container, ended, self._attempt))
        # The file system of a run goes with it; the records and the log stay.
        if last:
            self._context.spent(container)
        else:
            await asyncio.to_thread(container.trim)

    def _terminated(self, container: Container, ended: Exit, attempt: int) -> Terminated:
        if ended.reason == "Lost":
            return status.lost(container.started, ended.finished)
        message = self._termination_message(attempt, failed=ended.code != 0)
        return Terminated(
            ended.code,
            ended.reason,
            container.started,
            ended.finished,
            message,
            self._id(attempt),
        )

    def _termination_message(self, attempt: int, *, failed: bool) -> str:
        path = self._runs.message(attempt)
        data = b""
        # Most leave none, in an empty file.
        if os.path.isfile(path) and os.path.getsize(path):
            with path.open("rb") as stream:
                data = stream.read(_MESSAGE_BYTES)
        text = data.decode(errors="replace")
        fall_back = self._body.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        log = self._runs.log(attempt)
        if not text and failed and fall_back and log.is_file():
            return logs.last_words(log)
        return text

    async def _start(self) -> Container | None:
        """Start a run; None if it cannot be: the state says why, it counts as a failed run.

        Waits while the disk has no room for it: nothing of it has run then.
        """
        pause = _RETRY
        while True:
            resolved = await self._recipe.resolve()
            spec = await self._recipe.spec(resolved, self._attempt)
            self._image_id = resolved.id
            try:
                container = await self._launch(spec)
            except NoSpaceError as error:
                if pause == _RETRY:
                    self._context.event("Warning", "Failed", f"Error: {error}")
                self._set(Waiting("CreateContainerError", str(error)))
            except SandboxError as error:
                now, last = self._clock.time(), self._id(self._attempt)
                self._context.event("Warning", "Failed", f"Error: {error}")
                self._begun = True
                self._set(Terminated(128, "StartError", now, now, str(error), last))
                return None
            else:
                self._context.event("Normal", "Started", f"Started container {self.name}")
                self._context.begun()
                return container
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _launch(self, spec: Spec) -> Container:
        """Prepare it here, and wait for it in a thread. Raises SandboxError."""
        starting = Starting(self._runs.directory(self._attempt), spec)
        started = asyncio.get_running_loop().run_in_executor(None, Container.started_by, starting)
        try:
            return await asyncio.shield(started)
        except asyncio.CancelledError:
            # The thread cannot be stopped: what it starts is ours to end.
            try:
                self._current = await started
                self._begun = True
            except SandboxError:
                logger.info("container %s was given up before it started", self.name)
            raise

    async def _wait(self, ended: Terminated) -> None:
        """Wait before the next run, longer each time."""
        lasted = None
        if ended.started is not None and ended.finished is not None:
            lasted = ended.finished - ended.started
        delay = self._back_off.delay(lasted)
        # The clock may have jumped since the end: never longer than the delay itself.
        left = min((ended.finished or self._clock.time()) + delay - self._clock.time(), delay)
        if left > 0:
            meta = self._context.pod["metadata"]
            where = f"{meta['name']}_{objects.namespace(self._context.pod)}({meta['uid']})"
            text = (
                f"back-off {_duration(delay)} restarting failed container={self.name} pod={where}"
            )
            self._last = ended
            self._set(Waiting("CrashLoopBackOff", text))
            self._context.event(
                "Warning",
                "BackOff",
                f"Back-off restarting failed container {self.name} in pod {where}",
            )
            await self._clock.sleep(left)
        self._set(status.CREATING)
        await asyncio.to_thread(self._runs.prune, self._attempt)


def _duration(seconds: float) -> str:
    """Seconds as Go writes them: `10s`, `2m40s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
