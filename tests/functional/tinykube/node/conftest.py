from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox import container
from sandbox.images import ImageStore
from tinykube import objects, podspec
from tinykube.node.agent import Agent
from tinykube.node.client import JSON, Endpoint, LogOptions, NotFoundError, PodEvent
from tinykube.node.clock import Clock

from ...waiting import PATIENCE


class Api:
    """A control plane in memory: what a node sees of one."""

    endpoint = Endpoint("127.0.0.1", 16443, "PEM")

    def __init__(self) -> None:
        self.pods: dict[str, JSON] = {}
        self.objects: dict[tuple[str, str], JSON] = {}
        self.events: list[tuple[str, str, str]] = []
        self.phases: dict[str, list[str]] = {}
        self.waiting: defaultdict[str, list[JSON]] = defaultdict(list)
        self.node: JSON = {}
        self.watch: asyncio.Queue[PodEvent] = asyncio.Queue()
        self.changed = asyncio.Condition()
        self.broken = False
        self.refused = 0

    async def register(self, node: JSON) -> None:
        self.node = node

    async def heartbeat(self, name: str, seconds: int) -> None:
        self.lease = (name, seconds)

    async def watch_pods(self, node: str) -> AsyncIterator[PodEvent]:
        self.watch = asyncio.Queue()
        for pod in list(self.pods.values()):
            yield PodEvent("ADDED", objects.copy(pod))
        yield PodEvent("SYNCED", {})
        while True:
            yield await self.watch.get()

    async def get(self, kind: str, namespace: str | None, name: str) -> JSON:
        try:
            return self.objects[kind, name]
        except KeyError:
            raise NotFoundError(f'{kind.lower()}s "{name}" not found') from None

    async def token(
        self, namespace: str, account: str, pod: JSON, audiences: Sequence[str], seconds: int
    ) -> str:
        return "token"

    async def patch_status(self, namespace: str, name: str, uid: str, status: JSON) -> bool:
        if self.broken:
            self.refused += 1
            raise ConnectionError("the API is away")
        pod = self.pods.get(uid)
        if pod is None:
            return False
        pod.setdefault("status", {}).update(objects.copy(status))
        self.phases.setdefault(name, []).append(status["phase"])
        states = [each["state"] for each in status.get("containerStatuses") or ()]
        # A container that has not been looked at yet waits without a message.
        self.waiting[name] += [
            {"message": "", **state["waiting"]} for state in states if "waiting" in state
        ]
        await self._tell("MODIFIED", pod)
        return True

    async def remove_pod(self, namespace: str, name: str, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is not None:
            await self._tell("DELETED", pod)

    async def create_event(self, pod: JSON, type_: str, reason: str, message: str) -> None:
        self.events.append((objects.name(pod), reason, message))

    async def _tell(self, type_: Any, pod: JSON) -> None:
        self.watch.put_nowait(PodEvent(type_, objects.copy(pod)))
        async with self.changed:
            self.changed.notify_all()

    async def create(self, name: str, *containers: JSON, **spec: Any) -> JSON:
        pod: JSON = {
            "metadata": {"name": name, "namespace": "ns", "uid": str(uuid.uuid4())},
            "spec": {"restartPolicy": "Never", "containers": list(containers), **spec},
        }
        podspec.default(pod)
        self.pods[objects.uid(pod)] = pod
        await self._tell("ADDED", pod)
        return pod

    async def delete(self, pod: JSON, grace: int) -> None:
        pod["metadata"] |= {
            "deletionTimestamp": objects.stamp(datetime.now(UTC) + timedelta(seconds=grace)),
            "deletionGracePeriodSeconds": grace,
        }
        await self._tell("MODIFIED", pod)

    async def until(self, found: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(found)

    async def finished(self, pod: JSON) -> str:
        await self.until(lambda: objects.finished(pod))
        return str(pod["status"]["phase"])

    async def running(self, pod: JSON) -> None:
        await self.until(lambda: (pod.get("status") or {}).get("phase") == "Running")


class Fast(Clock):
    """A clock whose seconds pass for waits thirty times as fast, and that can be set."""

    shift = 0.0

    def time(self) -> float:
        return super().time() + self.shift

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 30)


class Node:
    """An agent that can be stopped and started anew on the same folder."""

    def __init__(self, api: Api, folder: Path, **options: Any) -> None:
        self.api = api
        self.folder = folder
        self.options = options
        self.clock = Fast()
        self.agent: Agent
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.agent = Agent(
            self.api,
            name="node-1",
            folder=self.folder,
            config=self.folder / "config.yaml",
            capacity={"cpu": "2", "memory": "4Gi", "pods": "20"},
            version="v1.37.2",
            store=ImageStore(self.folder / "store"),
            clock=self.clock,
            **self.options,
        )
        self.task = asyncio.create_task(self.agent.run())

    async def stop(self) -> None:
        """End the agent as a crash would, as far as the pods can tell."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait((self.task,))
            self.task = None

    def volume(self, pod: JSON) -> Path:
        """Where the volume `v` of a pod lies; with VOLUMES and DATA its container has it."""
        return self.folder / "pods" / objects.uid(pod) / "volumes/v"

    async def emptied(self) -> None:
        """Wait until no pod has a folder any more."""
        pods = self.folder / "pods"
        async with asyncio.timeout(PATIENCE):
            while any(pods.iterdir()):  # noqa: ASYNC110 - a folder has no event to wait for
                await asyncio.sleep(0.01)

    async def logs(self, pod: JSON, name: str = "main", **options: Any) -> bytes:
        chunks = self.agent.logs(pod, name, LogOptions(**options))
        return b"".join([chunk async for chunk in chunks])


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def node(api: Api, tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(api, tmp_path / "node", processes=100)
    made.start()
    yield made
    if made.task is None:
        made.start()
    # Gone from the API: the node ends what still runs of them.
    api.pods.clear()
    await made.stop()
    made.start()
    await made.emptied()
    await made.stop()
    async with asyncio.timeout(PATIENCE):
        while container.reap():  # noqa: ASYNC110 - a process that ends tells its parent alone
            await asyncio.sleep(0.01)


DATA: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
VOLUMES: list[JSON] = [{"name": "v", "emptyDir": {}}]
GATE = "until test -e /data/go; do sleep 0.01; done"
"""Waits for a file in the volume, so that the container outlives what a test does meanwhile."""


async def appears(path: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - a file tells nobody
            await asyncio.sleep(0.01)


def shell(script: str, name: str = "main", **more: Any) -> JSON:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}
