"""A unit's agent: asks the uniter what is next, does it, and commits what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import logging
import random
import secrets as random_bytes
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minijuju import (
    applications,
    models,
    relations,
    secret_events,
    secret_readers,
    statuses,
    storages,
    tasks,
    uniter,
    units,
)
from minijuju.archive import ArchiveError
from minijuju.charm import Charm, CharmError
from minijuju.errors import JujuError
from minijuju.golang import GoError
from minijuju.hooks import environment
from minijuju.hooks.context import Context
from minijuju.hooks.server import HookServer
from minijuju.house import House, Runtime, load_charm
from minijuju.interpreters import PythonError
from minijuju.pebble import PebbleError
from minijuju.runtime import ClusterAccess, StorageMount, UnitSpec
from minijuju.uniter import Hook, Life, Local, Operation, Resolved, Step
from minijuju.workload import WorkloadEvent
from sandbox.errors import ImageError, SandboxError

logger = logging.getLogger(__name__)

Complete = Callable[[UnitSpec], Awaitable[UnitSpec]]
"""Completes a spec with what the controller knows: names, and the way to Kubernetes."""
_POD_ERRORS = (
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
MAX_OUTPUT = 1024 * 1024
"""How much of a task's output is kept, in characters of each stream."""
JITTER = 0.2
CLOCK_PERIOD = 60.0
"""Seconds after which a moment of the wall clock is looked at again."""


_BESPOKE = "explicit, bespoke hook script"
_REFUSED = "committing requested changes failed"


@dataclass(slots=True)
class Outcome:
    """How a run of charm code ended.

    `error` is why it could not be run to its end, or why its writes could not be committed, which
    `refused` says alone.
    """

    code: int
    stdout: str = ""
    stderr: str = ""
    error: str = ""
    refused: str = ""


