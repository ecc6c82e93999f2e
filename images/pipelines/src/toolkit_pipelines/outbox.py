"""Runs as MLflow sees them: delivered from a durable outbox, in order, until MLflow has them.

What happens to a run is put in the outbox by the same transaction that records it (`record`), and
delivered afterwards (`Outbox`). MLflow being down stops no run; when it is back, all is told in
order, and telling it twice changes nothing: runs are found by their tags before they are made.

A pipeline run is an MLflow run in the experiment of that name; each task is a run nested in it,
a task of a nested pipeline in that pipeline's task. Input parameters become parameters, numbers in
`system.Metrics` artifacts metrics (on the task's run as they are, on the pipeline's as
`TASK/NAME`), artifacts are listed with their URIs in `kfp/artifacts.json`, and pages
(`system.HTML`, `system.Markdown`) are copied there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import confined, events, naming, spec
from .events import Artifact, Event, Json, RunPhase, Values
from .mlflow import Found, MLflow, RejectedError, UnreachableError, key, pause
from .spec import SpecError
from .spec.placeholders import as_text
from .store.interface import EventStore, NotFoundError, OutboxEntry, OutboxRecord, StoreError

log = logging.getLogger(__name__)

TAG_RUN: Final = "kfp.run_id"
TAG_TASK: Final = "kfp.task"
TAG_STATE: Final = "kfp.state"
_PAGES: Final = {"system.HTML": ".html", "system.Markdown": ".md"}
_MAX_PAGE: Final = 8 * 1024 * 1024
_BACKOFF: Final = (0.5, 60.0)
_IDLE: Final = 30.0
_RUNS_KEPT: Final = 256
_STATUS: Final = {
    RunPhase.SUCCEEDED: "FINISHED",
    RunPhase.SKIPPED: "FINISHED",
    RunPhase.FAILED: "FAILED",
    RunPhase.CANCELED: "KILLED",
}


def record(appended: Sequence[Event]) -> list[OutboxRecord]:
    """Give the records of newly appended events; pure, called inside their transaction."""
    return [
        OutboxRecord(
            key=f"{event.run_id}/{event.sequence}",
            run_id=event.run_id,
            body={
                "kind": event.kind,
                "time": event.time,
                "sequence": event.sequence,
                "event": events.encode(event),
            },
        )
        for event in appended
    ]


@dataclass(slots=True)
class _Mirror:
    """What is known of a run's counterpart: the ids MLflow gave, by task path ("" is the run)."""

    created: events.RunCreated
    experiment: str = ""
    found: dict[str, Found] = field(default_factory=dict)


@dataclass(slots=True)
class _Trouble:
    """A run whose records cannot be delivered just now."""

    until: float
    wait: float


