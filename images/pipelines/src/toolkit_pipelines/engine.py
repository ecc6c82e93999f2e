"""The engine: carries out what the scheduler decides, and records what becomes of it.

Each run that has not ended has a driver, a task on the event loop: it takes in what happened
(events that the API appended, attempts that ended), asks the scheduler, appends the decisions,
then acts on them. An attempt is recorded before its pod is made (see `attempts`), and its pod is
deleted only after its end is recorded.

What is taken from the cache is recorded as started, without a pod, and as ended, together. What
the engine itself carries out, without a pod, is recorded as started before it acts (see `claims`).
Killing the engine anywhere therefore runs nothing twice. While the API or the disk is away, it
waits; a run that cannot be driven (a damaged record) stops alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolkit_jobs import PodPhase, PodStatus, RefusedError

from . import (
    disks,
    events,
    naming,
    provenance,
    records,
    runstate,
    scheduler,
    spec,
    timestamps,
    workspaces,
)
from .appraisals import Appraisals
from .attempts import Attempts, Work
from .cache import Cache
from .claims import Claims
from .contents import Contents
from .disposal import Disposal, report
from .endings import Endings
from .environments import Environments
from .events import Event, RunPhase
from .installs import Group
from .logs import Logs, VolumeLogs
from .options import EngineOptions
from .podrequests import PodRequests
from .pods import Pods, persist
from .reserved import Reserved
from .root import Attempt, PipelineRoot
from .runstate import TaskPhase, TaskState
from .spec.model import Pipeline
from .step import LABEL_RUN, Step
from .steps.routes import StartingError
from .store.interface import BusyError, ConflictError, EventStore, NotFoundError, StoreError
from .workspaces import Workspaces

log = logging.getLogger(__name__)

_SPECS_KEPT: Final = 32
_IMAGES_KEPT: Final = 1000
_STORE_PAUSE: Final = 1.0
"""Seconds until the store is tried again after it failed (a full disk, say)."""
_LONGEST_REST: Final = 30.0
_FEW: Final = 8
"""Events that are recorded on the loop: a step's end, and what begins with it."""


