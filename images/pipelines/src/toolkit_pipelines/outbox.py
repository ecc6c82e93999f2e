"""Runs as MLflow sees them: delivered from a durable outbox, in order, until MLflow has them.

What happens to a run is put in the outbox by the same transaction that records it (`record`), and
delivered afterwards (`Outbox`). MLflow being down stops no run; when it is back, all is told in
order, and telling it twice changes nothing: runs are found by their tags before they are made.

A pipeline run is an MLflow run in the experiment of that name; each task is a run nested in it,
a task of a nested pipeline in that pipeline's task. Input parameters become parameters, numbers in
`system.Metrics` artifacts metrics (on the task's run as they are, on the pipeline's as
`TASK/NAME`), artifacts are listed with their URIs and digests in `kfp/artifacts.json`, and pages
(`system.HTML`, `system.Markdown`) are copied there. What a task takes is logged as its inputs,
a `system.Model` that it gives as a logged model. A task that was taken from the cache is
recorded as one that ran, with the tag `kfp.cached_from`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolkit_objects import ObjectStoreError

from . import events, naming, spec
from .contents import AbsentError, Contents, ElsewhereError
from .delivery import Delivery, UnreachableError
from .events import Artifact, Event, Json, RunPhase, Values
from .mlflow import MAX_DATASET_DIGEST, Dataset, Found, MLflow, RejectedError, key
from .spec import SpecError
from .spec.placeholders import as_text
from .store.interface import (
    EventStore,
    NotFoundError,
    OutboxEntry,
    OutboxRecord,
    Recipient,
    StoreError,
)

log = logging.getLogger(__name__)

TAG_RUN: Final = "kfp.run_id"
TAG_TASK: Final = "kfp.task"
TAG_STATE: Final = "kfp.state"
TAG_ERROR: Final = "kfp.error"
TAG_ORIGIN: Final = "kfp.cached_from"
"""Of a task that was taken from the cache: `RUN/TASK`, the one that produced its outputs."""
TAG_ARTIFACT: Final = "kfp.artifact"
"""Of a logged model: the SHA-256 of its URI, by which the tasks that take it find it."""
_MODEL: Final = "system.Model"
_PAGES: Final = {"system.HTML": ".html", "system.Markdown": ".md"}
_MAX_PAGE: Final = 8 * 1024 * 1024
_MAX_REASON: Final = 4000
_BACKOFF: Final = (0.5, 60.0)
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
    """What is known of a run's counterpart: the ids MLflow gave, by task path ("" is the run).

    `refused` has what MLflow will never take of the record that is being told.
    """

    created: events.RunCreated
    experiment: str = ""
    refused: list[str] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)


class Outbox(Delivery):
    """Delivers the outbox to MLflow.

    Args:
        store: where the records wait.
        mlflow: where they go.
        contents: what artifacts hold.
    """

    def __init__(
        self,
        store: EventStore,
        mlflow: MLflow,
        contents: Contents,
        *,
        backoff: tuple[float, float] = _BACKOFF,
    ) -> None:
        super().__init__(store, Recipient.MLFLOW, backoff)
        self._mlflow = mlflow
        self._contents = contents
        self._mirrors: OrderedDict[str, _Mirror] = OrderedDict()

    async def close(self) -> None:
        """Close the connections."""
        await self._mlflow.close()

    async def deliver(self, entry: OutboxEntry) -> str:
        """Tell MLflow one thing; see `Delivery.deliver`."""
        waiting = entry.record
        refused: list[str] = []
        try:
            event = events.decode(
                waiting.body["kind"],
                waiting.body["event"],
                run_id=waiting.run_id,
                time=waiting.body["time"],
                sequence=waiting.body["sequence"],
            )
            mirror = await self._mirror(waiting.run_id, event)
            mirror.refused = refused
            await self._tell(mirror, event)
        except RejectedError as error:
            # MLflow will not take it however often it is told; what comes after it may be taken.
            refused.append(str(error))
        except NotFoundError:
            log.info("run %s was deleted before it was recorded", waiting.run_id)
        except ValueError as error:
            log.exception("record %s cannot be read", waiting.key)
            refused.append(f"it cannot be read: {error}")
        if not refused:
            return ""
        why = f"record {waiting.key} ({waiting.body.get('kind')}): {'; '.join(refused)}"
        log.error("MLflow refuses for good what there is to tell of a run: %s", why)
        return why[:_MAX_REASON]

    async def _part(self, mirror: _Mirror, telling: Awaitable[Any]) -> None:
        """Tell a part of a record: if that alone is refused, the others are told all the same."""
        try:
            await telling
        except RejectedError as error:
            mirror.refused.append(str(error))

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
                ran = {"kfp.image": event.image, "kfp.lock": event.lock}
                tags = {name: value for name, value in ran.items() if value}
                await self._task_succeeded(mirror, event, {**tags, TAG_STATE: "SUCCEEDED"})
            case events.TaskCached():
                origin = f"{event.origin}/{event.origin_task}"
                tags = {TAG_STATE: "CACHED", TAG_ORIGIN: origin}
                await self._task_succeeded(mirror, event, tags)
            case events.TaskFailed(retry=None):
                tags = {TAG_STATE: "FAILED", TAG_ERROR: f"{event.reason}: {event.message}"}
                await self._task_ended(mirror, event.task, "FAILED", event.time, tags)
            case events.TaskCanceled():
                tags = {TAG_STATE: "CANCELED"}
                await self._task_ended(mirror, event.task, "KILLED", event.time, tags)
            case events.RunTerminating():
                root = await self._root_run(mirror)
                if root.alive:
                    await self._mlflow.log(root.run_id, tags={TAG_STATE: "CANCELING"})
            case events.RunRetried():
                await self._goes_on(await self._root_run(mirror))
                for path in event.reopened:
                    await self._goes_on(await self._task_run(mirror, path, event.time))
            case events.RunEnded():
                await self._run_ended(mirror, event)
            case events.TaskFailed():
                # It is tried again.
                run = await self._task_run(mirror, event.task, event.time)
                if run.alive:
                    why = f"attempt {event.attempt}: {event.reason}: {event.message}"
                    tags = {"kfp.retried": why, TAG_STATE: "PENDING"}
                    await self._mlflow.log(run.run_id, tags=tags)
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
        tags = {
            "kfp.pipeline": created.pipeline_name,
            "kfp.spec_digest": created.spec,
            TAG_STATE: "RUNNING",
        }
        if created.recurring_run_id:
            tags["kfp.recurring_run_id"] = created.recurring_run_id
        if created.reproduces:
            tags["kfp.reproduces"] = created.reproduces
        return await self._found(mirror, "", created.display_name, created.time, tags)

    async def _task_run(self, mirror: _Mirror, path: str, start: float, name: str = "") -> Found:
        outer, _, last = path.rpartition("/")
        parent = (
            await self._task_run(mirror, outer, start) if outer else await self._root_run(mirror)
        )
        tags = {
            "mlflow.parentRunId": parent.run_id,
            "kfp.pipeline": mirror.created.pipeline_name,
            "kfp.task_id": naming.task_id(mirror.created.run_id, path),
            TAG_STATE: "RUNNING",
        }
        return await self._found(mirror, path, name or last, start, tags)

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
        name = naming.iteration(event.task) if event.iteration is not None else ""
        run = await self._task_run(mirror, event.task, event.time, name)
        if not run.alive:
            return
        tags = {"kfp.attempt": str(event.attempt), TAG_STATE: "RUNNING"}
        if event.pod:
            tags["kfp.pod"] = event.pod
        if event.ineffective:
            tags["kfp.warnings"] = "\n".join(event.ineffective)
        if event.attempt:
            # Its parameters are recorded, and cannot be changed.
            await self._goes_on(run)
            await self._mlflow.log(run.run_id, tags=tags)
        else:
            await self._mlflow.log(run.run_id, tags=tags)
            params = _params(event.inputs.parameters)
            if params:
                await self._part(mirror, self._mlflow.log(run.run_id, params=params))
            await self._part(mirror, self._took(mirror, run, event.inputs))

    async def _took(self, mirror: _Mirror, run: Found, inputs: Values) -> None:
        """Record what a task took: models that are known here as such, all else as datasets."""
        datasets, models = [], []
        for name, artifact in _each(inputs):
            model = ""
            if artifact.type == _MODEL:
                tag = _address(artifact)
                model = await self._mlflow.model(mirror.experiment, TAG_ARTIFACT, tag)
            if model:
                models.append(model)
            else:
                datasets.append(_dataset(name, artifact))
        if datasets or models:
            await self._mlflow.inputs(run.run_id, datasets, models)

    async def _gave(self, mirror: _Mirror, run: Found, task: str, outputs: Values) -> None:
        """Record the models that a task gave; one from the cache stays that of who made it."""
        for name, artifact in _each(outputs):
            if artifact.type != _MODEL:
                continue
            tag = _address(artifact)
            model = await self._mlflow.model(mirror.experiment, TAG_ARTIFACT, tag)
            if not model:
                tags = {
                    TAG_ARTIFACT: tag,
                    TAG_RUN: mirror.created.run_id,
                    TAG_TASK: task,
                    "kfp.uri": artifact.uri,
                    "kfp.digest": artifact.digest,
                }
                model = await self._mlflow.create_model(
                    mirror.experiment, run.run_id, _model_name(name), _MODEL, tags
                )
            await self._mlflow.outputs(run.run_id, model)

    async def _goes_on(self, run: Found) -> None:
        """Take back that a run or a task has ended."""
        if run.alive:
            await self._mlflow.update(run.run_id, "RUNNING")
            await self._mlflow.untag(run.run_id, TAG_ERROR)
            await self._mlflow.log(run.run_id, tags={TAG_STATE: "RUNNING"})

    async def _task_succeeded(
        self,
        mirror: _Mirror,
        event: events.TaskSucceeded | events.TaskCached,
        tags: Mapping[str, str],
    ) -> None:
        run = await self._task_run(mirror, event.task, event.time)
        root = await self._root_run(mirror)
        metrics = _metrics(event.outputs)
        if run.alive:
            values = _outputs(event.outputs.parameters)
            await self._part(
                mirror,
                self._mlflow.log(run.run_id, metrics=metrics, tags=values, time=event.time),
            )
            await self._artifacts(mirror, run, event.outputs)
            # A nested pipeline passes on what its tasks made.
            if isinstance(event, events.TaskCached) or event.image:
                await self._part(mirror, self._gave(mirror, run, event.task, event.outputs))
        if root.alive and metrics:
            named = {key(f"{event.task}/{name}"): value for name, value in metrics.items()}
            await self._part(mirror, self._mlflow.log(root.run_id, metrics=named, time=event.time))
        if root.alive:
            await self._pages(mirror, root, event.outputs, f"{event.task}/")
        await self._task_ended(mirror, event.task, "FINISHED", event.time, tags)

    async def _task_ended(
        self, mirror: _Mirror, path: str, status: str, time: float, tags: Mapping[str, str]
    ) -> None:
        run = await self._task_run(mirror, path, time)
        if run.alive:
            await self._part(mirror, self._mlflow.log(run.run_id, tags=tags))
            await self._mlflow.update(run.run_id, status, time)

    async def _run_ended(self, mirror: _Mirror, event: events.RunEnded) -> None:
        root = await self._root_run(mirror)
        if root.alive:
            tags = {TAG_STATE: str(event.phase), **_outputs(event.outputs.parameters)}
            if event.message:
                tags[TAG_ERROR] = event.message
            metrics = _metrics(event.outputs)
            await self._part(
                mirror,
                self._mlflow.log(root.run_id, metrics=metrics, tags=tags, time=event.time),
            )
            await self._artifacts(mirror, root, event.outputs)
            await self._mlflow.update(root.run_id, _STATUS[event.phase], event.time)
        self._mirrors.pop(event.run_id, None)

    async def _artifacts(self, mirror: _Mirror, run: Found, outputs: Values) -> None:
        if not outputs.artifacts:
            return
        listed = {
            name: [
                {
                    **{"name": a.name, "type": a.type, "uri": a.uri},
                    **{"metadata": dict(a.metadata), "digest": a.digest},
                }
                for a in artifacts
            ]
            for name, artifacts in outputs.artifacts.items()
        }
        content = json.dumps(listed, indent=2).encode()
        await self._part(
            mirror, self._mlflow.upload(run.artifact_uri, "kfp/artifacts.json", content)
        )
        await self._pages(mirror, run, outputs, "")

    async def _pages(self, mirror: _Mirror, run: Found, outputs: Values, prefix: str) -> None:
        for name, artifact in _each(outputs):
            suffix = _PAGES.get(artifact.type)
            if suffix is None:
                continue
            content = await asyncio.to_thread(self._content, artifact.uri)
            if content is not None:
                path = f"kfp/{prefix}{name}{suffix}"
                await self._part(mirror, self._mlflow.upload(run.artifact_uri, path, content))

    def _content(self, uri: str) -> bytes | None:
        """Read a page; None if it is not there, is too large, or is not ours to read.

        Raises:
            UnreachableError: the object store that has it, or the database, does not answer.
        """
        content = bytearray()
        try:
            with self._contents.opened(uri) as opened:
                if opened.folder:
                    return None
                for chunk in opened.chunks():
                    content += chunk
                    if len(content) > _MAX_PAGE:
                        return None
        except ObjectStoreError as error:
            if error.transient:
                raise UnreachableError(str(error)) from error
            log.warning("the page %s is not copied: %s", uri[:200], error)
            return None
        except StoreError as error:
            raise UnreachableError(str(error)) from error
        except (OSError, AbsentError, ElsewhereError) as error:
            log.info("the page %s is not copied: %s", uri[:200], error)
            return None
        return bytes(content)


def _each(outputs: Values) -> Iterable[tuple[str, Artifact]]:
    for name, artifacts in outputs.artifacts.items():
        for number, artifact in enumerate(artifacts):
            yield (name if len(artifacts) == 1 else f"{name}-{number}"), artifact


def _address(artifact: Artifact) -> str:
    return hashlib.sha256(artifact.uri.encode()).hexdigest()


def _dataset(name: str, artifact: Artifact) -> Dataset:
    known = artifact.digest if artifact.digest != "none" else ""
    digest = known.rpartition(":")[2] or _address(artifact)
    source = {
        "uri": artifact.uri,
        "type": artifact.type,
        "digest": artifact.digest,
        "kfp.run_id": naming.maker(artifact.uri),
    }
    told = {name: value for name, value in source.items() if value}
    return Dataset(key(name), digest[:MAX_DATASET_DIGEST], told)


def _model_name(name: str) -> str:
    # Beyond what no key has, MLflow takes these in no name of a model.
    return key(name).replace("/", "_").replace(".", "_")


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
