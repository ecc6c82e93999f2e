"""The engine: carries out what the scheduler decides, and records what becomes of it.

Each run that has not ended has a driver, a task on the event loop: it takes in what happened
(events that the API appended, pods that ended), asks the scheduler, appends the decisions, then
acts on them. An attempt is recorded before its pod is made, and its pod is deleted only after its
end is recorded, so at every moment the records and the pods together tell how to go on:

- recorded, no pod, and no launcher has claimed its folder: make the pod (its name is fixed);
- recorded, and a pod is there: follow it;
- recorded, no pod, a result in its folder: that is how it ended;
- recorded, no pod, claimed but without a result: it was lost, and does not run again by itself.

Killing the engine anywhere therefore runs nothing twice. While the API or the disk is away, it
waits; a run that cannot be driven (a damaged record) stops alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from toolkit_jobs import (
    ClaimMount,
    EmptyMount,
    Mount,
    PodPhase,
    PodRequest,
    PodStatus,
    RefusedError,
    SecretKey,
    UnavailableError,
    Variable,
)

from . import events, installs, naming, podspec, runstate, scheduler, spec, timestamps
from .environments import (
    LAUNCHER,
    MOUNT,
    SITE,
    BuildError,
    Environments,
    launcher_mounts,
)
from .events import Event, RunPhase, Values
from .pods import Pods, persist
from .reserved import Reserved
from .root import Attempt, OutputError, PipelineRoot
from .spec import SpecError, placeholders
from .spec.model import (
    Component,
    Constant,
    Container,
    DagInput,
    Json,
    ParameterSource,
    Pipeline,
    TaskOutput,
)
from .steps import PREFIX, Exchange, StepTokens
from .steps.routes import TOKEN, StartingError
from .store.interface import ConflictError, EventStore, NotFoundError, StoreError

log = logging.getLogger(__name__)

LABEL_RUN: Final = "toolkit.canonical.com/run"
LABEL_SALT: Final = "toolkit.canonical.com/attempt"
_SPECS_KEPT: Final = 32
_LAST_LOG: Final = 2.0
"""Seconds that the log of a terminated pod may take to be saved before it is killed."""
_STORE_PAUSE: Final = 1.0
"""Seconds until the store is tried again after it failed (a full disk, say)."""
_HOPELESS: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_PULLING: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError"}
)


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where steps find MLflow.

    Attributes:
        uri: its address, as pods reach it.
        token: the secret that holds its token, or None.
    """

    uri: str
    token: SecretKey | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What steps without a shared volume are told.

    Attributes:
        address: where they reach this service, `http://HOST:PORT`.
        tokens: make a token for each attempt.
        exchange: has what steps send and have not committed.
    """

    address: str
    tokens: StepTokens
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine runs steps.

    Attributes:
        step_image: the image that holds the launcher.
        claim: the claim of the pipeline root's volume.
        environments_claim: the claim of the environments volume.
        parallelism: most pods of steps at a time.
        run_parallelism: most of them for one run.
        tracking: where steps find MLflow, or None.
        transfer: how files get to steps and back that mount no volume; None if they mount it.
        reserved_labels: what marks objects of the namespace that steps may not read (see
            `reserved`).
        pull_patience: seconds an image may fail to be pulled before its task has failed.
    """

    step_image: str
    claim: str
    environments_claim: str
    parallelism: int = 64
    run_parallelism: int = 32
    tracking: Tracking | None = None
    transfer: Transfer | None = None
    reserved_labels: tuple[str, ...] = ()
    pull_patience: float = 120.0


@dataclass(slots=True)
class _Work:
    """One attempt under way.

    `end` is the event that ends it, once that is known and until it is recorded.
    """

    path: str
    attempt: int
    pod: str
    files: Attempt
    component: Component
    task: asyncio.Task[None] | None = None
    status: PodStatus | None = None
    waiting_since: float | None = None
    waiting: tuple[str, str] = ("", "")
    end: Event | None = None