class Outbox:
    """Delivers the outbox to MLflow.

    Args:
        store: where the records wait.
        mlflow: where they go.
        page: gives the file of an artifact's URI; ValueError if it is not one of ours.
        root: the folder that those files lie below.
    """

    def __init__(
        self,
        store: EventStore,
        mlflow: MLflow,
        page: Callable[[str], Path],
        root: Path,
        *,
        backoff: tuple[float, float] = _BACKOFF,
    ) -> None:
        self._store = store
        self._mlflow = mlflow
        self._page = page
        self._root = root
        self._backoff = backoff
        self._mirrors: OrderedDict[str, _Mirror] = OrderedDict()
        self._trouble: dict[str, _Trouble] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Deliver records as they come, until cancelled."""
        loop = asyncio.get_running_loop()

        def appended(run_id: str) -> None:
            del run_id
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._wake.set)

        stop = self._store.subscribe(appended)
        try:
            while True:
                self._wake.clear()
                try:
                    more = await self._round()
                except StoreError as error:
                    log.warning("the outbox: %s", error)
                    more = False
                if not more:
                    await pause(self._sleep(), self._wake)
        finally:
            stop()
            await self._mlflow.close()

    def _sleep(self) -> float:
        if not self._trouble:
            return _IDLE
        now = asyncio.get_running_loop().time()
        return max(min(each.until for each in self._trouble.values()) - now, 0.01)

    async def _round(self) -> bool:
        """Deliver what is due; give whether there was anything."""
        now = asyncio.get_running_loop().time()
        waiting = [run_id for run_id, each in self._trouble.items() if each.until > now]
        entries = await asyncio.to_thread(lambda: self._store.outbox(limit=100, excluding=waiting))
        by_run: OrderedDict[str, list[OutboxEntry]] = OrderedDict()
        for entry in entries:
            by_run.setdefault(entry.record.run_id, []).append(entry)
        for run_id, listed in by_run.items():
            try:
                for entry in listed:
                    await self._deliver(entry.record)
                    await asyncio.to_thread(self._store.delivered, [entry.entry_id])
            except UnreachableError as error:
                self._later(run_id, error)
            else:
                self._trouble.pop(run_id, None)
        return bool(entries)

    def _later(self, run_id: str, error: UnreachableError) -> None:
        before = self._trouble.get(run_id)
        wait = min(before.wait * 2, self._backoff[1]) if before else self._backoff[0]
        if before is None:
            log.warning("recording run %s: %s; trying again", run_id, error)
        now = asyncio.get_running_loop().time()
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._trouble[run_id] = _Trouble(now + wait * spread, wait)

    async def _deliver(self, waiting: OutboxRecord) -> None:
        try:
            event = events.decode(
                waiting.body["kind"],
                waiting.body["event"],
                run_id=waiting.run_id,
                time=waiting.body["time"],
                sequence=waiting.body["sequence"],
            )
            mirror = await self._mirror(waiting.run_id, event)
            await self._tell(mirror, event)
        except RejectedError as error:
            # MLflow will not take it however often it is told; what comes after it may be taken.
            log.error("MLflow refuses record %s: %s", waiting.key, error)
        except NotFoundError:
            log.info("run %s was deleted before it was recorded", waiting.run_id)
        except ValueError:
            log.exception("record %s cannot be read", waiting.key)

    async def _mirror(self, run_id: str, event: Event) -> _Mirror:
        mirror = self._mirrors.get(run_id)
        if mirror is None:
            if isinstance(event, events.RunCreated):
                created = event
            else:
                recorded = await asyncio.to_thread(self._store.events, run_id, 0)
                if not recorded or not isinstance(recorded[0], events.RunCreated):
                    raise ValueError(f"run {run_id} does not begin with RunCreated")
                created = recorded[0]
            mirror = self._mirrors[run_id] = _Mirror(created)
            if len(self._mirrors) > _RUNS_KEPT:
                self._mirrors.popitem(last=False)
        if not mirror.experiment:
            mirror.experiment = await self._mlflow.experiment(mirror.created.experiment_name)
        return mirror

    async def _tell(self, mirror: _Mirror, event: Event) -> None:
        match event:
            case events.RunCreated():
                await self._run_created(mirror, event)
            case events.TaskStarted():
                await self._task_started(mirror, event)
            case events.TaskSucceeded():
                await self._task_succeeded(mirror, event)
            case events.TaskFailed():
                tags = {TAG_STATE: "FAILED", "kfp.error": f"{event.reason}: {event.message}"}
                await self._task_ended(mirror, event.task, "FAILED", event.time, tags)
            case events.TaskCanceled():
                tags = {TAG_STATE: "CANCELED"}
                await self._task_ended(mirror, event.task, "KILLED", event.time, tags)
            case events.RunTerminating():
                root = await self._root_run(mirror)
                if root.alive:
                    await self._mlflow.log(root.run_id, tags={TAG_STATE: "CANCELING"})
            case events.RunEnded():
                await self._run_ended(mirror, event)
            case events.TaskSkipped():
                # It has no run: nothing was tried.
                return

    async def _found(
        self, mirror: _Mirror, path: str, name: str, start: float, tags: Mapping[str, str]
    ) -> Found:
        """Give a task's or the run's counterpart, made if MLflow has none with its tags."""
        known = mirror.found.get(path)
        if known is None:
            own = {TAG_RUN: mirror.created.run_id, TAG_TASK: path or "-"}
            known = await self._mlflow.find(mirror.experiment, own)
            if known is None:
                known = await self._mlflow.create(mirror.experiment, name, start, {**tags, **own})
            mirror.found[path] = known
        return known

    async def _root_run(self, mirror: _Mirror) -> Found:
        created = mirror.created
        tags = {"kfp.pipeline": created.pipeline_name, TAG_STATE: "RUNNING"}
        return await self._found(mirror, "", created.display_name, created.time, tags)

    async def _task_run(self, mirror: _Mirror, path: str, start: float) -> Found:
        outer, _, name = path.rpartition("/")
        parent = (
            await self._task_run(mirror, outer, start) if outer else await self._root_run(mirror)
        )
        tags = {
            "mlflow.parentRunId": parent.run_id,
            "kfp.pipeline": mirror.created.pipeline_name,
            "kfp.task_id": naming.task_id(mirror.created.run_id, path),
            TAG_STATE: "RUNNING",
        }
        return await self._found(mirror, path, name, start, tags)

    async def _run_created(self, mirror: _Mirror, event: events.RunCreated) -> None:
        root = await self._root_run(mirror)
        if not root.alive:
            return
        values = dict(event.parameters)
        try:
            text = await asyncio.to_thread(self._store.spec, event.spec)
            pipeline = await asyncio.to_thread(spec.load, text)
            values = spec.arguments(pipeline.root.inputs, event.parameters)
        except (NotFoundError, SpecError) as error:
            # The run will say so itself; what was given is recorded all the same.
            log.info("the parameters of run %s: %s", event.run_id, error)
        await self._mlflow.log(root.run_id, params=_params(values))

    async def _task_started(self, mirror: _Mirror, event: events.TaskStarted) -> None:
        run = await self._task_run(mirror, event.task, event.time)
        if not run.alive:
            return
        tags = {"kfp.attempt": str(event.attempt), TAG_STATE: "RUNNING"}
        if event.pod:
            tags["kfp.pod"] = event.pod
        await self._mlflow.log(run.run_id, params=_params(event.inputs.parameters), tags=tags)

    async def _task_succeeded(self, mirror: _Mirror, event: events.TaskSucceeded) -> None:
        run = await self._task_run(mirror, event.task, event.time)
        root = await self._root_run(mirror)
        metrics = _metrics(event.outputs)
        if run.alive:
            await self._mlflow.log(
                run.run_id,
                metrics=metrics,
                tags=_outputs(event.outputs.parameters),
                time=event.time,
            )
            await self._artifacts(run, event.outputs)
        if root.alive and metrics:
            named = {key(f"{event.task}/{name}"): value for name, value in metrics.items()}
            await self._mlflow.log(root.run_id, metrics=named, time=event.time)
        if root.alive:
            await self._pages(root, event.outputs, f"{event.task}/")
        await self._task_ended(
            mirror, event.task, "FINISHED", event.time, {TAG_STATE: "SUCCEEDED"}
        )

    async def _task_ended(
        self, mirror: _Mirror, path: str, status: str, time: float, tags: Mapping[str, str]
    ) -> None:
        run = await self._task_run(mirror, path, time)
        if run.alive:
            await self._mlflow.log(run.run_id, tags=tags)
            await self._mlflow.update(run.run_id, status, time)

    async def _run_ended(self, mirror: _Mirror, event: events.RunEnded) -> None:
        root = await self._root_run(mirror)
        if root.alive:
            tags = {TAG_STATE: str(event.phase), **_outputs(event.outputs.parameters)}
            if event.message:
                tags["kfp.error"] = event.message
            await self._mlflow.log(
                root.run_id, metrics=_metrics(event.outputs), tags=tags, time=event.time
            )
            await self._artifacts(root, event.outputs)
            await self._mlflow.update(root.run_id, _STATUS[event.phase], event.time)
        self._mirrors.pop(event.run_id, None)

    async def _artifacts(self, run: Found, outputs: Values) -> None:
        if not outputs.artifacts:
            return
        listed = {
            name: [
                {"name": a.name, "type": a.type, "uri": a.uri, "metadata": dict(a.metadata)}
                for a in artifacts
            ]
            for name, artifacts in outputs.artifacts.items()
        }
        content = json.dumps(listed, indent=2).encode()
        await self._mlflow.upload(run.artifact_uri, "kfp/artifacts.json", content)
        await self._pages(run, outputs, "")

    async def _pages(self, run: Found, outputs: Values, prefix: str) -> None:
        for name, artifact in _each(outputs):
            suffix = _PAGES.get(artifact.type)
            if suffix is None:
                continue
            content = await asyncio.to_thread(self._content, artifact.uri)
            if content is not None:
                path = f"kfp/{prefix}{name}{suffix}"
                await self._mlflow.upload(run.artifact_uri, path, content)

    def _content(self, uri: str) -> bytes | None:
        """Read a page; None if it is not there, is too large, or is not ours to read."""
        try:
            with (
                confined.opened(self._root, self._page(uri)) as descriptor,
                confined.stream(descriptor) as file,
            ):
                content = file.read(_MAX_PAGE + 1)
        except (OSError, ValueError) as error:
            log.info("the page %s is not copied: %s", uri[:200], error)
            return None
        return content if len(content) <= _MAX_PAGE else None


def _each(outputs: Values) -> Iterable[tuple[str, Artifact]]:
    for name, artifacts in outputs.artifacts.items():
        for number, artifact in enumerate(artifacts):
            yield (name if len(artifacts) == 1 else f"{name}-{number}"), artifact


def _params(values: Mapping[str, Json]) -> dict[str, str]:
    # MLflow has no empty values of parameters in some stores; they say nothing anyway.
    return {key(name): as_text(value) for name, value in values.items() if value not in ("", None)}


def _outputs(values: Mapping[str, Json]) -> dict[str, str]:
    return {key(f"kfp.output.{name}"): as_text(value) for name, value in values.items()}


def _metrics(outputs: Values) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, artifact in _each(outputs):
        if artifact.type != "system.Metrics":
            continue
        for metric, value in artifact.metadata.items():
            if _number(value):
                # Two artifacts of one task may have a metric of the same name.
                label = key(metric) if key(metric) not in found else key(f"{name}.{metric}")
                found[label] = float(value)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
