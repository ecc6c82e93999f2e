"""Pods started, followed, read and deleted through the Kubernetes API.

A pod that waits in a queue (Kueue) is made by a Job of the same name, and goes by that name here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from . import queue, status
from .api import Api, Watch
from .connection import Connection
from .errors import JobsError, RefusedError, UnavailableError
from .manifests import manifests
from .pod import CONTAINER, PodOptions, PodRequest
from .queue import JOB_NAME
from .status import PodPhase, PodStatus

log = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[PodStatus], None]
"""Called on the event loop with each change of a pod; must not block."""

_ASK_AGAIN: Final = 1.0
"""Seconds until the API is asked again that was not there."""
_ASK_KUEUE: Final = 5.0
"""Seconds between looks at why Jobs wait."""
_MOST_WORKLOADS: Final = "500"
_IMAGE_WARNING: Final = re.compile(r"spec\.containers\[([0-9]+)\]\.image: (.*)", re.DOTALL)
_NO_EFFECT: Final = re.compile(r"[^\s:]+: has no effect here: .*", re.DOTALL)
"""How a control plane tells that it takes a field and cannot give it; Kubernetes gives all."""
_INVALID: Final = re.compile(r'\S+ "[^"]*" is invalid: ')


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What the API makes of a pod that is not made.

    Attributes:
        invalid: why no such pod can ever be; "" if nothing is known against it.
        ineffective: the fields that would change nothing, each `FIELD: has no effect here: WHY`.
    """

    invalid: str = ""
    ineffective: tuple[str, ...] = ()