@dataclass(slots=True)
class _Run:
    """A run that is being driven."""

    run_id: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    dirty: bool = True
    state: runstate.RunState = field(default_factory=runstate.RunState)
    pipeline: Pipeline | None = None
    place: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    work: dict[str, _Work] = field(default_factory=dict)


class Engine:
    """Runs pipelines. `run` works until it is cancelled; the rest may be called meanwhile."""

    def __init__(
        self,
        store: EventStore,
        pods: Pods,
        root: PipelineRoot,
        environments: Environments,
        options: EngineOptions,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._pods = pods
        self._root = root
        self._environments = environments
        self._options = options
        self._reserved = Reserved(pods, options.reserved_labels)
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._by_pod: dict[str, tuple[_Run, str]] = {}
        self._starved: OrderedDict[str, None] = OrderedDict()
        self._specs: OrderedDict[str, Pipeline] = OrderedDict()
        self._cleaning: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._at_work = False

    # -- what the API asks for

    def waiting(self, run_id: str) -> dict[str, str]:
        """Give why tasks of a run wait for their pod to start, by path."""
        run = self._runs.get(run_id)
        if run is None:
            return {}
        return {
            work.path: ": ".join(part for part in work.waiting if part)
            for work in run.work.values()
            if work.waiting[0]
        }

    def waiting_steps(self) -> dict[str, int]:
        """Give why steps of all runs wait for their pod to start, with the number of each."""
        found = Counter(
            work.waiting[1] or work.waiting[0]
            for run in self._runs.values()
            for work in run.work.values()
            if work.waiting[0]
        )
        return dict(found.most_common())

    def healthy(self) -> str:
        """Give "" while the engine works, else why it does not."""
        return "" if self._at_work else "the engine has not found its pods yet, or has stopped"

    async def logs(
        self, run_id: str, task: str, attempt: int, *, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """Give the output of one attempt in chunks; with `follow` until it ends."""
        files, pod = await asyncio.to_thread(self._files, run_id, task, attempt)
        path = self._root.folder / files.log
        if not path.exists():
            try:
                async for chunk in self._pods.logs(pod, follow=follow):
                    yield chunk
            except RefusedError as error:
                # Not started, or deleted meanwhile: then its log has been saved.
                log.debug("the log of pod %s: %s", pod, error)
            else:
                return
        if path.exists():
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, 256 * 1024):
                    yield chunk

    def artifact(self, uri: str) -> Path:
        """Give the file or folder of an artifact; ValueError if it is not below the root."""
        below = uri.removeprefix(f"{self._root.uri}/")
        parts = below.split("/")
        if below == uri or "\0" in uri or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{uri[:200]!r} is not below {self._root.uri}")
        return self._root.folder / below

    def under_way(self, run_id: str, pod: str) -> Attempt | None:
        """Give the attempt that runs in a pod; None if it has ended or never was.

        Raises:
            StartingError: its run has not been taken up yet, after a restart.
        """
        known = self._by_pod.get(pod)
        if known is not None and known[0].run_id == run_id:
            work = known[0].work.get(known[1])
            if work is not None and work.pod == pod:
                return work.files
        run = self._runs.get(run_id)
        if run is None:
            starting = not self._at_work
        else:
            # Its driver has not read it yet, or is about to begin this attempt.
            running = (run.state.tasks[path].pod for path in run.state.running)
            starting = run.pipeline is None or pod in running
        if starting:
            raise StartingError("the engine is just taking up its runs")
        return None

    def forget(self, run_id: str) -> None:
        """Delete a run's files, and its pods if there are any."""
        self._root.forget(run_id)

    # -- driving runs

    async def run(self) -> None:
        """Drive all runs that have not ended, now and to come, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._pods.subscribe(self._heard)
        unsubscribe = self._store.subscribe(self._called)
        try:
            # Pods first: a driver has to know what is there before it makes any.
            known = await self._pods.pods()
            for run_id in await asyncio.to_thread(self._store.active_runs):
                self._adopt(run_id)
            for pod in known.values():
                self._heard(pod)
            self._at_work = True
            await asyncio.Event().wait()
        finally:
            self._at_work = False
            unsubscribe()
            tasks = [*self._drivers.values(), *self._cleaning.values(), *self._background]
            for run in self._runs.values():
                tasks += [work.task for work in run.work.values() if work.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _called(self, run_id: str) -> None:
        # In the thread of whoever appended.
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notified, run_id)

    def _notified(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is None:
            self._adopt(run_id)
        else:
            run.dirty = True
            run.wake.set()

    def _adopt(self, run_id: str) -> None:
        if run_id in self._runs:
            return
        run = self._runs[run_id] = _Run(run_id)
        task = asyncio.create_task(self._drive(run), name=f"run-{run_id}")
        self._drivers[run_id] = task

    async def _drive(self, run: _Run) -> None:
        try:
            while not run.state.status.phase.ended:
                try:
                    await self._step(run)
                except ConflictError:
                    # The API appended meanwhile: read everything again and decide anew.
                    self._reread(run)
                    continue
                except NotFoundError:
                    log.info("run %s was deleted", run.run_id)
                    break
                except StoreError as error:
                    log.warning("run %s: %s; trying again", run.run_id, error)
                    self._reread(run)
                    await asyncio.sleep(_STORE_PAUSE)
                    continue
                if not run.state.status.phase.ended:
                    await run.wake.wait()
                    run.wake.clear()
        except ValueError:
            # What is recorded of this run cannot be read. It stays as it is; the others go on.
            log.exception("run %s cannot be driven", run.run_id)
            return
        self._leave(run)

    @staticmethod
    def _reread(run: _Run) -> None:
        run.state = runstate.RunState()
        run.dirty = True

    def _leave(self, run: _Run) -> None:
        """Let go of a run that has ended or was deleted."""
        for work in run.work.values():
            if work.task is not None:
                work.task.cancel()
            self._by_pod.pop(work.pod, None)
            self._clean(work.pod, work.files)
        self._runs.pop(run.run_id, None)
        self._drivers.pop(run.run_id, None)
        self._starved.pop(run.run_id, None)
        self._feed(len(run.work))

    async def _step(self, run: _Run) -> None:
        """Take in what happened, decide, record, act."""
        if run.dirty:
            run.dirty = False
            for event in await asyncio.to_thread(
                self._store.events, run.run_id, run.state.sequence
            ):
                run.state.apply(event)
            if run.state.status.phase.ended:
                return
        if run.pipeline is None:
            problem = await self._load(run)
            if problem:
                await self._append(run, [self._ended(run, RunPhase.FAILED, problem)])
                return
            await self._sweep(run)
        assert run.pipeline is not None  # noqa: S101 - _load() gave it or a problem
        recorded = [work.end for work in run.work.values() if work.end is not None]
        sequence = run.state.sequence
        for event in recorded:
            run.state.apply(event)
        finished = [run.work.pop(self._path(event)) for event in recorded]
        plan = scheduler.decide(run.pipeline, run.state, self._slots(run), run.constants)
        if plan.starved:
            self._starved.setdefault(run.run_id, None)
        planned = self._events(run, plan)
        if run.state.terminating:
            await self._kill(run)
        for event in planned:
            run.state.apply(event)
        if recorded or planned:
            try:
                await asyncio.to_thread(
                    self._store.append, run.run_id, [*recorded, *planned], sequence
                )
            except StoreError:
                for work in finished:
                    run.work[work.path] = work
                raise
        for work in finished:
            self._by_pod.pop(work.pod, None)
            self._clean(work.pod, work.files)
        self._feed(len(finished))
        for path in run.state.running - run.work.keys():
            self._begin(run, path)

    async def _append(self, run: _Run, found: list[Event]) -> None:
        sequence = run.state.sequence
        for event in found:
            run.state.apply(event)
        await asyncio.to_thread(self._store.append, run.run_id, found, sequence)

    def _slots(self, run: _Run) -> int:
        total = sum(len(each.state.running) for each in self._runs.values())
        return min(
            self._options.parallelism - total,
            self._options.run_parallelism - len(run.state.running),
        )

    def _feed(self, slots: int) -> None:
        """Let the runs that have waited longest for a slot try again."""
        for _ in range(min(slots, len(self._starved))):
            run_id, _ = self._starved.popitem(last=False)
            if run_id in self._runs:
                self._runs[run_id].wake.set()

    async def _sweep(self, run: _Run) -> None:
        """Clean up after attempts that ended just before an engine was killed."""
        for name, pod in (await self._pods.pods()).items():
            if pod.labels.get(LABEL_RUN) != run.run_id:
                continue
            for task in run.state.tasks.values():
                if task.pod == name and task.phase.ended:
                    self._clean(name, self._attempt_files(run, task))

    def _attempt_files(self, run: _Run, task: runstate.TaskState) -> Attempt:
        assert run.pipeline is not None  # noqa: S101 - the callers loaded it
        return self._root.attempt(
            run.place, run.pipeline.name, run.run_id, task.path, task.attempt
        )

    async def _load(self, run: _Run) -> str:
        """Read what a run needs of its spec; give what is wrong with it, or ""."""
        created = run.state.created
        assert created is not None  # noqa: S101 - a run's first event
        try:
            pipeline = await self._pipeline(created.spec)
            run.place = self._root.place(created.pipeline_root or pipeline.default_root)
        except ValueError as error:
            return str(error)
        run.pipeline = pipeline
        began = timestamps.format(created.time)
        run.constants = {
            ".pipeline_job_name": created.display_name,
            ".pipeline_job_resource_name": naming.resource_name(pipeline.name, run.run_id),
            ".pipeline_job_uuid": run.run_id,
            ".pipeline_job_create_time_utc": began,
            ".pipeline_job_schedule_time_utc": began,
            ".pipeline_root": "/".join(p for p in (self._root.uri, run.place) if p),
        }
        return ""

    async def _pipeline(self, digest: str) -> Pipeline:
        found = self._specs.get(digest)
        if found is None:
            text = await asyncio.to_thread(self._store.spec, digest)
            found = await asyncio.to_thread(spec.load, text)
            self._specs[digest] = found
            if len(self._specs) > _SPECS_KEPT:
                self._specs.popitem(last=False)
        self._specs.move_to_end(digest)
        return found

    def _events(self, run: _Run, plan: scheduler.Plan) -> list[Event]:
        now, run_id = self._clock(), run.run_id
        found: list[Event] = []
        started: set[str] = set()
        for decision in plan.decisions:
            match decision:
                case scheduler.Start(path):
                    started.add(path)
                    found.append(self._started(run, decision, now))
                case scheduler.Succeed(path, outputs):
                    found.append(
                        events.TaskSucceeded(run_id=run_id, time=now, task=path, outputs=outputs)
                    )
                case scheduler.Fail(path, reason, message):
                    if path not in run.state.tasks and path not in started:
                        # It cannot start; that it was to start is a fact all the same.
                        found.append(events.TaskStarted(run_id=run_id, time=now, task=path))
                    found.append(
                        events.TaskFailed(
                            run_id=run_id, time=now, task=path, reason=reason, message=message
                        )
                    )
                case scheduler.Skip(path, reason):
                    found.append(
                        events.TaskSkipped(run_id=run_id, time=now, task=path, reason=reason)
                    )
                case scheduler.Cancel(path):
                    attempt = run.state.tasks[path].attempt
                    found.append(
                        events.TaskCanceled(run_id=run_id, time=now, task=path, attempt=attempt)
                    )
                case scheduler.End(phase, message, outputs):
                    found.append(self._ended(run, phase, message, outputs))
        return found

    def _started(self, run: _Run, decision: scheduler.Start, now: float) -> Event:
        assert run.pipeline is not None  # noqa: S101 - _step() loaded it
        previous = run.state.tasks.get(decision.path)
        attempt = previous.attempt + 1 if previous is not None else 0
        pod = ""
        if decision.container is not None:
            pod = naming.pod_name(run.pipeline.name, run.run_id, decision.path, attempt)
        return events.TaskStarted(
            run_id=run.run_id,
            time=now,
            task=decision.path,
            attempt=attempt,
            pod=pod,
            inputs=decision.inputs,
        )

    def _ended(
        self, run: _Run, phase: RunPhase, message: str, outputs: Values | None = None
    ) -> Event:
        return events.RunEnded(
            run_id=run.run_id,
            time=self._clock(),
            phase=phase,
            message=message,
            outputs=outputs or Values(),
        )

    @staticmethod
    def _path(event: Event) -> str:
        assert isinstance(event, events.TaskSucceeded | events.TaskFailed)  # noqa: S101 - _conclude()
        return event.task

    # -- one attempt

    def _begin(self, run: _Run, path: str) -> None:
        assert run.pipeline is not None  # noqa: S101 - _step() loaded it
        task = run.state.tasks[path]
        files = self._attempt_files(run, task)
        component = run.pipeline.component(path)
        work = _Work(path, task.attempt, task.pod, files, component)
        run.work[path] = work
        self._by_pod[work.pod] = (run, path)
        self._set(run, work, self._attempt(run, work))

    def _set(self, run: _Run, work: _Work, coroutine: Coroutine[Any, Any, None]) -> None:
        """Put a task to work on an attempt; if it breaks, the attempt fails rather than hangs."""
        work.task = asyncio.create_task(coroutine, name=f"attempt-{work.pod}")

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("pod %s", work.pod, exc_info=error)
                failure = self._failure(run, work, "InternalError", f"{error!r}")
                self._conclude(run, work, failure)

        work.task.add_done_callback(done)

    async def _attempt(self, run: _Run, work: _Work) -> None:
        """See an attempt to its end, from wherever it stands."""
        try:
            pod = (await self._pods.pods()).get(work.pod)
            if pod is None and await asyncio.to_thread(self._root.claimed, work.files):
                # It has run, perhaps under an engine that was killed. Its pod may still be on
                # its way into the list: ask for it by name.
                pod = await persist(f"pod {work.pod}", lambda: self._pods.get(work.pod))
            if pod is None:
                request = await self._request(run, work)
                pod = await persist(f"pod {work.pod}", lambda: self._pods.start(request))
            # What the watch told meanwhile is newer.
            pod = work.status or pod
            if pod.phase.ended:
                await self._finish(run, work, pod)
            else:
                self._wait(run, work, pod)
        except BuildError as error:
            self._conclude(run, work, self._failure(run, work, "InstallFailed", str(error)))
        except RefusedError as error:
            message = f"the cluster does not take the step's pod: {error}"
            self._conclude(run, work, self._failure(run, work, "PodRefused", message))
        except (SpecError, OSError) as error:
            self._conclude(run, work, self._failure(run, work, "CannotStart", str(error)))

    async def _request(self, run: _Run, work: _Work) -> PodRequest:
        assert run.pipeline is not None  # noqa: S101 - _step() loaded it
        container = work.component.body
        assert isinstance(container, Container)  # noqa: S101 - only these have pods
        inputs = run.state.tasks[work.path].inputs
        given = run.pipeline.task(work.path)
        constants = {
            **run.constants,
            ".pipeline_task_name": given.name,
            ".pipeline_task_uuid": naming.task_id(run.run_id, work.path),
        }

        def text(value: str) -> str:
            return placeholders.fill_text(value, inputs.parameters, constants)

        image = text(container.image)
        install = installs.read(container.command)
        transfer = self._options.transfer
        environment = ""
        if transfer is None:
            environment = await self._environments.ensure(image, install.groups)
        remote = transfer is not None and bool(install.groups)
        task = {
            "version": "1",
            "root": self._root.mount,
            "folder": f"{self._root.mount}/{work.files.folder}",
            "executor_input": self._root.executor_input(work.files, work.component, inputs),
            "output_types": {
                key: str(kind) for key, kind in work.component.outputs.parameters.items()
            },
            "command": [*install.command, *container.args],
            "constants": constants,
            # What the author wrote may hold placeholders. What a user gave or a task produced is
            # data, and stays as it is.
            "written_inputs": [
                key
                for key, source in given.parameters.items()
                if isinstance(source, Constant) and key in inputs.parameters
            ],
            "environment": SITE if environment or remote else None,
            # Without a volume of environments, a step installs for itself.
            "install": self._environments.request(install.groups) if remote else None,
        }
        await asyncio.to_thread(self._root.prepare, work.files, task)
        mount = self._root.mount
        mounts: list[Mount] = list(launcher_mounts(self._options.step_image))
        if transfer is None:
            mounts += [
                ClaimMount(
                    f"{mount}/{work.files.run}",
                    self._options.claim,
                    work.files.run,
                    read_only=True,
                ),
                ClaimMount(f"{mount}/{work.files.folder}", self._options.claim, work.files.folder),
            ]
            arguments = ["run", f"{mount}/{work.files.input}"]
        else:
            mounts.append(EmptyMount(mount))
            arguments = ["remote", f"{transfer.address}{PREFIX}"]
        if environment:
            mounts.append(
                ClaimMount(MOUNT, self._options.environments_claim, environment, read_only=True)
            )
        elif remote:
            mounts.append(EmptyMount(MOUNT))
        plain = PodRequest(
            name=work.pod,
            image=image,
            command=("python3", LAUNCHER, *arguments),
            env={
                **self._tracking(run),
                **{key: text(value) for key, value in container.env.items()},
            },
            secret_env={}
            if transfer is None
            else {TOKEN: transfer.tokens.issue(run.run_id, work.pod)},
            mounts=tuple(mounts),
            labels={LABEL_RUN: run.run_id, LABEL_SALT: work.files.salt},
            annotations={"toolkit.canonical.com/task": work.path},
        )
        request, objects = podspec.extend(
            plain, container, text, lambda source: self._setting(run, work.path, source)
        )
        await self._reserved.check(objects)
        return request

    @staticmethod
    def _setting(run: _Run, path: str, source: ParameterSource) -> Json:
        """Look up what a task's platform spec names: in the DAG around it, or a task beside it."""
        assert run.pipeline is not None  # noqa: S101 - _step() loaded it
        assert run.state.created is not None  # noqa: S101 - a run's first event
        outer = path.rpartition("/")[0]
        match source:
            case Constant(value):
                return value
            case TaskOutput(task, key):
                beside = run.state.tasks[f"{outer}/{task}" if outer else task]
                return beside.outputs.parameters.get(key)
            case DagInput(name):
                if outer:
                    return run.state.tasks[outer].inputs.parameters.get(name)
                inputs = run.pipeline.root.inputs
                return spec.arguments(inputs, run.state.created.parameters).get(name)

    def _tracking(self, run: _Run) -> dict[str, Variable]:
        tracking, created = self._options.tracking, run.state.created
        if tracking is None or created is None:
            return {}
        env: dict[str, Variable] = {
            "MLFLOW_TRACKING_URI": tracking.uri,
            "MLFLOW_EXPERIMENT_NAME": created.experiment_name,
        }
        if tracking.token is not None:
            env["MLFLOW_TRACKING_TOKEN"] = tracking.token
        return env

    def _heard(self, pod: PodStatus) -> None:
        """Take in a change of a pod."""
        known = self._by_pod.get(pod.name)
        if known is None:
            self._stray(pod)
            return
        run, path = known
        work = run.work.get(path)
        if work is None or work.end is not None:
            return
        work.status = pod
        if work.task is not None and not work.task.done():
            # Being started, or its end is being looked into; either looks at the status at last.
            return
        if pod.phase.ended:
            self._set(run, work, self._finish(run, work, pod))
        else:
            self._wait(run, work, pod)

    def _stray(self, pod: PodStatus) -> None:
        """Clean up after a pod whose attempt has ended: an engine was killed in between."""
        run_id = pod.labels.get(LABEL_RUN)
        if run_id is None or pod.phase is PodPhase.GONE or pod.name in self._cleaning:
            return
        run = self._runs.get(run_id)
        if run is not None and (
            run.pipeline is None or any(t.pod == pod.name for t in run.state.tasks.values())
        ):
            # Its driver has not got that far, or is just about to clean up.
            return
        self._spawn(self._reclaim(pod, run_id))

    async def _reclaim(self, pod: PodStatus, run_id: str) -> None:
        try:
            state = runstate.fold(await asyncio.to_thread(self._store.events, run_id, 0))
        except NotFoundError:
            await persist(f"pod {pod.name}", lambda: self._pods.delete(pod.name, grace=0))
            return
        for task in state.tasks.values():
            if task.pod == pod.name and task.phase.ended:
                files, _ = await asyncio.to_thread(self._files, run_id, task.path, task.attempt)
                self._clean(pod.name, files)

    async def _finish(self, run: _Run, work: _Work, pod: PodStatus) -> None:
        """Find out how a pod that has ended did."""
        work.waiting = ("", "")
        try:
            result = await asyncio.to_thread(self._root.result, work.files, work.component)
        except OutputError as error:
            self._conclude(run, work, self._failure(run, work, "OutputError", str(error)))
            return
        if result is not None and result.exit_code == 0 and pod.phase is not PodPhase.FAILED:
            self._conclude(
                run,
                work,
                events.TaskSucceeded(
                    run_id=run.run_id,
                    time=pod.finished or self._clock(),
                    task=work.path,
                    attempt=work.attempt,
                    outputs=result.outputs,
                ),
            )
            return
        reason, message = _blame(pod, result.message if result is not None else "")
        self._conclude(run, work, self._failure(run, work, reason, message))

    def _wait(self, run: _Run, work: _Work, pod: PodStatus) -> None:
        """Note why a pod has not started, and give up on an image that cannot be had."""
        if pod.phase is not PodPhase.PENDING or not pod.reason:
            work.waiting, work.waiting_since = ("", ""), None
            return
        work.waiting = (pod.reason, pod.message)
        patience = self._options.pull_patience
        if pod.reason in _PULLING:
            now = asyncio.get_running_loop().time()
            if work.waiting_since is None:
                work.waiting_since = now
                self._spawn(self._lose_patience(run, work, pod, patience))
            if now - work.waiting_since < patience:
                return
        elif pod.reason not in _HOPELESS:
            return
        message = f"the image cannot be had: {pod.message or pod.reason}"
        self._conclude(run, work, self._failure(run, work, pod.reason, message))

    async def _lose_patience(
        self, run: _Run, work: _Work, pod: PodStatus, patience: float
    ) -> None:
        await asyncio.sleep(patience)
        if work.end is None and work.waiting_since is not None:
            self._wait(run, work, work.status or pod)

    def _failure(self, run: _Run, work: _Work, reason: str, message: str) -> Event:
        return events.TaskFailed(
            run_id=run.run_id,
            time=self._clock(),
            task=work.path,
            attempt=work.attempt,
            reason=reason,
            message=message,
        )

    def _conclude(self, run: _Run, work: _Work, end: Event) -> None:
        if work.end is None:
            work.end = end
            run.wake.set()

    # -- afterwards

    async def _kill(self, run: _Run) -> None:
        """Stop all pods of a run at once."""
        for work in run.work.values():
            if work.task is not None:
                work.task.cancel()
        await asyncio.gather(
            *(work.task for work in run.work.values() if work.task is not None),
            return_exceptions=True,
        )
        running = [run.state.tasks[path] for path in run.state.running]
        await asyncio.gather(
            *(self._end_pod(task.pod, self._attempt_files(run, task)) for task in running)
        )

    async def _end_pod(self, pod: str, files: Attempt) -> None:
        with contextlib.suppress(TimeoutError, UnavailableError, RefusedError):
            # What it printed so far, if that is to be had quickly.
            async with asyncio.timeout(_LAST_LOG):
                await self._save_log(pod, files)
        await persist(f"pod {pod}", lambda: self._pods.delete(pod, grace=0))

    def _clean(self, pod: str, files: Attempt) -> None:
        if pod not in self._cleaning:
            task = asyncio.create_task(self._cleaned(pod, files), name=f"clean-{pod}")
            self._cleaning[pod] = task
            task.add_done_callback(lambda _: self._cleaning.pop(pod, None))
            task.add_done_callback(_report)

    async def _cleaned(self, pod: str, files: Attempt) -> None:
        """Save an ended pod's log, then delete it."""
        try:
            await persist(f"the log of pod {pod}", lambda: self._save_log(pod, files))
        except RefusedError as error:
            # It never started, or is gone.
            log.debug("pod %s has no log: %s", pod, error)
        await persist(f"pod {pod}", lambda: self._pods.delete(pod, grace=0))
        if self._options.transfer is not None:
            # What a killed step had sent, and its record never committed.
            await asyncio.to_thread(self._options.transfer.exchange.discard, files)

    async def _save_log(self, pod: str, files: Attempt) -> None:
        path = self._root.folder / files.log
        if path.exists() or not path.parent.is_dir():
            return
        temporary = path.with_suffix(".log.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in self._pods.logs(pod):
                    await asyncio.to_thread(file.write, chunk)
            temporary.replace(path)
        except OSError as error:
            # A full disk, most likely: the pod keeps the log until there is room.
            raise UnavailableError(f"saving the log of pod {pod}: {error}") from error

    def _files(self, run_id: str, path: str, attempt: int) -> tuple[Attempt, str]:
        """Give the files and the pod of an attempt; blocking."""
        row = self._store.run(run_id)
        pipeline = self._specs.get(row.spec) or spec.load(self._store.spec(row.spec))
        place = self._root.place(row.pipeline_root or pipeline.default_root)
        files = self._root.attempt(place, pipeline.name, run_id, path, attempt)
        return files, naming.pod_name(pipeline.name, run_id, path, attempt)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_report)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("%s failed", task.get_name(), exc_info=task.exception())


def _blame(pod: PodStatus, message: str) -> tuple[str, str]:
    """Give the reason and the sentence for an attempt that did not end well."""
    if pod.phase is PodPhase.GONE:
        return "Lost", "the step's pod was deleted before the step ended"
    match pod.reason:
        case "OOMKilled":
            return "OOMKilled", "the step used more memory than its limit allows"
        case "DeadlineExceeded":
            return "DeadlineExceeded", pod.message or "the step took longer than it may"
        case "Lost" | "NodeLost" | "Evicted":
            return pod.reason, pod.message or "the step's container was lost"
    if message:
        return "Error", message
    if pod.phase is PodPhase.SUCCEEDED:
        return "Error", "the step ended without recording its result"
    code = f" with exit code {pod.exit_code}" if pod.exit_code is not None else ""
    return "Error", pod.message or f"the step ended{code} and recorded nothing"