class Agent:
    """Runs one unit until it is gone or the task is cancelled.

    Cancelling lets go of the pod, which runs on; the hook at hand is killed and stays pending.
    """

    def __init__(
        self,
        house: House,
        model: str,
        unit: str,
        *,
        complete: Complete,
        changed: Callable[[], None],
        bury: Callable[[units.Unit], None],
    ) -> None:
        self.house = house
        self.state = house.state
        self.model_uuid = model
        self.name = unit
        self.runtime: Runtime | None = None
        self._complete = complete
        self._changed = changed
        self._bury_unit = bury
        self._charm = Charm(name="none")
        self._access: ClusterAccess | None = None
        self._server = HookServer(house.hooks_folder(model, unit))
        self._wake = asyncio.Event()
        self._workload: list[Hook] = []
        self._reported: set[str] = set()
        self._running: asyncio.Task[Outcome] | None = None
        self._killed = False
        self._retry_at = 0.0
        self._update_from = time.monotonic()
        self._update_factor = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        self._pod_retry = 1.0

    # What the controller calls.

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    def kill(self) -> bool:
        """Kill the charm code that runs; it counts as failed. False: none runs."""
        if self._running is None:
            return False
        self._killed = True
        self._running.cancel()
        return True

    @property
    def busy(self) -> bool:
        """Whether charm code runs."""
        return self._running is not None

    async def run(self) -> None:
        """Be the unit's agent; returns when the unit is gone from the model."""
        try:
            await self._server.start()
            while True:
                self._wake.clear()
                try:
                    pause = await self._turn()
                except sqlite3.OperationalError as error:
                    # A full disk, say: what was under way was rolled back and is done again.
                    logger.error("%s: the database refuses: %s", self.name, error)
                    pause = 5.0
                if pause is None:
                    return
                if pause > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._next_event()
        finally:
            await self._server.stop()
            if self.runtime is not None:
                await self.runtime.detach()

    async def _next_event(self) -> None:
        """Wait for a change of the model or for news of the workload."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        if self.runtime is not None:
            waits.append(asyncio.ensure_future(self._news(self.runtime)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _news(self, runtime: Runtime) -> None:
        self._hear(await runtime.workload_events().get())

    def _hear(self, event: WorkloadEvent) -> None:
        self._reported.add(event.container)
        self._workload.append(workload_hook(event))

    # One turn.

    async def _turn(self) -> float | None:
        """Do one thing; seconds to wait before the next, None at the end of the unit."""
        unit = units.find(self.state, self.model_uuid, self.name)
        model = models.get(self.state, self.model_uuid)
        if unit is None or model is None:
            await self._bury()
            return None
        application = applications.get(self.state, self.model_uuid, unit.application)
        if self.runtime is None and not unit.local.removed:
            pause = await self._pod(model, application, unit)
            if pause:
                return pause
            return 0.0
        if self.runtime is not None:
            queue = self.runtime.workload_events()
            while not queue.empty():
                self._hear(queue.get_nowait())
        self._workload = [
            hook
            for hook in self._workload
            if not hook.boot_id or unit.local.containers.get(hook.workload) != hook.boot_id
        ]
        remote, due = self._remote(model, application, unit)
        operation = uniter.next_operation(unit.local, remote)
        if operation is None:
            self._rest(unit)
            return self._patience(model, unit, due)
        if isinstance(operation, uniter.RunHook):
            operation = uniter.RunHook(uniter.queued_hook(operation.hook, remote))
        await self._execute(model, unit, operation)
        return 0.0

    def _rest(self, unit: units.Unit) -> None:
        """Say that nothing is to be done; a failed hook keeps its error."""
        failed = unit.local.pending is not None and unit.local.pending.step is Step.FAILED
        # Idle it is once every container has told that it is there.
        present = self._reported >= set(self._charm.containers)
        if not failed and unit.local.installed and present:
            statuses.put(self.state, self.model_uuid, self.name, "agent", "idle")

    def _patience(self, model: models.Model, unit: units.Unit, due: float | None) -> float:
        """Seconds until the clock alone brings something to do."""
        moments = [3600.0]
        pending = unit.local.pending
        if pending is not None and pending.step is Step.FAILED:
            if model.setting("automatically-retry-hooks"):
                moments.append(self._retry_at - time.monotonic())
        elif unit.local.started:
            moments.append(self._update_at(model) - time.monotonic())
        if due is not None:
            # The clock may be set meanwhile.
            moments.append(min(due - time.time(), CLOCK_PERIOD))
        return max(0.01, min(moments))

    def _update_at(self, model: models.Model) -> float:
        interval = model.seconds("update-status-hook-interval")
        return self._update_from + interval * self._update_factor

    def _remote(
        self, model: models.Model, application: applications.Application, unit: units.Unit
    ) -> tuple[uniter.Remote, float | None]:
        """The model's wishes as of now, and when time alone will change them (epoch seconds)."""
        leader = application.leader == unit.name
        due = secret_events.due(self.state, self.model_uuid, unit.name, leader=leader)
        waiting = tasks.pending(self.state, self.model_uuid, unit.name)
        local = unit.local
        update = local.update_status
        if local.started and time.monotonic() >= self._update_at(model):
            update += 1
        mounted = unit.pod.storages if unit.pod else ()
        remote = uniter.Remote(
            unit=unit.name,
            life=unit.life,
            app_life=application.life,
            leader=leader,
            boot=unit.boot,
            charm_version=application.charm_version,
            config_hash=self._config_hash(application, unit),
            relations=self._relations(unit),
            storages={
                storage.id: storage.life
                for storage in storages.every(self.state, self.model_uuid, unit.name)
                if storage.id in mounted
            },
            workload=tuple(self._workload),
            expired=due.expired,
            rotate=due.rotate,
            changed=due.changed,
            obsolete=due.obsolete,
            lost=self._lost(unit),
            actions=tuple(str(task.id) for task in waiting if task.kind == "action"),
            commands=tuple(str(task.id) for task in waiting if task.kind == "exec"),
            resolved=unit.resolved,
            retry_due=bool(model.setting("automatically-retry-hooks"))
            and time.monotonic() >= self._retry_at,
            update_status=update,
        )
        return remote, due.next

    def _lost(self, unit: units.Unit) -> frozenset[str]:
        """The secret of the pending hook, if there is nothing to tell of it any more."""
        hook = unit.local.pending.hook if unit.local.pending else None
        if hook is None or not hook.secret:
            return frozenset()
        reader = secret_readers.Reader(self.model_uuid, unit.name)
        secret = secret_readers.reach(self.state, reader, hook.secret)
        if secret is None:
            return frozenset({hook.secret})
        readable = secret_readers.readable(self.state, secret, reader)
        return frozenset() if readable else frozenset({hook.secret})

    def _config_hash(self, application: applications.Application, unit: units.Unit) -> str:
        settings = {
            name: application.config.get(name, option.default)
            for name, option in self._charm.options.items()
        }
        seen = [settings, application.trust, unit.address, application.address]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]

    def _relations(self, unit: units.Unit) -> dict[int, uniter.RemoteRelation]:
        found: dict[int, uniter.RemoteRelation] = {}
        for relation in relations.every(self.state, self.model_uuid, unit.application):
            here, other = relation.end(unit.application), relation.other(unit.application)
            if here.endpoint not in self._charm.endpoints:
                # A refresh to a charm without that endpoint is refused; this is an old pod's.
                continue
            found[relation.id] = uniter.RemoteRelation(
                endpoint=here.endpoint,
                app=other.application,
                peer=relation.peer,
                life=Life.DYING if relation.suspended else relation.life,
                members={
                    name: version
                    for name, version in relations.scope(self.state, relation).items()
                    if name != unit.name and name.partition("/")[0] == other.application
                },
                app_version=relations.version(self.state, relation, other.application),
            )
        return found

    # The pod.

    async def _pod(
        self, model: models.Model, application: applications.Application, unit: units.Unit
    ) -> float:
        """Start or adopt the pod; seconds to wait if that failed."""
        pod = unit.pod
        if pod is None or (not unit.local.installed and unit.local.pending is None):
            pod = self._new_pod(application)
        failures: list[BaseException] = []
        try:
            await self._start_pod(model, application, unit, pod)
        except* _POD_ERRORS as group:
            failures.append(group)
        if failures:
            text = "; ".join(text for failure in failures for text in _causes(failure))
            logger.warning("%s: cannot start the pod: %s", self.name, text)
            self.house.write_log(model, self.name, "ERROR", "pod", f"cannot start the pod: {text}")
            with self.state.transaction():
                put = (self.state, self.model_uuid, self.name)
                statuses.put(*put, "agent", "failed", f"cannot start the pod: {text}")
                if not unit.local.installed:
                    statuses.put(*put, "workload", "blocked", f"cannot start the pod: {text}")
            if unit.life is Life.DYING and not unit.local.installed:
                self._terminate(unit)
                return 0.01
            self._pod_retry = min(self._pod_retry * 2, 60.0)
            return self._pod_retry
        self._pod_retry = 1.0
        return 0.0

    def _new_pod(self, application: applications.Application) -> units.Pod:
        return units.Pod(
            charm=application.charm.path,
            version=application.charm_version,
            resources={
                name: resource["reference"]
                for name, resource in application.resources.items()
                if resource["type"] == "oci-image"
            },
            storages=tuple(
                storage.id for storage in storages.every(self.state, self.model_uuid, self.name)
            ),
        )

    async def _start_pod(
        self,
        model: models.Model,
        application: applications.Application,
        unit: units.Unit,
        pod: units.Pod,
    ) -> None:
        charm = load_charm(pod.charm)
        mounts = []
        for storage in storages.every(self.state, self.model_uuid, self.name):
            if storage.id in pod.storages:
                storage.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                mounts.append(StorageMount(storage.id, storage.name, storage.folder))
        images = {}
        for name, container in charm.containers.items():
            reference = pod.resources.get(container.resource or "")
            if reference is None:
                continue
            image = await asyncio.to_thread(self.house.images.get, reference)
            if image is None:
                raise JujuError(
                    f"the image {reference} of container {name} is not in the store;"
                    f" attach it again: juju refresh {application.name} --resource"
                    f" {container.resource}=FOLDER"
                )
            images[name] = image
        spec = UnitSpec(
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
            memory={
                name: limit
                for name in charm.containers
                if (limit := application.memory_limit(name)) is not None
            },
        )
        folder = self.house.unit_folder(self.model_uuid, self.name)
        spec = await self._complete(spec)
        self._access = spec.cluster
        runtime = self.house.make_runtime(folder, spec)
        same = pod == unit.pod and bool(unit.boot) and runtime.running()
        if unit.boot and not same:
            # Said first: a controller that dies before it can say which pod it started must not
            # leave the new one to be taken for the old one, whose `start` has run.
            with self.state.transaction():
                units.update(self.state, self.model_uuid, self.name, boot="")
        try:
            await runtime.start()
        except BaseException:
            await runtime.detach()
            raise
        self._charm = charm
        self._workload.clear()
        self._reported.clear()
        local = dataclasses.replace(unit.local, charm_version=pod.version)
        with self.state.transaction():
            if not same:
                boot = random_bytes.token_hex(8)
                units.update(self.state, self.model_uuid, self.name, boot=boot, pod=pod)
            units.save_local(self.state, self.model_uuid, self.name, local)
            if local.pending is not None and local.pending.step is Step.FAILED:
                self._show_error(local.pending.hook)
        self.runtime = runtime

    async def _bury(self) -> None:
        """The unit is gone from the model: end its pod and delete its folders."""
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            await runtime.remove()

    # Operations.

    async def _execute(self, model: models.Model, unit: units.Unit, operation: Operation) -> None:
        match operation:
            case uniter.RunHook(hook):
                await self._hook(model, unit, operation, hook)
            case uniter.RunTask(number):
                await self._task(model, unit, operation, int(number))
            case uniter.FailTask(number):
                with self.state.transaction():
                    task = tasks.get(self.state, self.model_uuid, int(number))
                    tasks.finish(self.state, task, "failed", "action terminated", {})
                    self._save(uniter.succeed(unit.local, operation))
            case uniter.Upgrade():
                await self._upgrade(model, unit, operation)
            case uniter.Terminate():
                self._terminate(unit)
            case uniter.SkipHook(hook):
                self._skip(unit, operation, hook)
            case _:
                with self.state.transaction():
                    self._save(uniter.succeed(unit.local, operation))

    def _gone(self) -> bool:
        """Whether the unit was taken away by force while its code ran."""
        return units.find(self.state, self.model_uuid, self.name) is None

    def _save(self, local: Local) -> None:
        units.save_local(self.state, self.model_uuid, self.name, local)

    def _skip(self, unit: units.Unit, operation: Operation, hook: Hook) -> None:
        with self.state.transaction():
            self._save(uniter.succeed(unit.local, operation))
            self._after(unit, hook, unit.local)
            units.update(self.state, self.model_uuid, self.name, resolved=Resolved.NONE)

    async def _hook(
        self, model: models.Model, unit: units.Unit, operation: Operation, hook: Hook
    ) -> None:
        local = uniter.begin(unit.local, operation)
        with self.state.transaction():
            if hook.kind == "relation-created":
                self._enter(unit, hook)
            if unit.resolved is not Resolved.NONE:
                units.update(self.state, self.model_uuid, self.name, resolved=Resolved.NONE)
            self._announce(hook)
            self._save(local)
        context = self._context(model, local, hook=hook)
        outcome = await self._dispatch(context)
        if self._gone():
            return
        if outcome.code == 0:
            with self._committing(context, outcome):
                context.flush()
                done = context.after(uniter.succeed(local, operation))
                self._save(done)
                self._after(unit, hook, local)
            if outcome.code == 0:
                self._log_hook(context, "INFO", hook, outcome)
        if outcome.code != 0:
            self._log_hook(context, "ERROR", hook, outcome)
            self._failed(model, hook, uniter.fail(local, operation), outcome)
        self._workload = [one for one in self._workload if one != hook]
        if hook.kind == "update-status" or not unit.local.started:
            self._update_from = time.monotonic()
            self._update_factor = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    @contextlib.contextmanager
    def _committing(self, context: Context, outcome: Outcome) -> Iterator[None]:
        """A transaction; what is refused in it turns the outcome into a failure."""
        try:
            with self.state.transaction():
                yield
        except (JujuError, sqlite3.IntegrityError) as error:
            outcome.code = 1
            outcome.error = f"{_REFUSED}: {error}"
            outcome.refused = str(error)
            return
        if context.writes.ports or context.writes.charm_state:
            self._changed()

    def _announce(self, hook: Hook) -> None:
        """The statuses that Juju itself sets before a hook."""
        put = (self.state, self.model_uuid, self.name)
        if hook.kind == "install":
            statuses.put(*put, "workload", "maintenance", "installing charm software")
        elif hook.kind == "stop":
            statuses.put(*put, "workload", "maintenance", "stopping charm software")
        if hook.kind != "update-status":
            statuses.put(*put, "agent", "executing", f"running {hook.name} hook")

    def _enter(self, unit: units.Unit, hook: Hook) -> None:
        relation = relations.find(self.state, self.model_uuid, hook.relation)
        if relation is None:
            return
        application = applications.get(self.state, self.model_uuid, unit.application)
        address = application.address or unit.address
        defaults = {
            "egress-subnets": f"{address}/32",
            "ingress-address": address,
            "private-address": address,
        }
        relations.enter_scope(self.state, relation, unit.name, defaults)

    def _after(self, unit: units.Unit, hook: Hook, local: Local) -> None:
        """What the end of a hook means beyond the unit's own progress; in its transaction."""
        put = (self.state, self.model_uuid, self.name)
        match hook.kind:
            case "start":
                # The cluster is to show that the unit is ready.
                self.state.touch(self.model_uuid)
                current = statuses.get(*put, "workload")
                untouched = (
                    ("waiting", "installing agent"),
                    ("maintenance", "installing charm software"),
                    ("maintenance", "stopping charm software"),
                )
                if current is None or (current.status, current.message) in untouched:
                    statuses.put(*put, "workload", "unknown")
            case "remove":
                statuses.put(*put, "workload", "terminated")
            case "relation-broken":
                relations.leave_scope(self.state, self.model_uuid, hook.relation, unit.name)
            case "secret-rotate":
                secret_events.rotated(
                    self.state, self.model_uuid, hook.secret, int(hook.version or 0)
                )
            case "secret-expired":
                secret_events.expired(self.state, self.model_uuid, hook.secret, hook.revision)

    def _failed(self, model: models.Model, hook: Hook, local: Local, outcome: Outcome) -> None:
        attempts = local.pending.attempts if local.pending else 1
        wait = min(
            model.seconds("hook-retry-base") * 2 ** min(attempts - 1, 30),
            model.seconds("hook-retry-max"),
        )
        self._retry_at = time.monotonic() + wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        with self.state.transaction():
            self._save(local)
            self._show_error(hook)

    def _log_hook(self, context: Context, level: str, hook: Hook, outcome: Outcome) -> None:
        """What became of a hook, in Juju's words."""
        program = self.runtime.handler(f"hooks/{hook.name}") if self.runtime else ""
        way = "hook dispatching script: dispatch" if program == "dispatch" else _BESPOKE
        if level == "INFO" and not program:
            text = f'skipped "{hook.name}" hook (missing)'
        elif level == "INFO":
            text = f'ran "{hook.name}" hook (via {way})'
        else:
            reason = outcome.error or f"exit status {outcome.code}"
            text = f'hook "{hook.name}" (via {way}) failed: {reason}'
        context.log(level, "operation", text)

    def _show_error(self, hook: Hook) -> None:
        data = {"hook": hook.name}
        if hook.remote_unit:
            data["remote-unit"] = hook.remote_unit
        message = f'hook failed: "{hook.name}"'
        statuses.put(self.state, self.model_uuid, self.name, "agent", "error", message, data)

    async def _task(
        self, model: models.Model, unit: units.Unit, operation: Operation, number: int
    ) -> None:
        local = uniter.begin(unit.local, operation)
        before = statuses.get(self.state, self.model_uuid, self.name, "agent")
        with self.state.transaction():
            task = tasks.get(self.state, self.model_uuid, number)
            tasks.start(self.state, task)
            words = f"running action {task.name}" if task.kind == "action" else "running commands"
            if before is None or before.status != "error":
                statuses.put(self.state, self.model_uuid, self.name, "agent", "executing", words)
            self._save(local)
        context = self._context(model, local, task=task)
        outcome = await self._dispatch(context)
        if self._gone():
            return
        done = uniter.succeed(local, operation)
        if outcome.code == 0:
            with self._committing(context, outcome):
                context.flush()
                done = context.after(done)
                self._finish(context, task, outcome, done)
        if outcome.code != 0:
            with self.state.transaction():
                self._finish(context, task, outcome, uniter.fail(local, operation))

    def _finish(self, context: Context, task: tasks.Task, outcome: Outcome, local: Local) -> None:
        """Record how a task ended, as Juju judges it (its `finalizeAction`)."""
        results: dict[str, object] = tasks.nested(context.results)
        streams = {"stdout": outcome.stdout, "stderr": outcome.stderr + outcome.refused}
        results.update({name: text for name, text in streams.items() if text})
        results["return-code"] = outcome.code
        cancelled = tasks.get(self.state, self.model_uuid, task.id).status == "aborting"
        status, message = "completed", context.failure or ""
        if outcome.refused:
            status, message = "failed", message or _REFUSED
        elif outcome.error or self._killed or (outcome.code and task.kind == "action"):
            status = "aborted" if cancelled else "failed"
            ended = "signal: killed" if self._killed else f"exit status {outcome.code}"
            message = outcome.error or ended
        elif context.failure is not None:
            status = "aborted" if cancelled else "failed"
        tasks.finish(self.state, task, status, message, results)
        self._save(local)

    async def _upgrade(
        self, model: models.Model, unit: units.Unit, operation: uniter.Upgrade
    ) -> None:
        local = uniter.begin(unit.local, operation)
        with self.state.transaction():
            self._save(local)
        if local.started and local.pending is None:
            # The old pod is told; if that fails it goes all the same, as Kubernetes' pods do.
            hook = Hook("stop")
            with self.state.transaction():
                self._announce(hook)
            context = self._context(model, local, hook=hook)
            outcome = await self._dispatch(context)
            if self._gone():
                return
            local = dataclasses.replace(local, started=False)
            if outcome.code == 0:
                with self._committing(context, outcome):
                    context.flush()
                    local = context.after(local)
                    self._save(local)
            if outcome.code != 0:
                self._log_hook(context, "ERROR", hook, outcome)
                with self.state.transaction():
                    self._save(local)
        if self.runtime is not None:
            runtime, self.runtime = self.runtime, None
            await runtime.stop()
        application = applications.get(self.state, self.model_uuid, unit.application)
        pod = self._new_pod(application)
        # The version is the one that the pod gets, should there be yet another by now.
        done = uniter.succeed(local, uniter.Upgrade(pod.version))
        with self.state.transaction():
            # Commands that the charm could not answer without its pod stay out until it is there.
            units.update(self.state, self.model_uuid, self.name, boot="", pod=pod)
            units.update(self.state, self.model_uuid, self.name, resolved=Resolved.NONE)
            self._save(done)
        self._retry_at = 0.0

    def _terminate(self, unit: units.Unit) -> None:
        """Take the unit out of the model; what it had goes, but for storage that is kept."""
        with self.state.transaction():
            self._bury_unit(unit)

    # Charm code.

    def _context(
        self,
        model: models.Model,
        local: Local,
        *,
        hook: Hook | None = None,
        task: tasks.Task | None = None,
    ) -> Context:
        entity = self.name
        what = hook.name if hook else (task.name if task else "")

        modules = {
            "operation": "juju.worker.uniter.operation",
            "juju-log": f"unit.{entity}.juju-log",
            "output": f"unit.{entity}.{what}",
        }

        def log(level: str, module: str, text: str) -> None:
            self.house.write_log(model, entity, level.upper(), modules[module], text)

        return Context(
            id=random_bytes.token_hex(16),
            state=self.state,
            vault=self.house.vault,
            model=model,
            unit=self.name,
            charm=self._charm,
            local=local,
            hook=hook,
            task=task,
            folder=self._server.folder,
            storage_base=self.house.storage_folder(self.model_uuid),
            log=log,
            access=self._access,
        )

    async def _dispatch(self, context: Context) -> Outcome:
        """Run charm code to its end; killing it by `kill` makes it a failure."""
        self._killed = False
        self._server.context = context
        self._running = asyncio.ensure_future(self._charm_code(context))
        try:
            return await self._running
        except asyncio.CancelledError:
            if not self._killed:
                raise
            context.log("ERROR", "operation", "killed")
            return Outcome(137)
        finally:
            if not self._running.done():
                self._running.cancel()
                await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
            self._server.context = None

    async def _charm_code(self, context: Context) -> Outcome:
        if self.runtime is None:
            raise JujuError("no pod")
        task = context.task
        kept = {"stdout": "", "stderr": ""}

        def output(stream: str, line: str) -> None:
            if task is not None and len(kept[stream]) < MAX_OUTPUT:
                kept[stream] += line + "\n"
            context.log("WARNING" if stream == "stderr" else "DEBUG", "output", line)

        def cold(reason: str) -> None:
            context.log("WARNING", "operation", f"hooks start cold: {reason}")

        env = environment.variables(context)
        try:
            if task is not None and task.kind == "exec":
                async with asyncio.timeout(task.timeout):
                    code, out, err = await self.runtime.exec(
                        task.params["argv"], env, socket_folder=self._server.folder
                    )
                return Outcome(code, out[:MAX_OUTPUT], err[:MAX_OUTPUT])
            async with self.house.turns.turn():
                code = await self.runtime.dispatch(
                    env,
                    socket_folder=self._server.folder,
                    on_output=output,
                    on_cold=cold if context.model.setting("hook-warm-start") else None,
                )
        except TimeoutError:
            return Outcome(124, error="command timed out")
        except _POD_ERRORS as error:
            return Outcome(126, error="; ".join(_causes(error)))
        return Outcome(code, kept["stdout"], kept["stderr"])


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


def _causes(error: BaseException) -> list[str]:
    """What went wrong, of a group every part."""
    if isinstance(error, BaseExceptionGroup):
        return [text for part in error.exceptions for text in _causes(part)]
    return [str(error) or type(error).__name__]
