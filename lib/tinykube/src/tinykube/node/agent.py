"""The node's agent: takes the pods bound to this node and runs each in a task of its own.

The node's folder holds all that must outlive it. A new agent on the same folder adopts what runs,
reports what ended meanwhile, and ends what the API has no pod for any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sandbox import tree
from sandbox.container import Container
from sandbox.execution import Execution
from sandbox.images import ImageStore
from sandbox.limits import LimitKeeper
from sandbox.network import Subnet
from tinykube import objects
from tinykube.node import logs, status, visits
from tinykube.node.addresses import Addresses
from tinykube.node.client import JSON, LogOptions, LogsError, NodeClient, Streams
from tinykube.node.clock import Clock
from tinykube.node.disk import Disk
from tinykube.node.env import Host
from tinykube.node.gpus.manager import Gpus
from tinykube.node.gpus.plan import Settings
from tinykube.node.growth import Growth
from tinykube.node.images import ImageMap
from tinykube.node.leavings import Leavings
from tinykube.node.neighbours import Names
from tinykube.node.pod import Node, Pod
from tinykube.node.runs import Runs, directories
from tinykube.node.spare import Spare
from tinykube.node.usage import Meter, Usage

logger = logging.getLogger(__name__)

_LEASE = 40
_RETRY, _LONGEST_RETRY = 0.2, 10.0
_AGAIN = 5.0
_REPORT = 10.0
# How long what was killed may take to be gone.
_END_SECONDS = 5.0
_UID = re.compile(r"[0-9A-Za-z-]{1,64}")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Agent:
    """The agent of one node.

    Args:
        client: the control plane.
        name: the node's name.
        folder: the node's data folder; made with mode 0700.
        config: the file whose `images` map names to process images.
        capacity: what the node offers: quantities by resource, `cpu`, `memory`, `pods` at least.
        version: what to report as the kubelet's version.
        address: the node's address, and its pods' if they have none of their own.
        subnet: where pods have addresses of their own.
        port: where the node serves logs over HTTPS; 0 where nobody asks it.
        labels, taints: of the Node when it is made; labels are kept up, taints are its owner's.
        folders: those of the machine that pods may mount as hostPath; None for all of them,
            where the control plane decides who may.
        gpus: how GPUs are offered.
        processes: how many each container may have, with its threads; None: no limit.
        nvml: the binding to NVIDIA's library (`tinykube.node.gpus.library()`); None: no GPUs.
        store: where process images are; by default the user's.
        clock: the machine's, by default.
    """

    def __init__(
        self,
        client: NodeClient,
        *,
        name: str,
        folder: Path,
        config: Path,
        capacity: Mapping[str, str],
        version: str,
        address: str = "127.0.0.1",
        subnet: Subnet | None = None,
        port: int = 0,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[JSON] = (),
        folders: Sequence[Path] | None = None,
        gpus: Settings | None = None,
        nvml: Any | None = None,
        processes: int | None = None,
        store: ImageStore | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._client = client
        self._capacity = dict(capacity)
        self._version = version
        self._labels = dict(labels or {})
        self._taints = list(taints)
        self.port = port
        self._changed = asyncio.Event()
        self._keeper = LimitKeeper()
        self._meter = Meter()
        self._events: asyncio.Queue[tuple[JSON, Literal["Normal", "Warning"], str, str]] = (
            asyncio.Queue(maxsize=10_000)
        )
        self._pods: dict[str, Pod] = {}
        self._gpus = Gpus(
            folder.absolute() / "pods", gpus or Settings(), nvml, self._tell, self._changed.set
        )
        clock = clock or Clock()
        self._disk = Disk(
            folder.absolute(), name, self._running, self._tell, self._changed.set, clock
        )
        addresses = Addresses(folder.absolute() / "pods", subnet, address)
        self._node = Node(
            client=client,
            images=ImageMap(config, store or ImageStore()),
            keeper=self._keeper,
            host=Host(name, address, self._capacity, None if folders is None else tuple(folders)),
            folder=folder.absolute(),
            post=self._post,
            clock=clock,
            addresses=addresses,
            growth=Growth(self._disk.look),
            gpus=self._gpus,
            processes=processes,
            leavings=Leavings(clock),
            spare=Spare(folder.absolute(), addresses),
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until cancelled; the pods' containers run on."""
        (self._node.folder / "pods").mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keeper.run())
                group.create_task(self._node.growth.run())
                group.create_task(self._node.leavings.run())
                group.create_task(self._send_events())
                group.create_task(self._heartbeat())
                group.create_task(self._report())
                group.create_task(self._disk.run())
                group.create_task(self._watch_gpus())
                group.create_task(self._follow())
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def offer(self, capacity: Mapping[str, str]) -> None:
        """Offer another capacity from now on."""
        self._capacity.clear()
        self._capacity.update(capacity)
        self._changed.set()

    def rename(self, names: Names) -> None:
        """Tell every pod, from now on, of these services."""
        neighbours = self._node.host.neighbours
        before, neighbours.names = neighbours.names, names
        spaces = {objects.namespace(pod.body) for pod in self._pods.values()}
        changed = {space for space in spaces if before.hosts(space) != names.hosts(space)}
        for pod in self._pods.values():
            if objects.namespace(pod.body) in changed:
                pod.rename()

    def pod(self, namespace: str, name: str) -> JSON | None:
        """A pod that is on this node, as the API last had it."""
        for pod in self._pods.values():
            if (objects.namespace(pod.body), objects.name(pod.body)) == (namespace, name):
                return pod.body
        return None

    async def execute(
        self, pod: JSON, container: str, command: Sequence[str], wanted: Streams
    ) -> Execution:
        """Run a command in a container; see `tinykube.node.client.NodeLogs`."""
        folder = self._node.pod_folder(objects.uid(pod))
        return await visits.run(folder, container, command, wanted)

    async def connect(
        self, pod: JSON, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of the pod; see `tinykube.node.client.NodeLogs`."""
        return await visits.connect(self._node.pod_folder(objects.uid(pod)), pod, port)

    async def usage(self, pods: Sequence[JSON]) -> dict[tuple[str, str], Usage]:
        """What containers use; see `tinykube.node.client.NodeLogs`."""
        running = {
            (objects.uid(pod), name): container
            for pod in pods
            for name, container in visits.containers(
                self._node.pod_folder(objects.uid(pod)), pod
            ).items()
        }
        return await self._meter.containers(running)

    async def machines(self) -> dict[str, Usage]:
        """What this machine uses; see `tinykube.node.client.NodeLogs`."""
        return {self.name: await self._meter.machine()}

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Stream a container's log; see `tinykube.node.client.NodeLogs`."""
        path, run = (None, None) if options.previous else self._current(pod, container)
        if path is None:
            runs = Runs(self._node.pod_folder(objects.uid(pod)), container)
            number = self._previous(runs, pod, container) if options.previous else runs.logged()
            if number is None:
                raise LogsError(
                    f'container "{container}" in pod "{objects.name(pod)}" is waiting to start: '
                    f"{self._waiting(pod, container)}"
                )
            path, run = runs.log(number), runs.find(number)
        running = (lambda: False) if run is None else (lambda: run.exit() is None)
        # It can be read: whoever waits to know that need not wait for the first line.
        yield b""
        async for chunk in logs.read(path, options, running, self._node.growth):
            yield chunk

    def _current(self, pod: JSON, container: str) -> tuple[Path | None, Container | None]:
        """The log and the run of a container that this agent has begun, or adopted."""
        found = self._pods.get(objects.uid(pod))
        for workload in found.workloads if found is not None else ():
            if workload.name == container and (current := workload.current) is not None:
                log, run = current
                return (log, run) if log.is_file() else (None, None)
        return None, None

    @staticmethod
    def _previous(runs: Runs, pod: JSON, container: str) -> int:
        """The run that the pod's status calls the last, and that has a log. Raises LogsError."""
        last = (status.of_container(pod, container).get("lastState") or {}).get("terminated") or {}
        number = str(last.get("containerID", "")).rpartition("/")[2]
        if not number.isdigit() or not runs.log(int(number)).is_file():
            raise LogsError(
                f'previous terminated container "{container}" in pod "{objects.name(pod)}"'
                " not found"
            )
        return int(number)

    @staticmethod
    def _waiting(pod: JSON, container: str) -> str:
        waiting = (status.of_container(pod, container).get("state") or {}).get("waiting") or {}
        if not waiting:
            return "ContainerCreating"
        return str(waiting.get("message") or waiting.get("reason") or "unknown")

    def _running(self) -> list[str]:
        """The uids of the pods of which something runs."""
        return [
            uid
            for uid, pod in self._pods.items()
            if any(workload.running for workload in pod.workloads)
        ]

    async def _watch_gpus(self) -> None:
        await self._gpus.run()

    def _tell(
        self, uid: str | None, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event about a pod, or about the node itself."""
        logger.info("%s: %s", reason, message)
        if uid is None:
            meta = {"name": self.name, "uid": self.name}
            self._post(
                {"apiVersion": "v1", "kind": "Node", "metadata": meta}, type_, reason, message
            )
        elif (pod := self._pods.get(uid)) is not None:
            self._post(pod.body, type_, reason, message)

    def _post(
        self, pod: JSON, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        try:
            self._events.put_nowait((pod, type_, reason, message))
        except asyncio.QueueFull:
            logger.warning("too many events: left out %s %s", reason, message)

    async def _send_events(self) -> None:
        while True:
            pod, type_, reason, message = await self._events.get()
            try:
                await self._client.create_event(pod, type_, reason, message)
            except OSError as error:
                # Events are for people; the pod's status is what programs rely on.
                logger.warning("event %s %s is lost: %s", reason, message, error)

    async def _heartbeat(self) -> None:
        while True:
            try:
                await self._client.heartbeat(self.name, _LEASE)
            except OSError as error:
                logger.warning("cannot renew the node's lease: %s", error)
            await asyncio.sleep(_LEASE / 4)

    async def _report(self) -> None:
        """Keep the Node as it should be: others may have called it lost, or deleted it."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPORT):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._client.register(self.describe())
            except (OSError, LookupError) as error:
                logger.warning("cannot report the node's state: %s", error)

    async def _follow(self) -> None:
        """Follow the pods of this node, again and again."""
        pause = _RETRY
        registered = False
        while True:
            try:
                if not registered:
                    await self._client.register(self.describe())
                    registered = True
                seen: set[str] = set()
                async for event in self._client.watch_pods(self.name):
                    pause = _RETRY
                    if event.type == "SYNCED":
                        await self._forget_others(seen)
                    else:
                        seen.add(objects.uid(event.pod))
                        self._take(event.type, event.pod)
            except OSError as error:
                logger.warning("lost the watch on pods: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    def _take(self, type_: str, body: JSON) -> None:
        uid = objects.uid(body)
        if not _UID.fullmatch(uid):
            logger.error("a pod's uid cannot name a folder: %r", uid)
            return
        pod = self._pods.get(uid)
        if type_ == "DELETED":
            if pod is not None:
                pod.vanish()
        elif pod is not None:
            pod.update(body)
        else:
            pod = self._pods[uid] = Pod(self._node, body)
            task = asyncio.create_task(pod.run(), name=f"pod {uid}")
            self._tasks[uid] = task
            task.add_done_callback(lambda done: self._done(uid, done))

    def _done(self, uid: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(uid, None)
        pod = self._pods.pop(uid)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours or of the disk must stop neither the node nor, for good, the pod.
            logger.error("pod %s: trying again in %.0f s", uid, _AGAIN, exc_info=error)
            asyncio.get_running_loop().call_later(_AGAIN, self._take, "MODIFIED", pod.body)

    async def _forget_others(self, seen: set[str]) -> None:
        """End the pods that are gone from the API: those here, and those of an earlier agent."""
        for uid, pod in self._pods.items():
            if uid not in seen:
                pod.vanish()
        known = seen | set(self._pods)
        for folder in (self._node.folder / "pods").iterdir():
            if folder.name not in known:
                await asyncio.to_thread(_destroy, folder)
                self._gpus.release(folder.name)

    def describe(self) -> JSON:
        """The Node object of this machine."""
        machine = platform.machine()
        architecture = _MACHINES.get(machine, machine)
        release = _os_release()
        disk = (
            ("DiskPressure", "True", "KubeletHasDiskPressure")
            if self._disk.pressed
            else ("DiskPressure", "False", "KubeletHasNoDiskPressure")
        )
        conditions = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            disk,
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
            ("Ready", "True", "KubeletReady"),
        ]
        capacity = {**self._capacity, **self._gpus.resources()}
        daemon = {"daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}}} if self.port else {}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {
                    **self._gpus.labels(),
                    **self._labels,
                    "kubernetes.io/hostname": self.name,
                    "kubernetes.io/arch": architecture,
                    "kubernetes.io/os": "linux",
                },
            },
            "spec": {"taints": self._taints} if self._taints else {},
            "status": {
                "capacity": capacity,
                "allocatable": dict(capacity),
                "addresses": [
                    {"type": "InternalIP", "address": self._node.host.address},
                    {"type": "Hostname", "address": self.name},
                ],
                "conditions": [
                    {
                        "type": type_,
                        "status": value,
                        "reason": reason,
                        "message": "",
                    }
                    for type_, value, reason in conditions
                ],
                **daemon,
                "nodeInfo": {
                    "architecture": architecture,
                    "operatingSystem": "linux",
                    "kernelVersion": os.uname().release,
                    "osImage": release,
                    "containerRuntimeVersion": "sandbox://0.1.0",
                    "kubeletVersion": self._version,
                    "kubeProxyVersion": "",
                    "machineID": "",
                    "systemUUID": "",
                    "bootID": "",
                },
            },
        }


def _os_release() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return "Linux"


def _destroy(folder: Path) -> None:
    """Kill what runs of a pod that the API no longer has, and delete its folder."""
    found = [Container.adopt(place) for place in directories(folder)]
    containers = [container for container in found if container is not None]
    for container in containers:
        container.kill()
    limit = time.monotonic() + _END_SECONDS
    while any(container.running() for container in containers) and time.monotonic() < limit:
        time.sleep(0.002)
    tree.remove(folder)