class Jobs:
    """The pods of one workload: those that carry its labels.

    Use it as an async context manager: the watches run inside. All methods raise UnavailableError
    when the API cannot be reached, RefusedError when it says no.
    """

    def __init__(self, connection: Connection, options: PodOptions) -> None:
        self._options = options
        self._api = Api(connection)
        self._path = f"/api/v1/namespaces/{options.namespace}/pods"
        self._jobs_path = f"/apis/batch/v1/namespaces/{options.namespace}/jobs"
        self._secrets = f"/api/v1/namespaces/{options.namespace}/secrets"
        self._claims = f"/api/v1/namespaces/{options.namespace}/persistentvolumeclaims"
        self._listeners: list[Listener] = []
        self._pods: dict[str, PodStatus] = {}
        self._published: dict[str, PodStatus] = {}
        self._why: dict[str, str] = {}
        self._watch = Watch(
            self._api, self._path, options.selector, self._pod_changed, self._pod_gone
        )
        self._queue = Watch(
            self._api, self._jobs_path, options.selector, self._job_changed, self._job_gone
        )
        self._queue_known = asyncio.Event()
        self._queueing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._watch.run(), name="pod-watch"),
            asyncio.create_task(self._follow_queue(), name="queue-watch"),
            asyncio.create_task(self._explain(), name="queue-reasons"),
        ]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._api.close()

    def subscribe(self, listener: Listener) -> None:
        """Hear of every change of a pod from now on, deletions included (phase GONE)."""
        self._listeners.append(listener)

    async def pods(self) -> dict[str, PodStatus]:
        """Give all pods by name, once the first list has come; waits for the API until then."""
        await self._watch.listed.wait()
        await self._queue_known.wait()
        return dict(self._published)

    async def start(self, request: PodRequest) -> PodStatus:
        """Create the pod (or the Job that makes it) and what goes with it, or find them.

        Raises:
            RefusedError: the API does not take the pod (invalid, forbidden, over a quota), or has
                no devices to claim (DRA) or no Jobs to queue.
        """
        *before, made = manifests(request, self._options)
        for each in before:
            if each["kind"] == "Secret":
                await self._ensure_secret(each)
            else:
                await self._ensure_template(each)
        queued = made["kind"] == "Job"
        if queued:
            self._queueing.set()
        path = self._jobs_path if queued else self._path
        try:
            found = await self._api.call("POST", path, body=made)
        except RefusedError as error:
            if error.reason != "AlreadyExists":
                raise
            found = await self._api.call("GET", f"{path}/{request.name}")
        if not queued:
            return status.read(found)
        self._queue.objects.setdefault(request.name, found)
        return self._status(request.name)

    async def _ensure_secret(self, secret: Mapping[str, Any]) -> None:
        """Create the pod's own secret, unless it is there: its content follows from its name."""
        try:
            await self._api.call("POST", self._secrets, body=secret)
        except RefusedError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _ensure_template(self, template: Mapping[str, Any]) -> None:
        """Create what the pod's claim for GPUs is made of, unless it is there."""
        namespace = self._options.namespace
        path = f"/apis/{template['apiVersion']}/namespaces/{namespace}/resourceclaimtemplates"
        try:
            await self._api.call("POST", path, body=template)
        except RefusedError as error:
            if error.code == 404:
                device = self._options.gpus.device_class
                raise RefusedError(
                    404,
                    error.reason,
                    f"GPUs are asked for as devices of the class {device!r}, and the cluster "
                    "has no dynamic resource allocation (resource.k8s.io/v1)",
                ) from error
            if error.reason != "AlreadyExists":
                raise

    async def missing(self, images: Sequence[str]) -> dict[str, str]:
        """Give which of some images no pod could have, and why, as far as the API can tell.

        It is asked by a dry run, and says so in warnings. A cluster that pulls images knows
        nothing beforehand; what it refuses otherwise (a quota, a policy) is not judged here.
        """
        containers = [
            {"name": f"image-{number}", "image": image, "command": ["true"]}
            for number, image in enumerate(images)
        ]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "image-check-"},
            "spec": {"restartPolicy": "Never", "containers": containers},
        }
        try:
            warned = await self._api.warnings(self._path, body)
        except JobsError as error:
            log.debug("whether images can be had is not known: %s", error)
            return {}
        found = (_IMAGE_WARNING.fullmatch(each) for each in warned)
        return {images[int(each[1])]: each[2] for each in found if each}

    async def appraise(self, request: PodRequest) -> Appraisal | None:
        """Ask by a dry run what the API makes of a request; None if it does not say.

        It does not while it is away, and where something that may pass (a quota, a policy) refuses
        the pod. Its name does not matter, so that it may be the same for all.
        """
        made = manifests(request, self._options)[-1]
        path = self._jobs_path if made["kind"] == "Job" else self._path
        metadata = {**made["metadata"], "generateName": f"{made['metadata']['name']}-"}
        del metadata["name"]
        try:
            warned = await self._api.warnings(path, {**made, "metadata": metadata})
        except RefusedError as error:
            if error.code == 422:
                return Appraisal(invalid=_INVALID.sub("", str(error), count=1))
            log.debug("what becomes of a pod is not known: %s", error)
            return None
        except UnavailableError as error:
            log.debug("what becomes of a pod is not known: %s", error)
            return None
        return Appraisal(ineffective=tuple(filter(_NO_EFFECT.fullmatch, warned)))

    async def get(self, name: str) -> PodStatus:
        """Give one pod as the API has it now; phase GONE if there is none."""
        if name in self._queue.objects:
            return await self._get_queued(name)
        found = await self._api.find(f"{self._path}/{name}")
        return status.read(found) if found else PodStatus(name, PodPhase.GONE)

    async def _get_queued(self, name: str) -> PodStatus:
        pods = await self._api.call("GET", self._path, query={"labelSelector": _of(name)})
        if pods.get("items"):
            return status.read(pods["items"][-1])
        found = await self._api.find(f"{self._jobs_path}/{name}")
        return queue.read(found) if found else PodStatus(name, PodPhase.GONE)

    async def delete(self, name: str, *, grace: int | None = None) -> None:
        """Delete the pod and its secret if they are there.

        `grace` 0 kills the pod at once, None leaves it its time.
        """
        query = {} if grace is None else {"gracePeriodSeconds": str(grace)}
        own = name
        if name in self._queue.objects:
            own = self._pods[name].pod if name in self._pods else ""
            # The Job first, or it would count the loss of its pod.
            await self._api.drop(f"{self._jobs_path}/{name}", {"propagationPolicy": "Background"})
        if own:
            await self._api.drop(f"{self._path}/{own}", query)
        if self._options.secrets:
            await self._api.drop(f"{self._secrets}/{name}", {})

    async def logs(self, name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Give what the pod printed, in chunks; with `follow` until it ends.

        Raises:
            RefusedError: there is no such pod, or its container has not started.
        """
        known = self._pods.get(name)
        own = known.pod if known is not None and known.pod else name
        query = {"container": CONTAINER, "follow": "true" if follow else "false"}
        async for chunk in self._api.stream(f"{self._path}/{own}/log", query, endless=follow):
            yield chunk

    async def metadata(self, resource: str, name: str) -> Mapping[str, Any]:
        """Give the metadata of an object of the namespace (`secrets`, ...); {} if there is none.

        What it holds is not asked for.
        """
        path = f"/api/v1/namespaces/{self._options.namespace}/{resource}/{name}"
        return await self._api.metadata(path)

    async def create_claim(
        self, name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any], *, own: bool
    ) -> None:
        """Create a persistent volume claim.

        Args:
            name: its name.
            spec: its `spec`, as Kubernetes has it.
            metadata: its `labels` and `annotations`.
            own: True if it is this workload's and so bears its labels.

        Raises:
            RefusedError: the API does not take it (invalid, forbidden, over a quota), or it is
                there (reason `AlreadyExists`).
        """
        labels = {**(metadata.get("labels") or {}), **(self._options.labels if own else {})}
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**metadata, "name": name, "labels": labels},
            "spec": spec,
        }
        await self._api.call("POST", self._claims, body=body)

    async def own_claims(self) -> dict[str, Mapping[str, str]]:
        """Give the labels of the persistent volume claims that are this workload's, by name.

        Raises:
            RefusedError: they may not be listed.
        """
        query = {"labelSelector": self._options.selector}
        found = await self._api.call("GET", self._claims, query=query)
        return {
            each["metadata"]["name"]: each["metadata"].get("labels") or {}
            for each in found.get("items") or ()
        }

    async def delete_claim(self, name: str, uid: str) -> None:
        """Delete a persistent volume claim; one that is gone, or of another uid, is let be.

        Pods that mount it keep it until they have ended.

        Raises:
            RefusedError: the API does not let it be deleted.
        """
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            await self._api.call("DELETE", f"{self._claims}/{name}", body=body)
        except RefusedError as error:
            if error.code not in (404, 409):
                raise

    # -- what the watches tell

    def _pod_changed(self, item: Mapping[str, Any]) -> None:
        found = status.read(item)
        self._pods[found.name] = found
        self._publish(found.name)

    def _pod_gone(self, item: Mapping[str, Any]) -> None:
        found = status.read(item)
        known = self._pods.get(found.name)
        if known is None or known.pod == found.pod:
            # Not the earlier pod of a Job that has its next one already.
            self._pods.pop(found.name, None)
            self._publish(found.name)

    def _job_changed(self, item: Mapping[str, Any]) -> None:
        self._publish(item["metadata"]["name"])

    def _job_gone(self, item: Mapping[str, Any]) -> None:
        self._publish(item["metadata"]["name"])

    def _status(self, name: str) -> PodStatus:
        """Give what is known of a pod: it speaks for itself, before it is there its Job does."""
        pod, job = self._pods.get(name), self._queue.objects.get(name)
        if pod is not None:
            return pod
        if job is not None:
            return queue.read(job, self._why.get(job["metadata"].get("uid", ""), ""))
        return PodStatus(name, PodPhase.GONE)

    def _publish(self, name: str) -> None:
        changed = self._status(name)
        if changed.phase is PodPhase.GONE:
            if self._published.pop(name, None) is None:
                return
        elif self._published.get(name) == changed:
            return
        else:
            self._published[name] = changed
        for listener in self._listeners:
            listener(changed)

    # -- queues

    async def _follow_queue(self) -> None:
        """Follow Jobs once there is one; without any, no watch is held."""
        if not self._options.queue and not await self._left():
            self._queue_known.set()
            await self._queueing.wait()
        self._queueing.set()
        follow = asyncio.create_task(self._queue.run(), name="job-watch")
        try:
            await self._queue.listed.wait()
            self._queue_known.set()
            await follow
        finally:
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)

    async def _left(self) -> bool:
        """Tell whether there are Jobs of an earlier setting."""
        query = {"labelSelector": self._options.selector, "limit": "1"}
        while True:
            try:
                found = await self._api.find(self._jobs_path, query)
            except UnavailableError as error:
                log.warning("looking for Jobs: %s", error)
                await asyncio.sleep(_ASK_AGAIN)
            except RefusedError as error:
                # Whoever may not see Jobs has made none.
                log.debug("no Jobs are followed: %s", error)
                return False
            else:
                return bool(found.get("items"))

    async def _explain(self) -> None:
        """Keep track of why Jobs wait: Kueue's Workloads tell."""
        await self._queueing.wait()
        while True:
            waiting = [
                name
                for name, found in self._published.items()
                if found.reason == queue.QUEUED and name in self._queue.objects
            ]
            if waiting:
                try:
                    self._why = await self._ask_kueue()
                except JobsError as error:
                    log.debug("why Jobs wait is not known: %s", error)
                for name in waiting:
                    self._publish(name)
            await asyncio.sleep(_ASK_KUEUE)

    async def _ask_kueue(self) -> dict[str, str]:
        group = await self._api.find(queue.KUEUE)
        version = (group.get("preferredVersion") or {}).get("groupVersion")
        if not version:
            absent = "the cluster has no Kueue, which would start it (kueue.x-k8s.io)"
            uids = [job["metadata"].get("uid", "") for job in self._queue.objects.values()]
            return dict.fromkeys(uids, absent)
        path = f"/apis/{version}/namespaces/{self._options.namespace}/workloads"
        found = await self._api.call("GET", path, query={"limit": _MOST_WORKLOADS})
        return queue.reasons(found.get("items") or [])


def _of(name: str) -> str:
    return f"{JOB_NAME}={name}"