@dataclass(slots=True)
class _Run:
    """A run that is being driven.

    `claimed` is how many slots are decided on while the cache is asked whether they are needed,
    `ineffective` what is known of its components' pods (see `appraisals`).
    """

    run_id: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    dirty: bool = True
    state: runstate.RunState = field(default_factory=runstate.RunState)
    pipeline: Pipeline | None = None
    place: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    again: float | None = None
    claimed: int = 0
    ineffective: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Engine:
    """Runs pipelines. `run` works until it is cancelled; the rest may be called meanwhile.

    Attributes:
        at_work: set while it drives runs.
    """

    def __init__(
        self,
        store: EventStore,
        pods: Pods,
        root: PipelineRoot,
        environments: Environments,
        options: EngineOptions,
        *,
        contents: Contents | None = None,
        logs: Logs | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._pods = pods
        self._root = root
        self._contents = contents or Contents(root)
        self._logs = logs or VolumeLogs(root)
        self._cache = Cache(store, self._contents, options.cache, clock)
        self._options = options
        self._workspaces = Workspaces(pods, root)
        self._endings = Endings(root.documents)
        reserved = Reserved(pods, options.reserved_labels, options.claims)
        self._attempts = Attempts(
            pods,
            root,
            PodRequests(reserved, root, environments, options, self._workspaces, self._endings),
            Claims(pods, root, reserved),
            self._endings,
            options.pull_patience,
            clock,
        )
        self._appraisals = Appraisals(pods, options, root)
        self._environments = environments
        transfer = options.transfer
        exchange = transfer.exchange if transfer is not None else None
        self._disposal = Disposal(pods, self._logs, exchange, environments.leave)
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._starved: OrderedDict[str, None] = OrderedDict()
        self._specs: OrderedDict[str, Pipeline] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()
        # Images that were not missing when they were asked for: later ones show when they start.
        self._had: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        # `on` in a thread that appends for this engine, which need not be told of that.
        self._recording = threading.local()
        self.at_work = asyncio.Event()

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
        return (
            ""
            if self.at_work.is_set()
            else "the engine has not found its pods yet, or has stopped"
        )

    async def logs(
        self, run_id: str, task: str, attempt: int, *, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """Give the output of one attempt in chunks; with `follow` until it ends."""
        files, pod = await asyncio.to_thread(self._files, run_id, task, attempt)
        if not await self._logs.has(files):
            try:
                async for chunk in self._pods.logs(pod, follow=follow):
                    yield chunk
            except RefusedError as error:
                # Not started, or deleted meanwhile: then its log has been saved.
                log.debug("the log of pod %s: %s", pod, error)
            else:
                return
        if await self._logs.has(files):
            async for chunk in self._logs.read(files):
                yield chunk

    def under_way(self, run_id: str, pod: str) -> Attempt | None:
        """Give the attempt that runs in a pod; None if it has ended or never was.

        Raises:
            StartingError: its run has not been taken up yet, after a restart.
        """
        work, run = self._attempts.within(pod), self._runs.get(run_id)
        if work is not None and run is not None and run.work.get(work.path) is work:
            return work.files
        if run is None:
            starting = not self.at_work.is_set()
        else:
            # Its driver has not read it yet, or is about to begin this attempt.
            running = (run.state.tasks[path].pod for path in run.state.running)
            starting = run.pipeline is None or pod in running
        if starting:
            raise StartingError("the engine is just taking up its runs")
        return None

    async def missing(self, images: Sequence[str]) -> dict[str, str]:
        """Give which images no step could have; see `Workloads.missing`."""
        asked = [each for each in images if each not in self._had]
        if not asked:
            return {}
        missing = await self._pods.missing(asked)
        if len(self._had) < _IMAGES_KEPT:
            self._had.update(each for each in asked if each not in missing)
        return missing

    async def invalid(self, pipeline: Pipeline) -> dict[str, str]:
        """Give why no pods of components can be; see `Workloads.invalid`."""
        return await self._appraisals.invalid(pipeline)

    def packages(self, image: str, groups: Sequence[Group]) -> tuple[str, ...]:
        """Give the packages that a step would have now; see `Workloads.packages`."""
        if self._options.transfer is not None:
            return ()
        return self._environments.lock(image, groups)

    async def cleared(self, run_id: str, patience: float) -> None:
        """Wait until the pods of a run are cleared away; see `Workloads.cleared`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while tasks := [*self._disposal.tasks(run_id), *self._driving(run_id)]:
                    await asyncio.wait(tasks)

    def _driving(self, run_id: str) -> list[asyncio.Task[None]]:
        # That of a run which cannot be driven stays, and has ended.
        driver = self._drivers.get(run_id)
        return [driver] if driver is not None and not driver.done() else []

    def forget(self, run_id: str) -> None:
        """Delete a run's files; see `Contents.forget`."""
        self._contents.forget(run_id)

    def forgetter(self) -> Callable[[str], None]:
        """Give `forget` for many runs; see `Contents.forgetter`."""
        return self._contents.forgetter()

    # -- driving runs

    async def run(self) -> None:
        """Drive all runs that have not ended, now and to come, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._endings.open()
        self._pods.subscribe(self._heard)
        unsubscribe = self._store.subscribe(self._called)
        try:
            # Pods first: a driver has to know what is there before it makes any.
            known = await self._pods.pods()
            self._spawn(self._environments.sweep(known))
            for run_id in await asyncio.to_thread(self._store.active_runs):
                self._adopt(run_id)
            for pod in known.values():
                self._heard(pod)
            self._spawn(self._workspaces.sweep(self._runs.__contains__))
            self.at_work.set()
            await asyncio.Event().wait()
        finally:
            self.at_work.clear()
            unsubscribe()
            tasks = [*self._drivers.values(), *self._disposal.tasks(), *self._background]
            tasks += [*self._workspaces.tasks(), *self._environments.tasks()]
            tasks += self._attempts.tasks()
            for run in self._runs.values():
                tasks += [work.task for work in run.work.values() if work.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._endings.close()

    def _called(self, run_id: str) -> None:
        # In the thread of whoever appended.
        if getattr(self._recording, "on", False):
            return
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
        task.add_done_callback(report)
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
                    await self._rest(run)
        except ValueError:
            # What is recorded of this run cannot be read. It stays as it is; the others go on.
            log.exception("run %s cannot be driven", run.run_id)
            return
        self._leave(run)
        if run.pipeline is None:
            # It ended just as it was taken up, and its last pods were passed over for its sake.
            for pod in (await self._pods.pods()).values():
                if pod.labels.get(LABEL_RUN) == run.run_id:
                    self._stray(pod)
        # It may have been retried just before, and nobody heard.
        self._spawn(self._resume(run.run_id))

    async def _resume(self, run_id: str) -> None:
        """Take a run up again if it has not ended after all."""
        while True:
            try:
                row = await asyncio.to_thread(self._store.run, run_id)
            except NotFoundError:
                return
            except StoreError as error:
                log.warning("run %s: %s; trying again", run_id, error)
                await asyncio.sleep(_STORE_PAUSE)
                continue
            if not row.phase.ended:
                self._adopt(run_id)
            return

    async def _rest(self, run: _Run) -> None:
        """Wait until something happens, or until the next attempt of a task is due."""
        if run.again is None:
            await run.wake.wait()
        else:
            # The clock may be set: look now and then.
            patience = min(max(run.again - self._clock(), 0.0), _LONGEST_REST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await run.wake.wait()
        run.wake.clear()

    @staticmethod
    def _reread(run: _Run) -> None:
        run.state = runstate.RunState()
        run.dirty = True

    def _leave(self, run: _Run) -> None:
        """Let go of a run that has ended or was deleted."""
        for work in run.work.values():
            if work.task is not None:
                work.task.cancel()
            self._dispose(work)
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
            run.state.let_go(run.state.tasks)
            self._settle(run)
        if run.pipeline is None:
            problem = await self._load(run)
            if problem:
                ended = events.RunEnded(
                    run_id=run.run_id, time=self._clock(), phase=RunPhase.FAILED, message=problem
                )
                await self._append(run, [ended])
                return
            await self._sweep(run)
        assert run.pipeline is not None  # noqa: S101 - _load() gave it or a problem
        sequence = run.state.sequence
        recorded = []
        for end in [work.end for work in run.work.values() if work.end is not None]:
            event = provenance.once(end, run.state)
            run.state.apply(event)
            recorded.append(event)
        finished = [run.work.pop(self._path(event)) for event in recorded]
        now = self._clock()
        plan = scheduler.decide(run.pipeline, run.state, self._slots(run), now, run.constants)
        run.again = plan.wake
        if plan.starved:
            self._starved.setdefault(run.run_id, None)
        planned = records.recorded(plan.decisions, run.state, run.pipeline.name, now)
        if plan.stops:
            await self._kill(run)
        if run.pipeline.workspace is not None and _ends(planned):
            await self._workspaces.release(run.pipeline.name, run.run_id, run.state.retries)
        planned = await self._apply(run, planned)
        if recorded or planned:
            try:
                durable = _durable(finished, planned)
                await self._record(run.run_id, [*recorded, *planned], sequence, durable=durable)
            except StoreError:
                for work in finished:
                    run.work[work.path] = work
                raise
            # A run may have thousands of tasks that have ended.
            run.state.let_go(_tasks([*recorded, *planned]))
        self._act(run, finished, planned)

    def _act(self, run: _Run, finished: Sequence[Work], planned: Sequence[Event]) -> None:
        """Do what is recorded: what is to come first, then what has been."""
        started = {event.task for event in planned if isinstance(event, events.TaskStarted)}
        for path in run.state.running - run.work.keys():
            self._begin(run, path, fresh=path in started)
        for work in finished:
            self._dispose(work)
        self._feed(len(finished) + sum(isinstance(e, events.TaskCached) for e in planned))
        if planned:
            # What was decided may let more be decided.
            run.wake.set()

    def _settle(self, run: _Run) -> None:
        """Let go of attempts whose end is recorded, though the store could not say so."""
        for work in list(run.work.values()):
            task = run.state.tasks.get(work.path)
            if work.end is None or task is None:
                continue
            if task.attempt != work.attempt or task.phase is not TaskPhase.RUNNING:
                del run.work[work.path]
                self._dispose(work)

    async def _apply(self, run: _Run, planned: Sequence[Event]) -> list[Event]:
        """Add decisions to a run's state; give them with what comes from the cache."""
        found: list[Event] = []
        run.claimed = sum(isinstance(e, events.TaskStarted) and e.pod != "" for e in planned)
        try:
            for event in planned:
                looked_up: list[Event] = [event]
                if isinstance(event, events.TaskStarted) and event.pod:
                    started, *cached = await self._look_up(run, event)
                    assert isinstance(started, events.TaskStarted)  # noqa: S101 - it comes first
                    if started.pod:
                        started = await self._appraised(run, started)
                    looked_up = [started, *cached]
                    run.claimed -= 1
                for each in looked_up:
                    run.state.apply(each)
                found += looked_up
        finally:
            run.claimed = 0
        return found

    async def _look_up(self, run: _Run, event: events.TaskStarted) -> list[Event]:
        """Ask the cache for a task that is to have a pod; give how it starts, and may end."""
        task = TaskState(event.task, TaskPhase.RUNNING, event.attempt, inputs=event.inputs)
        step = self._step_of(run, task)
        if not self._cache.serves(step):
            return [event]
        looked = await asyncio.to_thread(self._cache.find, step)
        if looked.execution is None:
            return [dataclasses.replace(event, fingerprint=looked.fingerprint)]
        # What comes after it may start at once: nothing else will wake the run.
        run.wake.set()
        cached = events.TaskCached(
            run_id=run.run_id,
            time=self._clock(),
            task=event.task,
            attempt=event.attempt,
            outputs=looked.execution.outputs,
            origin=looked.execution.run_id,
            origin_task=looked.execution.task,
            origin_sequence=looked.execution.sequence,
        )
        return [dataclasses.replace(event, pod=""), cached]

    async def _appraised(self, run: _Run, event: events.TaskStarted) -> events.TaskStarted:
        """Note at the start of an attempt what of its pod would change nothing."""
        assert run.pipeline is not None  # noqa: S101 - _step() loaded it
        component = run.pipeline.component(event.task)
        ineffective = run.ineffective.get(component.name)
        if ineffective is None:
            ineffective = await self._appraisals.ineffective(component)
            if ineffective is not None:
                run.ineffective[component.name] = ineffective
        return dataclasses.replace(event, ineffective=ineffective) if ineffective else event

    def _step_of(self, run: _Run, task: TaskState) -> Step:
        assert run.pipeline is not None  # noqa: S101 - _step() loaded it
        files = self._attempt_files(run, task.path, task.attempt)
        step = Step(run.pipeline, run.state, run.constants, task, files)
        return workspaces.importing(step, self._options.step_image)

    async def _append(self, run: _Run, found: list[Event]) -> None:
        sequence = run.state.sequence
        for event in found:
            run.state.apply(event)
        await self._record(run.run_id, found, sequence, durable=True)

    async def _record(
        self, run_id: str, found: Sequence[Event], sequence: int, *, durable: bool
    ) -> None:
        """Append events that are in the run's state already."""

        def append(*, wait: bool) -> None:
            self._recording.on = True
            try:
                self._store.append(run_id, found, sequence, durable=durable, wait=wait)
            finally:
                self._recording.on = False

        if not durable and len(found) <= _FEW and disks.small(found):
            # Here, if that takes no time: the way to a thread takes longer.
            with contextlib.suppress(BusyError):
                append(wait=False)
                return
        await asyncio.to_thread(append, wait=True)

    def _slots(self, run: _Run) -> int:
        total = sum(len(each.state.running) + each.claimed for each in self._runs.values())
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
            assert run.pipeline is not None  # noqa: S101 - _load() came first
            if ended := _ended_attempt(run.state, run.pipeline.name, name):
                files = self._attempt_files(run, *ended)
                self._disposal.begin(name, files, ending=not pod.phase.ended)

    def _attempt_files(self, run: _Run, path: str, attempt: int) -> Attempt:
        assert run.pipeline is not None  # noqa: S101 - the callers loaded it
        return self._root.attempt(run.place, run.pipeline.name, run.run_id, path, attempt)

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
        due = created.time if created.scheduled is None else created.scheduled
        run.constants = {
            ".pipeline_job_name": created.display_name,
            ".pipeline_job_resource_name": naming.resource_name(pipeline.name, run.run_id),
            ".pipeline_job_uuid": run.run_id,
            ".pipeline_job_create_time_utc": began,
            ".pipeline_job_schedule_time_utc": timestamps.format(due),
            ".pipeline_root": "/".join(p for p in (self._root.uri, run.place) if p),
            ".workspace_path": workspaces.MOUNT,
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

    @staticmethod
    def _path(event: Event) -> str:
        assert isinstance(event, events.TaskSucceeded | events.TaskFailed)  # noqa: S101 - _conclude()
        return event.task

    # -- attempts

    def _begin(self, run: _Run, path: str, *, fresh: bool) -> None:
        # The run's state may be read anew meanwhile.
        step = self._step_of(run, run.state.tasks[path])
        spent = run.state.spent.get(path, 0)
        run.work[path] = self._attempts.begin(step, spent, run.wake.set, fresh=fresh)

    def _heard(self, pod: PodStatus) -> None:
        """Take in a change of a pod."""
        if not self._attempts.heard(pod):
            self._stray(pod)

    def _stray(self, pod: PodStatus) -> None:
        """Clean up after a pod whose attempt has ended: an engine was killed in between."""
        run_id = pod.labels.get(LABEL_RUN)
        if run_id is None or pod.phase is PodPhase.GONE or self._disposal.busy(pod.name):
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
            state = runstate.fold(await self._listed(run_id))
        except NotFoundError:
            await persist(f"pod {pod.name}", lambda: self._pods.delete(pod.name, grace=0))
            self._environments.leave(pod.name)
            return
        assert state.created is not None  # noqa: S101 - a run's first event
        if ended := _ended_attempt(state, state.created.pipeline_name, pod.name):
            files, _ = await asyncio.to_thread(self._files, run_id, *ended)
            self._disposal.begin(pod.name, files, ending=not pod.phase.ended)

    async def _listed(self, run_id: str) -> tuple[Event, ...]:
        """Give the events of a run, once the store does."""
        while True:
            try:
                return await asyncio.to_thread(self._store.events, run_id, 0)
            except NotFoundError:
                raise
            except StoreError as error:
                log.warning("run %s: %s; trying again", run_id, error)
                await asyncio.sleep(_STORE_PAUSE)

    # -- afterwards

    async def _kill(self, run: _Run) -> None:
        """Stop all pods of a run at once."""
        await self._attempts.stop(run.work.values())
        running = [task for path in run.state.running if (task := run.state.tasks[path]).pod]

        def away(path: str, why: str) -> None:
            if path in run.work:
                run.work[path].away(why)

        await asyncio.gather(
            *(
                self._disposal.kill(
                    task.pod,
                    self._attempt_files(run, task.path, task.attempt),
                    functools.partial(away, task.path),
                )
                for task in running
            )
        )

    def _dispose(self, work: Work) -> None:
        """Let go of an attempt and clean up after its pod."""
        self._attempts.release(work)
        if work.pod:
            self._disposal.begin(work.pod, work.files, ending=work.ending)

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
        task.add_done_callback(report)


def _durable(finished: Sequence[Work], planned: Sequence[Event]) -> bool:
    """Tell whether a machine that loses its power must not lose what is recorded.

    How a pod ended is in its folder, and what is decided would be decided again, with pods of the
    same names. Not so what the engine carries out itself; and a run's end has consequences.
    """
    acted = any(not work.pod for work in finished)
    acts = any(isinstance(event, events.TaskStarted) and event.acts for event in planned)
    return acted or acts or _ends(planned)


def _tasks(listed: Sequence[Event]) -> set[str]:
    """Give the paths of the tasks that events tell of, as they stand after all of them."""
    return {path for event in listed if (path := getattr(event, "task", ""))}


def _ends(planned: Sequence[Event]) -> bool:
    return any(isinstance(event, events.RunEnded) for event in planned)


def _ended_attempt(state: runstate.RunState, pipeline: str, pod: str) -> tuple[str, int] | None:
    """Give the path and the number of the attempt that ran in a pod, if it has ended."""
    assert state.created is not None  # noqa: S101 - a run's first event
    run_id = state.created.run_id
    for task in state.tasks.values():
        if task.pod == pod:
            return None if task.phase is TaskPhase.RUNNING else (task.path, task.attempt)
    earlier = {**state.spent, **{task.path: task.attempt for task in state.tasks.values()}}
    for path, count in earlier.items():
        for attempt in range(count):
            if naming.pod_name(pipeline, run_id, path, attempt) == pod:
                return path, attempt
    return None
