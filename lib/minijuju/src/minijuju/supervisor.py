"""Keeps one workload container's Pebble running: starts, adopts, probes, restarts, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from minijuju import pebble_api, workload
from sandbox.container import Container
from sandbox.errors import SandboxError
from sandbox.limits import LimitKeeper
from sandbox.spec import Exit, Spec

logger = logging.getLogger(__name__)

FIRST_PAUSE, LAST_PAUSE = 0.5, 60.0
"""Seconds between an end and the next start; doubled each time, forgotten after `STEADY`."""
STEADY = 120.0
LOG_BYTES = 8 * 1024 * 1024
"""The log of Pebble and its services is moved to `pebble.log.1` when it is longer than this."""


class Supervisor:
    """The Pebble of the container `name`; its files lie below `folder`.

    `folder/run` is the sandbox's, `folder/charm` appears as /charm/container (the socket is in
    it), `folder/root` is the container's `/`, `folder/pebble.log` what Pebble and its services
    printed. All of them outlive the controller, as does the Pebble.

    Attributes:
        ready: whether the last probe found its checks of level `ready` passing; `changed` is
            called when that is another. `tell` takes what the unit's log is to say.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        spec: Spec,
        emit: Callable[[workload.WorkloadEvent], None],
        *,
        http: tuple[str, int],
        limits: LimitKeeper | None = None,
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = name
        self._tell = tell
        self.folder = folder
        self.spec = spec
        self.http = http
        self.limits = limits
        self.pebble = pebble_api.Pebble(folder / "charm")
        self.container: Container | None = None
        self.ready = True
        self._changed = changed
        self._watcher = workload.Watcher(name, self.pebble, emit)
        self._prober = pebble_api.Pebble(folder / "charm", patience=workload.PROBE_TIMEOUT)
        self._tasks: list[asyncio.Task[None]] = []
        self._pause = FIRST_PAUSE

    async def start(self) -> None:
        """Adopt the Pebble that runs, or start one, and watch over it from now on.

        Raises:
            SandboxError: The container cannot be started.
        """
        if self._tasks:
            return
        adopted = await asyncio.to_thread(Container.adopt, self.folder / "run")
        if adopted and adopted.exit() is None:
            self.container = adopted
            self._limit(adopted)
        else:
            await self._start_container()
        self._tasks = [
            asyncio.create_task(self._keep(), name=f"keep {self.name}"),
            asyncio.create_task(self._watcher.run(), name=f"watch {self.name}"),
            asyncio.create_task(self._probe(), name=f"probe {self.name}"),
        ]

    async def detach(self) -> None:
        """Stop watching; Pebble runs on."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.pebble.close()
        await self._prober.close()

    async def stop(self, grace: float) -> None:
        """End Pebble: it stops its services; what is left after `grace` seconds is killed."""
        await self.detach()
        container = self.container or await asyncio.to_thread(Container.adopt, self.folder / "run")
        if container and container.exit() is None:
            container.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace):
                    await container.wait()
            except TimeoutError:
                container.kill("Stopped")
                await container.wait()
        self.container = None

    def set_hosts(self, hosts: Mapping[str, tuple[str, ...]]) -> None:
        """Give the container other names; a running one has them at once."""
        self.spec = replace(self.spec, hosts=hosts)
        if self.container and self.container.running():
            self.container.set_hosts(dict(hosts))

    def set_processes(self, most: int) -> None:
        """Let the container have so many processes and threads from its next start on."""
        self.spec = replace(self.spec, limits=replace(self.spec.limits, processes=most))

    async def _start_container(self) -> None:
        run = self.folder / "run"
        old = await asyncio.to_thread(Container.adopt, run)
        if old:
            await asyncio.to_thread(old.remove)
        (self.folder / "charm").mkdir(mode=0o700, parents=True, exist_ok=True)
        # A socket that nobody listens on any more would look like a Pebble that hangs.
        (self.folder / "charm" / pebble_api.SOCKET).unlink(missing_ok=True)
        address, port = self.http
        # In a network of its own nobody else can have it.
        if self.spec.network or bindable(address, port):
            spec = replace(self.spec, command=(*self.spec.command, "--http", f"{address}:{port}"))
        else:
            spec = self.spec
            logger.warning("%s: %s:%s is in use; no --http", self.name, address, port)
        starting = asyncio.ensure_future(asyncio.to_thread(Container.start, run, spec))
        try:
            self.container = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread goes on: what it starts has to be on record before we let go of it, or
            # whoever ends the pod next would not find it.
            with contextlib.suppress(SandboxError):
                self.container = await starting
            raise
        self._limit(self.container)

    def _limit(self, container: Container) -> None:
        if self.limits is not None:
            self.limits.add(container)

    async def _keep(self) -> None:
        """Start Pebble again whenever it ends, ever more slowly if it does not last."""
        while True:
            assert self.container  # noqa: S101 - start and the loop below set it
            begun = time.monotonic()
            ended = await self.container.wait()
            if time.monotonic() - begun > STEADY:
                self._pause = FIRST_PAUSE
            self._report(ended)
            while not await self._restart():
                pass

    async def _restart(self) -> bool:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LAST_PAUSE)
        try:
            await self._start_container()
        except (SandboxError, OSError) as error:
            logger.error("%s: cannot start Pebble: %s", self.name, error)
            return False
        return True

    def _report(self, ended: Exit) -> None:
        if ended.reason == "TooManyProcesses":
            assert self.container  # noqa: S101 - it has ended
            most = self.container.spec.limits.processes
            self._tell(
                f"the container {self.name} has reached {most} processes and threads, as many as"
                " it may have; its Pebble was killed and is started again (juju model-config"
                " unit-processes)"
            )
        logger.warning(
            "%s: Pebble ended (%s, exit code %s); starting it again in %.1f s",
            self.name,
            ended.reason,
            ended.code,
            self._pause,
        )

    async def _probe(self) -> None:
        """Kill a Pebble whose liveness fails three times in a row, as the pod's probes do.

        And see whether it is ready.
        """
        failures = 0
        while True:
            await asyncio.sleep(workload.PROBE_PERIOD)
            await asyncio.to_thread(rotate, self.folder / "pebble.log")
            container = self.container
            ready = healthy = False
            try:
                healthy = await self._prober.healthy()
                ready = healthy and await self._prober.ready()
            except (pebble_api.PebbleUnavailableError, pebble_api.PebbleApiError) as error:
                logger.info("%s: health: %s", self.name, error)
            if ready != self.ready:
                self.ready = ready
                self._changed()
            failures = 0 if healthy or not container or not container.running() else failures + 1
            if failures >= workload.PROBE_FAILURES and container:
                logger.warning("%s: liveness failed %s times; killed", self.name, failures)
                container.kill("Unhealthy")
                failures = 0


def bindable(address: str, port: int) -> bool:
    """Whether a TCP socket can listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """Bound a log that its writers hold open for appending: keep one older part.

    Copied and cut in place, since the writers cannot be told to open another; what they write
    between the two is lost.
    """
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    if size <= limit:
        return
    older = log.with_name(log.name + ".1")
    with log.open("r+b") as source, older.open("wb") as target:
        source.seek(max(0, size - limit))
        while chunk := source.read(1 << 20):
            target.write(chunk)
        source.truncate(0)
