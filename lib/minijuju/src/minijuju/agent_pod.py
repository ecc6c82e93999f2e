"""A unit's pod: started or adopted, what its containers report, and its end."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets as random_bytes
from collections.abc import Awaitable, Callable
from pathlib import Path

from minijuju import agent_statuses, applications, models, storages, units
from minijuju.archive import ArchiveError
from minijuju.charm import Charm, CharmError
from minijuju.errors import JujuError
from minijuju.golang import GoError
from minijuju.house import House, Runtime, load_charm
from minijuju.interpreters import PythonError
from minijuju.pebble import PebbleError
from minijuju.runtime import ClusterAccess, StorageMount, UnitSpec
from minijuju.uniter import Hook, Local, Step
from minijuju.workload import WorkloadEvent
from sandbox.errors import ImageError, SandboxError

logger = logging.getLogger(__name__)

Complete = Callable[[UnitSpec], Awaitable[UnitSpec]]
"""Completes a spec with what the controller knows: names, and the way to Kubernetes."""
ERRORS = (
    ArchiveError,
    CharmError,
    GoError,
    ImageError,
    JujuError,
    OSError,
    PebbleError,
    PythonError,
    SandboxError,
)
"""What keeps a pod from being started, or code from being run in it."""
_LONGEST_RETRY = 60.0


class UnitPod:
    """The pod of one unit.

    Attributes:
        runtime: its processes; None while there is none.
        charm: what it was made of.
        access: its way to Kubernetes, if it has one.
    """

    def __init__(self, house: House, model: str, unit: str, complete: Complete) -> None:
        self.runtime: Runtime | None = None
        self.charm = Charm(name="none")
        self.access: ClusterAccess | None = None
        self._house = house
        self._state = house.state
        self._model = model
        self._unit = unit
        self._complete = complete
        self._workload: list[Hook] = []
        self._reported: set[str] = set()
        self._retry = 1.0

    # Its start.

    async def start(
        self, model: models.Model, application: applications.Application, unit: units.Unit
    ) -> float:
        """Start or adopt the pod; seconds to wait if that failed."""
        pod = unit.pod
        if pod is None or (not unit.local.installed and unit.local.pending is None):
            pod = self.wanted(application)
        failures: list[BaseException] = []
        try:
            await self._start(model, application, unit, pod)
        except* ERRORS as group:
            failures.append(group)
        if failures:
            text = "; ".join(text for failure in failures for text in causes(failure))
            problem = f"cannot start the pod: {text}"
            logger.warning("%s: %s", self._unit, problem)
            self._house.write_log(model, self._unit, "ERROR", "pod", problem)
            put = (self._state, self._model, self._unit)
            with self._state.transaction():
                agent_statuses.fail_pod(*put, problem, installed=unit.local.installed)
            self._retry = min(self._retry * 2, _LONGEST_RETRY)
            return self._retry
        self._retry = 1.0
        return 0.0

    def wanted(self, application: applications.Application) -> units.Pod:
        """What a new pod is made of."""
        return units.Pod(
            charm=application.charm.path,
            version=application.charm_version,
            resources={
                name: resource["reference"]
                for name, resource in application.resources.items()
                if resource["type"] == "oci-image"
            },
            storages=tuple(
                storage.id for storage in storages.every(self._state, self._model, self._unit)
            ),
        )

    async def _start(
        self,
        model: models.Model,
        application: applications.Application,
        unit: units.Unit,
        pod: units.Pod,
    ) -> None:
        spec = await self._complete(await self._spec(model, application, unit, pod))
        self.access = spec.cluster
        folder = self._house.unit_folder(self._model, self._unit)
        runtime = self._house.make_runtime(folder, spec)
        same = pod == unit.pod and bool(unit.boot) and runtime.running()
        if unit.boot and not same:
            # Said first: a controller that dies before it can say which pod it started must not
            # leave the new one to be taken for the old one, whose `start` has run.
            with self._state.transaction():
                units.update(self._state, self._model, self._unit, boot="")
        try:
            await runtime.start()
        except BaseException:
            await runtime.detach()
            raise
        self.charm = spec.charm
        self._workload.clear()
        self._reported.clear()
        local = dataclasses.replace(unit.local, charm_version=pod.version)
        with self._state.transaction():
            if not same:
                boot = random_bytes.token_hex(8)
                units.update(self._state, self._model, self._unit, boot=boot, pod=pod)
            units.save_local(self._state, self._model, self._unit, local)
            if local.pending is not None and local.pending.step is Step.FAILED:
                agent_statuses.fail(self._state, self._model, self._unit, local.pending.hook)
        self.runtime = runtime

    async def _spec(
        self,
        model: models.Model,
        application: applications.Application,
        unit: units.Unit,
        pod: units.Pod,
    ) -> UnitSpec:
        """What the runtime is told of the pod, as far as the model says it."""
        charm = load_charm(pod.charm)
        mounts = []
        for storage in storages.every(self._state, self._model, self._unit):
            # A storage that the charm has lost has no place any more.
            if storage.id in pod.storages and storage.name in charm.storage:
                storage.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                mounts.append(StorageMount(storage.id, storage.name, storage.folder))
        images = {}
        for name, container in charm.containers.items():
            reference = pod.resources.get(container.resource or "")
            if reference is None:
                continue
            image = await asyncio.to_thread(self._house.images.get, reference)
            if image is None:
                raise JujuError(
                    f"the image {reference} of container {name} is not in the store;"
                    f" attach it again: juju refresh {application.name} --resource"
                    f" {container.resource}=FOLDER"
                )
            images[name] = image
        return UnitSpec(
            model=model.name,
            model_uuid=model.uuid,
            application=application.name,
            unit=unit.name,
            charm_path=Path(pod.charm),
            charm=charm,
            images=images,
            storages=tuple(mounts),
            trusted=application.trust,
            address=unit.address,
            service_address=application.address,
            generation=pod.version,
            processes=model.processes,
            memory={
                name: limit
                for name in charm.containers
                if (limit := application.memory_limit(name)) is not None
            },
        )

    # What its containers report.

    async def news(self, runtime: Runtime) -> None:
        """Wait for a report of a container."""
        self._hear(await runtime.workload_events().get())

    def workload(self, local: Local) -> tuple[Hook, ...]:
        """Hooks for what the containers reported, oldest first, but for those that have run."""
        if self.runtime is not None:
            queue = self.runtime.workload_events()
            while not queue.empty():
                self._hear(queue.get_nowait())
        self._workload = [
            hook
            for hook in self._workload
            if not hook.boot_id or local.containers.get(hook.workload) != hook.boot_id
        ]
        return tuple(self._workload)

    def _hear(self, event: WorkloadEvent) -> None:
        self._reported.add(event.container)
        self._workload.append(workload_hook(event))

    def done(self, hook: Hook) -> None:
        """Forget the report that a hook was for."""
        self._workload = [one for one in self._workload if one != hook]

    @property
    def present(self) -> bool:
        """Whether every container has told that it is there."""
        return self._reported >= set(self.charm.containers)

    # Its end.

    async def stop(self) -> None:
        """End the pod, if there is one; another one may follow."""
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            await runtime.stop()

    async def remove(self) -> None:
        """End the pod, if there is one, and delete its folder."""
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            await runtime.remove()

    async def detach(self) -> None:
        """Let go of the pod, which runs on."""
        if self.runtime is not None:
            await self.runtime.detach()


def workload_hook(event: WorkloadEvent) -> Hook:
    """The hook that an event of a workload container asks for."""
    return Hook(
        f"pebble-{event.kind}",
        workload=event.container,
        boot_id=event.boot_id if event.kind == "ready" else "",
        notice_id=event.notice_id,
        notice_type=event.notice_type,
        notice_key=event.notice_key,
        check=event.check_name,
    )


def causes(error: BaseException) -> list[str]:
    """What went wrong, of a group every part."""
    if isinstance(error, BaseExceptionGroup):
        return [text for part in error.exceptions for text in causes(part)]
    return [str(error) or type(error).__name__]
