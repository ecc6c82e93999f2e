"""What a container of a pod is to `sandbox`: image, command, variables, mounts, user, limits."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.container import Container
from sandbox.limits import LimitKeeper
from sandbox.spec import Limits, Mount, Spec
from tinykube import quantity
from tinykube.node import env
from tinykube.node.client import JSON, NodeClient, NotFoundError
from tinykube.node.clock import Clock
from tinykube.node.env import ConfigError, Host
from tinykube.node.gpus.manager import Gpus
from tinykube.node.growth import Growth
from tinykube.node.images import ImageMap, PullError, Resolved
from tinykube.node.runs import Runs
from tinykube.node.status import State, Waiting
from tinykube.node.volumes import VolumeError, Volumes

logger = logging.getLogger(__name__)

# Seconds between tries of what another object keeps from working.
_RETRY, _LONGEST_RETRY = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Context:
    """What all containers of one pod share.

    Attributes:
        pod: as the API has it.
        folder: the pod's own folder.
        host: the node as pods see it.
        event: records an Event about the pod: type, reason, message.
        processes: how many each container may have, with its threads; None: no limit.
        spent: told of a container that has ended for good, to have its files deleted.
        begun: told that a container has started, and that there is time for less urgent things.
    """

    pod: JSON
    folder: Path
    client: NodeClient
    images: ImageMap
    keeper: LimitKeeper
    volumes: Volumes
    host: Host
    event: Callable[[str, str, str], None]
    clock: Clock
    growth: Growth
    gpus: Gpus
    processes: int | None
    spent: Callable[[Container], None]
    begun: Callable[[], None]


class Recipe:
    """Describes the runs of one container.

    Args:
        context: what it shares with the pod's others.
        body: the container as the pod's spec has it.
        runs: where its runs are.
        report: takes the state that says what is waited for.
    """

    def __init__(
        self,
        context: Context,
        body: Mapping[str, Any],
        runs: Runs,
        report: Callable[[State], None],
    ) -> None:
        self._context = context
        self._body = body
        self._runs = runs
        self._report = report
        self._name: str = body["name"]

    async def resolve(self) -> Resolved:
        """What the image is here; waits, as a kubelet does, until it can be had."""
        pause, image = _RETRY, self._body["image"]
        while True:
            try:
                # Two small files: a thread would take longer to have its turn.
                return self._context.images.resolve(image)
            except PullError as error:
                text = str(error)
                if pause == _RETRY:
                    self._context.event(
                        "Warning", "Failed", f'Failed to pull image "{image}": {text}'
                    )
                    self._report(Waiting("ErrImagePull", text))
                else:
                    self._report(Waiting("ImagePullBackOff", f"Back-off pulling image: {text}"))
            await self._context.clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def spec(self, resolved: Resolved, attempt: int) -> Spec:
        """The sandbox's description of a run; waits for secrets and the like that it names."""
        pause = _RETRY
        while True:
            try:
                variables = await env.build(
                    self._context.pod, self._body, self._context.client, self._context.host
                )
                return self._describe(resolved, variables, attempt)
            except (ConfigError, VolumeError) as error:
                if pause == _RETRY:
                    self._context.event("Warning", "Failed", f"Error: {error}")
                self._report(Waiting("CreateContainerConfigError", str(error)))
            except (NotFoundError, OSError) as error:
                logger.warning("cannot configure container %s: %s", self._name, error)
            await self._context.clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    def _describe(self, resolved: Resolved, variables: dict[str, str], attempt: int) -> Spec:
        # Images have no entry point on this node, so that arguments alone are the command.
        command, arguments = self._body.get("command") or (), self._body.get("args") or ()
        words = [env.expand(word, variables) for word in (*command, *arguments)]
        if not words:
            raise ConfigError(
                f"container {self._name} has neither command nor args, and images have none on "
                "this node"
            )
        limits = (self._body.get("resources") or {}).get("limits") or {}
        memory = quantity.bytes_of(limits["memory"]) if limits.get("memory") else None
        user, group = self._identity()
        devices = self._context.gpus.grant(self._context.pod["metadata"]["uid"], self._name)
        return Spec(
            command=tuple(words),
            env={**resolved.env, **variables, **devices.env},
            cwd=self._body.get("workingDir") or "/",
            image=resolved.image,
            mounts=(
                *self._context.volumes.mounts(self._body, variables),
                *self._message_mount(attempt),
                *devices.mounts,
            ),
            user=user,
            group=group,
            read_only_root=bool(self._security("readOnlyRootFilesystem")),
            hosts=self.hosts(),
            hostname=env.hostname(self._context.pod),
            limits=Limits(memory=memory, processes=self._context.processes),
            output=self._runs.log(attempt),
            warm=True,
        )

    def hosts(self) -> dict[str, tuple[str, ...]]:
        """Names by address, as they are now."""
        pod, host = self._context.pod, self._context.host
        own = env.own_names(pod, host)
        return host.neighbours.hosts(pod["metadata"]["namespace"], own)

    def _security(self, name: str) -> Any:
        """A field of the container's security context, else of the pod's."""
        own = (self._body.get("securityContext") or {}).get(name)
        return own if own is not None else self._context.pod["spec"]["securityContext"].get(name)

    def _identity(self) -> tuple[int, int]:
        """What the node's own user and group are called inside. Raises ConfigError."""
        user, group = self._security("runAsUser"), self._security("runAsGroup")
        if self._security("runAsNonRoot") and not user:
            meta = self._context.pod["metadata"]
            where = f'pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})"'
            why = (
                "container's runAsUser breaks non-root policy"
                if user == 0
                else "container has runAsNonRoot and image will run as root"
            )
            raise ConfigError(f"{why} ({where}, container: {self._name})")
        return user or 0, group or 0

    def _message_mount(self, attempt: int) -> tuple[Mount, ...]:
        """The file that the container may leave its last words in."""
        target = self._body.get("terminationMessagePath") or "/dev/termination-log"
        taken = {
            posixpath.normpath(mount["mountPath"])
            for mount in self._body.get("volumeMounts") or ()
        }
        if any(target == path or target.startswith(f"{path}/") for path in taken):
            return ()
        return (Mount(self._runs.make_message(attempt), target),)
