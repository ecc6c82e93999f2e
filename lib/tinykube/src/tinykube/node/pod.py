"""One pod on this node, from its arrival to its removal."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox import tree
from sandbox.limits import LimitKeeper
from tinykube import objects
from tinykube.node import status
from tinykube.node.addresses import Addresses
from tinykube.node.beginning import begun
from tinykube.node.client import JSON, NodeClient
from tinykube.node.clock import Clock
from tinykube.node.env import Host
from tinykube.node.gpus.leases import ShortageError
from tinykube.node.gpus.manager import Gpus
from tinykube.node.growth import Growth
from tinykube.node.images import ImageMap
from tinykube.node.leavings import Leavings
from tinykube.node.recipe import Context
from tinykube.node.spare import Spare
from tinykube.node.volumes import VolumeError, Volumes
from tinykube.node.waiting import first_of, happened
from tinykube.node.workload import Workload

logger = logging.getLogger(__name__)

_RETRY, _LONGEST_RETRY = 0.2, 10.0
# How long a change waits for another, in seconds: one report may then tell of both. A pod that
# does little has ended by then. A kubelet looks at its pods once a second.
_GATHER = 0.1
# How often what volumes are filled from is looked at, in seconds.
_REFRESH = 30.0
# What of its metadata a pod may have in a volume's files, and that may change.
_SHOWN = ("labels", "annotations")
_DEADLINE = (
    "DeadlineExceeded",
    "Pod was active on the node longer than the specified deadline",
)


@dataclass(frozen=True, slots=True)
class Node:
    """What the pods of this node share.

    Attributes:
        folder: holds a folder `pods/UID` for each pod.
        post: records an Event: the pod, type, reason, message. Returns at once.
        processes: how many each container may have, with its threads; None: no limit.
    """

    client: NodeClient
    images: ImageMap
    keeper: LimitKeeper
    host: Host
    folder: Path
    post: Callable[[JSON, Literal["Normal", "Warning"], str, str], None]
    clock: Clock
    growth: Growth
    gpus: Gpus
    addresses: Addresses
    processes: int | None
    leavings: Leavings
    spare: Spare

    def pod_folder(self, uid: str) -> Path:
        """The folder of a pod."""
        return Path(f"{self.folder}/pods/{uid}")


class Pod:
    """Runs one pod; `run` is its task.

    Args:
        node: what it shares with the others.
        body: the pod as the API has it.
    """

    def __init__(self, node: Node, body: JSON) -> None:
        self._node = node
        self._clock = node.clock
        self.body = body
        self.uid: str = body["metadata"]["uid"]
        self.folder = node.pod_folder(self.uid)
        self._changed = asyncio.Event()
        self._altered = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = False
        self._stopping = False
        self._host = node.host
        self._ended = objects.finished(body)
        self._failure: tuple[str, str] | None = None
        self._sent: JSON = {}
        self._init: Sequence[Workload] = ()
        self._main: Sequence[Workload] = ()
        if objects.terminating(body):
            self._deleted.set()

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """Its containers, those that initialise it first."""
        return (*self._init, *self._main)

    def update(self, body: JSON) -> None:
        """Take note of a change in the API."""
        if any(body["metadata"].get(k) != self.body["metadata"].get(k) for k in _SHOWN):
            self._altered.set()
        self.body = body
        if objects.terminating(body):
            self._deleted.set()

    def rename(self) -> None:
        """Bring its containers' names up to the services there are."""
        for workload in self.workloads:
            workload.rename()

    def vanish(self) -> None:
        """The API has removed it: end it at once, there is nothing to report to."""
        self._gone = True
        self._deleted.set()
        for workload in self.workloads:
            workload.kill()

    async def run(self) -> None:
        """Run the pod until it is removed. Cancelled, it leaves the containers running."""
        if not self._ended:
            await self._live()
        self._node.gpus.release(self.uid)
        await self._deleted.wait()
        await self._remove()

    async def _live(self) -> None:
        """Run its containers until they have ended or are to be ended."""
        self._prepare()
        try:
            self._node.gpus.admit(self.body)
        except ShortageError as error:
            self._failure, self._ended = ("UnexpectedAdmissionError", str(error)), True
            self._post("Warning", "UnexpectedAdmissionError", str(error))
            await self._publish()
            return
        # The containers first: what there is to tell of them waits for more of it anyhow.
        work = asyncio.create_task(self._work())
        publisher = asyncio.create_task(self._publish_changes())
        deleted = asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait(
                (work, deleted),
                timeout=self._time_left(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if work.done():
                work.result()
            else:
                overdue = not deleted.done()
                work.cancel()
                await asyncio.wait((work,))
                if overdue:
                    self._failure = _DEADLINE
                    self._post("Normal", "DeadlineExceeded", _DEADLINE[1])
                # One last report tells how all of it ended and why.
                self._stopping = True
                await self._stop()
            self._ended = True
            self._changed.set()
            await publisher
        finally:
            tasks = (publisher, work, deleted)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _prepare(self) -> None:
        self._node.spare.take(self.folder)
        address = self._node.addresses.of(self.uid)
        said = (self.body.get("status") or {}).get("startTime")
        self._started = begun(self.folder, self._node.addresses.since(self.uid), said)
        host = self._node.host
        if address != host.address:
            host = dataclasses.replace(host, pod_address=address)
        self._host = host
        self._volumes = Volumes(self.body, self.folder, self._node.client, self._node.images, host)
        context = Context(
            pod=self.body,
            folder=self.folder,
            client=self._node.client,
            images=self._node.images,
            keeper=self._node.keeper,
            volumes=self._volumes,
            host=host,
            event=self._post,
            clock=self._clock,
            growth=self._node.growth,
            gpus=self._node.gpus,
            processes=self._node.processes,
            spent=functools.partial(self._node.leavings.add, self.uid),
            begun=self._node.spare.renew,
        )
        found = self.body.get("status") or {}
        known_init = {s["name"]: s for s in found.get("initContainerStatuses") or ()}
        known_main = {s["name"]: s for s in found.get("containerStatuses") or ()}
        spec, changed = self.body["spec"], self._changed.set
        self._init = [
            Workload(context, item, known_init.get(item["name"], {}), changed, init=True)
            for item in spec.get("initContainers") or ()
        ]
        self._main = [
            Workload(context, item, known_main.get(item["name"], {}), changed, init=False)
            for item in spec["containers"]
        ]
        self._changed.set()

    def _time_left(self) -> float | None:
        seconds = self.body["spec"].get("activeDeadlineSeconds")
        return None if seconds is None else max(self._started + seconds - time.time(), 0)

    async def _work(self) -> None:
        """Volumes, then the containers that initialise, one by one, then all others.

        Those that run beside the others hold the next ones up until they have started, and end
        last.
        """
        await self._make_volumes()
        beside: dict[Workload, asyncio.Task[object]] = {}
        renewal = asyncio.create_task(self._refresh_volumes()) if self._volumes.living else None
        # After the node's restart what runs already waits for nobody.
        begun = any(workload.begun for workload in self._main)
        try:
            for workload in self._init:
                if workload.sidecar:
                    beside[workload] = asyncio.create_task(workload.run())
                    if not begun:
                        await happened(workload.started.wait(), beside[workload])
                elif (await workload.run()).failed:
                    break
            else:
                await self._run_main()
        finally:
            others = [*beside.values(), *(() if renewal is None else (renewal,))]
            for other in others:
                other.cancel()
            if others:
                await asyncio.wait(others)
            for task in beside.values():
                if not task.cancelled():
                    task.result()
        await self._stop_sidecars(list(beside))

    async def _run_main(self) -> None:
        """Run the containers that make the pod; most pods have one."""
        if len(self._main) == 1:
            await self._main[0].run()
            return
        async with asyncio.TaskGroup() as group:
            for workload in self._main:
                group.create_task(workload.run())

    async def _stop_sidecars(self, beside: Sequence[Workload]) -> None:
        """End what ran beside the others, the last one first."""
        until = self._clock.monotonic() + self._grace()
        for workload in reversed(beside):
            if workload.running:
                self._post("Normal", "Killing", f"Stopping container {workload.name}")
            await workload.stop(until)

    async def _make_volumes(self) -> None:
        pause = _RETRY
        while True:
            try:
                await self._volumes.prepare()
            except VolumeError as error:
                if pause == _RETRY:
                    self._post("Warning", "FailedMount", str(error))
            except OSError as error:
                logger.warning("volumes of pod %s: %s", self._name, error)
                self._post("Warning", "FailedMount", str(error))
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _refresh_volumes(self) -> None:
        """Follow what the volumes' files come from, and the pod's own labels and annotations."""
        while self._volumes.living:
            due = self._volumes.renew_at
            left = _REFRESH if due is None else min(due - self._clock.time(), _REFRESH)
            await first_of(self._clock.sleep(max(left, 1)), self._altered.wait())
            self._altered.clear()
            try:
                await self._volumes.refresh(self.body)
            except (VolumeError, OSError, LookupError) as error:
                logger.warning("volumes of pod %s stay as they are: %s", self._name, error)

    async def _stop(self) -> None:
        """End all its containers within its grace period; those beside the others last."""
        until = self._grace_end()
        for workload in self.workloads:
            if workload.running and not workload.sidecar:
                self._post("Normal", "Killing", f"Stopping container {workload.name}")
        async with asyncio.TaskGroup() as group:
            for workload in self.workloads:
                if not workload.sidecar:
                    group.create_task(workload.stop(until))
        for workload in reversed(self._init):
            if workload.sidecar:
                if workload.running:
                    self._post("Normal", "Killing", f"Stopping container {workload.name}")
                await workload.stop(until)

    def _grace(self) -> float:
        seconds = self.body["spec"].get("terminationGracePeriodSeconds")
        return float(30 if seconds is None else seconds)

    def _grace_end(self) -> float:
        """When what still runs is killed, by the monotonic clock."""
        now = self._clock.monotonic()
        if self._gone:
            return now
        meta = self.body["metadata"]
        if not meta.get("deletionTimestamp"):
            return now + self._grace()
        # Never by the time stamp: it is of another clock, and that may be wrong, or set.
        return now + float(meta.get("deletionGracePeriodSeconds") or 0)

    async def _remove(self) -> None:
        meta = self.body["metadata"]
        pause = _RETRY
        while not self._gone:
            try:
                await self._node.client.remove_pod(meta["namespace"], meta["name"], self.uid)
                break
            except OSError as error:
                logger.warning("cannot remove pod %s: %s", self._name, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY)
        await self._node.leavings.forget(self.uid)
        if not tree.clear(self.folder):
            await asyncio.to_thread(tree.remove, self.folder)
        self._node.addresses.release(self.uid)

    async def _publish_changes(self) -> None:
        while True:
            await self._changed.wait()
            await self._gather()
            self._changed.clear()
            last = self._ended
            if last or not self._stopping:
                await self._publish()
            if last:
                return

    async def _gather(self) -> None:
        """Wait for what may be told together with what there is; for nothing once all ended."""
        pause = asyncio.create_task(self._clock.sleep(_GATHER))
        pause.add_done_callback(self._awake)
        try:
            while not (pause.done() or self._ended or self._final):
                self._changed.clear()
                await self._changed.wait()
        finally:
            pause.remove_done_callback(self._awake)
            pause.cancel()

    def _awake(self, pause: asyncio.Task[None]) -> None:
        del pause
        self._changed.set()

    @property
    def _final(self) -> bool:
        """True if its containers have all ended for good."""
        return bool(self._main) and all(each.view.final for each in self.workloads)

    async def _publish(self) -> None:
        """Bring the API's status up to date; tried until it works or the pod is gone."""
        meta = self.body["metadata"]
        pause = _RETRY
        while not self._gone:
            new = status.compute(
                self.body,
                [workload.view for workload in self._init],
                [workload.view for workload in self._main],
                started=self._started,
                address=self._host.serving,
                host=self._host.address,
                ended=self._ended,
                failure=self._failure if self._ended else None,
            )
            if _same(new, self._sent):
                return
            if objects.finished({"status": new}):
                # Before the API hears of the end, and another pod comes for what this one held.
                self._node.gpus.release(self.uid)
            try:
                if not await self._node.client.patch_status(
                    meta["namespace"], meta["name"], self.uid, new
                ):
                    self._gone = True
                    self._deleted.set()
                self._sent = new
                return
            except OSError as error:
                logger.warning("cannot report pod %s: %s", self._name, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY)

    def _post(self, type_: str, reason: str, message: str) -> None:
        self._node.post(self.body, "Warning" if type_ == "Warning" else "Normal", reason, message)

    @property
    def _name(self) -> str:
        return f"{objects.namespace(self.body)}/{objects.name(self.body)}"


def _same(new: JSON, old: JSON) -> bool:
    """True if two statuses differ in nothing but the times of their conditions."""

    def bare(body: JSON) -> JSON:
        conditions = [
            {key: value for key, value in item.items() if key != "lastTransitionTime"}
            for item in body.get("conditions") or ()
        ]
        return {**body, "conditions": conditions}

    return bare(new) == bare(old)
