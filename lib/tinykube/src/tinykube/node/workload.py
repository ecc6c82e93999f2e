"""One container of a pod: its runs, one after the other as the restart policy has it.

Which runs there were is read from the pod's folder: run N of a container lives in
`containers/NAME/N`, and run N+1 is begun only when the end of run N is on disk. So a node that
comes back after kill -9 finds each container where it is and starts none twice.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import tree
from sandbox.container import Container
from sandbox.errors import SandboxError
from sandbox.limits import LimitKeeper
from sandbox.spec import Exit, Limits, Mount, Spec
from tinykube import quantity
from tinykube.node import env, logs, status
from tinykube.node.client import JSON, NodeClient, NotFoundError
from tinykube.node.env import ConfigError, Host
from tinykube.node.images import ImageMap, PullError, Resolved
from tinykube.node.status import ContainerView, State, Terminated, Waiting
from tinykube.node.volumes import VolumeError, Volumes

logger = logging.getLogger(__name__)

# Seconds, as a kubelet has them: the first wait before a restart, the longest, and how long a run
# must have lasted for the count to begin anew.
_BACK_OFF, _LONGEST, _CALM = 10.0, 300.0, 600.0
# Seconds between tries of what another object keeps from working.
_RETRY, _LONGEST_RETRY = 0.5, 10.0
_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Context:
    """What all containers of one pod share.

    Attributes:
        pod: as the API has it.
        folder: the pod's own folder.
        host: the node as pods see it.
        event: records an Event about the pod: type, reason, message.
    """

    pod: JSON
    folder: Path
    client: NodeClient
    images: ImageMap
    keeper: LimitKeeper
    volumes: Volumes
    host: Host
    event: Callable[[str, str, str], None]


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
        self._body = body
        self._changed = changed
        self._init = init
        self.name: str = body["name"]
        self._place = context.folder / "containers" / self.name
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
        self._recall(known)

    @property
    def view(self) -> ContainerView:
        """What there is to report now."""
        return ContainerView(
            name=self.name,
            image=self._body["image"],
            state=self._state,
            image_id=self._image_id,
            container_id=self._id(self._attempt) if self._begun else "",
            last=self._last,
            restarts=self._attempt,
        )

    @property
    def running(self) -> bool:
        """True while a process of it runs."""
        return self._current is not None and self._current.exit() is None

    async def run(self) -> Terminated:
        """Run it, again where the policy says so; its last end. Being cancelled ends nothing."""
        policy = self._context.pod["spec"].get("restartPolicy", "Always")
        while True:
            if not isinstance(self._state, Terminated):
                await self._once()
            ended = self._state
            if not isinstance(ended, Terminated):
                raise TypeError(f"container {self.name} ended in {ended}")
            again = policy == "Always" and not self._init
            if not again and (policy == "Never" or not ended.failed):
                return ended
            await self._back_off(ended)
            self._attempt += 1
            self._begun = False
            self._current = None
            self._last = ended

    async def stop(self, until: float) -> None:
        """End it: SIGTERM now, SIGKILL at `until` (seconds since the epoch)."""
        container = self._current
        if container is None:
            if self._last is not None and not isinstance(self._state, Terminated):
                # It was to be started again: it is left as it ended last.
                self._set(self._last)
            return
        ended = container.exit()
        if ended is None:
            container.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(max(until - time.time(), 0)):
                    ended = await container.wait()
            except TimeoutError:
                container.kill()
                ended = await container.wait()
        await self._end(container, ended)

    def kill(self) -> None:
        """End it at once."""
        if self._current is not None:
            self._current.kill()

    def _recall(self, known: Mapping[str, Any]) -> None:
        """Find the last run on disk; failing that, believe the API that there was one."""
        numbers = [int(path.name) for path in self._place.glob("*") if path.name.isdigit()]
        for number in sorted(numbers, reverse=True):
            container = Container.adopt(self._place / str(number))
            if container is None:
                continue
            self._attempt, self._current, self._begun = number, container, True
            ended = container.exit()
            if ended is not None:
                self._state = self._ended(container, ended)
            if number > 0 and (self._place / str(number - 1)).is_dir():
                before = Container.adopt(self._place / str(number - 1))
                before_end = before.exit() if before else None
                if before is not None and before_end is not None:
                    self._last = self._terminated(before, before_end, number - 1)
            return
        state = known.get("state") or {}
        self._attempt = int(known.get("restartCount") or 0)
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

    async def _once(self) -> None:
        """One run, or what is left of it after the node's restart."""
        container = self._current or await self._start()
        if container is None:
            return
        self._current = container
        self._begun = True
        self._context.keeper.add(container)
        self._set(status.Running(container.started))
        await self._end(container, await container.wait())

    async def _end(self, container: Container, ended: Exit) -> None:
        state = self._ended(container, ended)
        self._set(state)
        # The file system of a run goes with it; the records and the log stay.
        await asyncio.to_thread(container.trim)

    def _ended(self, container: Container, ended: Exit) -> Terminated:
        return self._terminated(container, ended, self._attempt)

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
        path = self._message_file(attempt)
        data = path.read_bytes()[:_MESSAGE_BYTES] if path.is_file() else b""
        text = data.decode(errors="replace")
        fall_back = self._body.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        log = logs.file_of(self._context.folder, self.name, attempt)
        if not text and failed and fall_back and log.is_file():
            return logs.last_words(log)
        return text

    def _message_file(self, attempt: int) -> Path:
        return self._context.folder / "messages" / self.name / str(attempt)

    async def _start(self) -> Container | None:
        """Start a run; None if it cannot be: the state says why, it counts as a failed run."""
        resolved = await self._resolve()
        spec = await self._spec(resolved)
        self._image_id = resolved.id
        task = asyncio.create_task(
            asyncio.to_thread(Container.start, self._place / str(self._attempt), spec)
        )
        try:
            container = await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread cannot be stopped: what it starts is ours to end.
            try:
                self._current = await task
                self._begun = True
            except SandboxError:
                logger.info("container %s was given up before it started", self.name)
            raise
        except SandboxError as error:
            now = time.time()
            self._context.event("Warning", "Failed", f"Error: {error}")
            self._begun = True
            self._set(Terminated(128, "StartError", now, now, str(error), self._id(self._attempt)))
            return None
        self._context.event("Normal", "Started", f"Started container {self.name}")
        return container

    async def _resolve(self) -> Resolved:
        """What the image is here; waits, as a kubelet does, until it can be had."""
        pause, image = _RETRY, self._body["image"]
        while True:
            try:
                return await asyncio.to_thread(self._context.images.resolve, image)
            except PullError as error:
                text = str(error)
                if pause == _RETRY:
                    self._context.event(
                        "Warning", "Failed", f'Failed to pull image "{image}": {text}'
                    )
                    self._set(Waiting("ErrImagePull", text))
                else:
                    self._set(Waiting("ImagePullBackOff", f"Back-off pulling image: {text}"))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _spec(self, resolved: Resolved) -> Spec:
        """The sandbox's description of a run; waits for secrets and the like that it names."""
        pause = _RETRY
        while True:
            try:
                variables = await env.build(
                    self._context.pod, self._body, self._context.client, self._context.host
                )
                return self._describe(resolved, variables)
            except (ConfigError, VolumeError) as error:
                if pause == _RETRY:
                    self._context.event("Warning", "Failed", f"Error: {error}")
                self._set(Waiting("CreateContainerConfigError", str(error)))
            except (NotFoundError, OSError) as error:
                logger.warning("cannot configure container %s: %s", self.name, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    def _describe(self, resolved: Resolved, variables: dict[str, str]) -> Spec:
        pod_spec = self._context.pod["spec"]
        command = self._body.get("command") or ()
        words = [
            env.expand(word, variables) for word in (*command, *(self._body.get("args") or ()))
        ]
        if not command:
            raise ConfigError(
                f"container {self.name} has no command, and images have none on this node"
            )
        limits = (self._body.get("resources") or {}).get("limits") or {}
        return Spec(
            command=tuple(words),
            env={**resolved.env, **variables},
            cwd=self._body.get("workingDir") or "/",
            image=resolved.image,
            mounts=(*self._context.volumes.mounts(self._body, variables), *self._message_mount()),
            hosts={
                alias["ip"]: tuple(alias.get("hostnames") or ())
                for alias in pod_spec.get("hostAliases") or ()
            },
            hostname=env.hostname(self._context.pod),
            limits=Limits(
                memory=quantity.bytes_of(limits["memory"]) if limits.get("memory") else None
            ),
            output=logs.file_of(self._context.folder, self.name, self._attempt),
            warm=True,
        )

    def _message_mount(self) -> tuple[Mount, ...]:
        """The file that the container may leave its last words in."""
        target = self._body.get("terminationMessagePath") or "/dev/termination-log"
        taken = {
            posixpath.normpath(mount["mountPath"])
            for mount in self._body.get("volumeMounts") or ()
        }
        if any(target == path or target.startswith(f"{path}/") for path in taken):
            return ()
        path = self._message_file(self._attempt)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        return (Mount(path, target),)

    async def _back_off(self, ended: Terminated) -> None:
        """Wait before the next run, longer each time."""
        delay = 0.0
        if self._attempt > 0 and not self._calm(ended):
            delay = min(_BACK_OFF * 2 ** min(self._attempt - 1, 10), _LONGEST)
        left = (ended.finished or time.time()) + delay - time.time()
        if left > 0:
            meta = self._context.pod["metadata"]
            where = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
            text = f"back-off {delay:.0f}s restarting failed container={self.name} pod={where}"
            self._last = ended
            self._set(Waiting("CrashLoopBackOff", text))
            self._context.event(
                "Warning", "BackOff", f"Back-off restarting failed container {self.name}"
            )
            await asyncio.sleep(left)
        self._set(status.CREATING)
        stale = self._place / str(self._attempt - 1)
        await asyncio.to_thread(tree.remove, stale)

    @staticmethod
    def _calm(ended: Terminated) -> bool:
        if ended.started is None or ended.finished is None:
            return False
        return ended.finished - ended.started >= _CALM
