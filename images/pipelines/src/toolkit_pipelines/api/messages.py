"""Records as the API's messages (v2beta1, snake case); what is empty is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from .. import events, naming, timestamps
from ..events import RunPhase, Values
from ..runstate import RunState, TaskPhase, TaskState
from ..schedule import Trigger
from ..store.interface import (
    ArtifactKey,
    ArtifactRecord,
    Experiment,
    Pipeline,
    RecurringRun,
    Run,
    Status,
    Version,
)
from .errors import Code

Message: TypeAlias = dict[str, Any]

_NOTHING: Final[tuple[Any, ...]] = (None, "", {}, [])
_NAMED: Final = 5
"""How many tasks a warning names."""


def _message(**fields: Any) -> Message:
    # Most say something: that is seen first.
    return {name: value for name, value in fields.items() if value or value not in _NOTHING}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamps.format(seconds)


def _error(message: str) -> Message:
    return {"code": Code.INTERNAL.number, "message": message, "details": []}


def experiment(record: Experiment) -> Message:
    """Give an Experiment."""
    return _message(
        experiment_id=record.experiment_id,
        display_name=record.display_name,
        description=record.description,
        namespace=record.namespace,
        created_at=_time(record.created),
        last_run_created_at=_time(record.last_run_created),
        storage_state=record.storage.value,
    )


def pipeline(record: Pipeline) -> Message:
    """Give a Pipeline."""
    return _message(
        pipeline_id=record.pipeline_id,
        name=record.name,
        display_name=record.display_name,
        description=record.description,
        namespace=record.namespace,
        created_at=_time(record.created),
        tags=dict(record.tags),
    )


def version(record: Version, spec: bytes | None = None) -> Message:
    """Give a PipelineVersion, with its spec if that is given."""
    return _message(
        pipeline_id=record.pipeline_id,
        pipeline_version_id=record.pipeline_version_id,
        name=record.name,
        display_name=record.display_name,
        description=record.description,
        created_at=_time(record.created),
        code_source_url=record.code_source_url,
        package_url={"pipeline_url": record.package_url} if record.package_url else None,
        pipeline_spec=None if spec is None else json.loads(spec),
        tags=dict(record.tags),
    )


def run(
    record: Run,
    *,
    spec: bytes | None = None,
    locks: Mapping[str, Sequence[str]] | None = None,
    forced: bool = False,
    reproduces: str = "",
    warnings: Sequence[str] = (),
) -> Message:
    """Give a Run, with its spec and its locks if they are given; without its task details.

    `warnings` (see `warnings`) are also where KFP's clients find them: in the first entry of the
    state history, as an `error` whose code is 0, OK.

    `forced` says that nothing is taken from the cache, `reproduces` is the run that it makes
    again. KFP's clients pass over both, over `spec_digest`, and over `locks`, the packages of
    the environments that its tasks name.
    """
    return _message(
        experiment_id=record.experiment_id,
        run_id=record.run_id,
        recurring_run_id=record.recurring_run_id,
        display_name=record.display_name,
        storage_state=record.storage.value,
        description=record.description,
        **_what_runs(record, spec),
        spec_digest=record.spec,
        locks={digest: list(packages) for digest, packages in (locks or {}).items()},
        service_account=record.service_account,
        created_at=_time(record.created),
        scheduled_at=_time(record.scheduled),
        finished_at=_time(record.finished),
        state=record.phase.value,
        error=_error(record.message) if record.message else None,
        caching="force" if forced else None,
        reproduces=reproduces,
        warnings=list(warnings),
        state_history=_history(record.history, warnings),
    )


def _what_runs(record: Run | RecurringRun, spec: bytes | None) -> Message:
    reference = _message(
        pipeline_id=record.pipeline_id, pipeline_version_id=record.pipeline_version_id
    )
    return _message(
        pipeline_spec=None if spec is None or reference else json.loads(spec),
        pipeline_version_reference=reference,
        runtime_config=_message(
            parameters=dict(record.parameters), pipeline_root=record.pipeline_root
        ),
    )


def recurring_run(record: RecurringRun, *, spec: bytes | None = None) -> Message:
    """Give a RecurringRun, with its spec if that is given.

    KFP's clients pass over what follows from its runs: `last_scheduled_at`, `next_scheduled_at`
    (none if it is disabled or over), `last_run_id` and `run_count`.
    """
    enabled = record.status is Status.ENABLED
    return _message(
        recurring_run_id=record.recurring_run_id,
        display_name=record.display_name,
        description=record.description,
        **_what_runs(record, spec),
        max_concurrency=str(record.max_concurrency),
        trigger=_trigger(record.trigger),
        mode="ENABLE" if enabled else "DISABLE",
        created_at=_time(record.created),
        updated_at=_time(record.updated),
        status=record.status.value,
        error=_error(record.problem) if record.problem else None,
        no_catchup=not record.catchup,
        experiment_id=record.experiment_id,
        last_scheduled_at=_time(record.last),
        next_scheduled_at=_time(record.next) if enabled else None,
        last_run_id=record.last_run_id,
        run_count=record.made,
    )


def _trigger(trigger: Trigger) -> Message:
    bounds = _message(start_time=_time(trigger.start), end_time=_time(trigger.end))
    if trigger.expression:
        return {"cron_schedule": {**bounds, "cron": trigger.expression}}
    if trigger.interval:
        return {"periodic_schedule": {**bounds, "interval_second": str(trigger.interval)}}
    return {}


def _history(
    history: Sequence[tuple[RunPhase | TaskPhase, float]], warnings: Sequence[str]
) -> list[Message]:
    found: list[Message] = [
        {"update_time": timestamps.format(moment), "state": phase.value}
        for phase, moment in history
    ]
    if found and warnings:
        message = "\n".join(f"warning: {each}" for each in warnings)
        found[0]["error"] = {"code": 0, "message": message, "details": []}
    return found


def warnings(state: RunState) -> list[str]:
    """Give what tasks of a run ask for in vain, each once: `TASK, TASK: FIELD: …`."""
    tasks: dict[str, dict[str, None]] = {}
    for task in state.tasks.values():
        for each in task.ineffective:
            tasks.setdefault(each, {})[_outside_loops(task.path, state)] = None
    return [f"{_some(list(paths))}: {each}" for each, paths in tasks.items()]


def _outside_loops(path: str, state: RunState) -> str:
    """Give a task's path without the numbers of iterations."""
    parts = path.split("/")
    return "/".join(
        part
        for count, part in enumerate(parts, 1)
        if (found := state.tasks.get("/".join(parts[:count]))) is None or found.iteration is None
    )


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{', '.join(paths[:_NAMED])}{more}"


def tasks(
    run_id: str,
    state: RunState,
    artifacts: Sequence[ArtifactKey],
    waiting: Mapping[str, str],
) -> Iterator[Message]:
    """Give the PipelineTaskDetails of a run: every task that was reached.

    An iteration of a loop is a task, with the loop as its parent and a number
    (`iteration_index`). A task that was skipped says why (`skip_reason`). A task whose pod cannot
    start yet (`waiting`, with the reason) is PENDING, and its `error` says why.

    What a task asks of Kubernetes in vain is in `warnings`, and in its state history like a run's.

    A task that was taken from the cache is CACHED, has no pod, and names the task that produced
    its outputs (`cached_from`).

    `inputs` and `outputs` hold artifacts only, as KFP has it; the parameters are beside them in
    `input_parameters` and `output_parameters`, which KFP's clients pass over. So they do over
    `input_digests` and `output_digests` (see `events.Artifact`; "" if there is none), over `image`
    and over `lock`, which is one of the run's.
    """
    by_uri = {each.uri: each.artifact_id for each in artifacts}
    by_place = {(each.task, each.output, each.position): each.artifact_id for each in artifacts}
    # Each is asked for by what is around it and in it as well.
    ids = {path: naming.task_id(run_id, path) for path in state.tasks}
    children: dict[str, list[str]] = {}
    for path, task_id in ids.items():
        children.setdefault(path.rpartition("/")[0], []).append(task_id)
    for task in state.tasks.values():
        yield _task(run_id, task, ids, children.get(task.path, ()), by_uri, by_place, waiting)


def _task(
    run_id: str,
    task: TaskState,
    ids: Mapping[str, str],
    children: Sequence[str],
    by_uri: Mapping[str, int],
    by_place: Mapping[tuple[str, str, int], int],
    waiting: Mapping[str, str],
) -> Message:
    reason = waiting.get(task.path, "") if task.phase is TaskPhase.RUNNING else ""
    skipped = task.phase is TaskPhase.SKIPPED
    trouble = f"{task.reason}: {task.message}" if task.message and not skipped else reason
    parent, _, name = task.path.rpartition("/")
    if task.iteration is not None:
        name = naming.iteration(task.path)
    created = task.history[0][1] if task.history else None
    return _message(
        run_id=run_id,
        task_id=ids[task.path],
        display_name=name,
        create_time=_time(created),
        start_time=_time(task.started),
        end_time=_time(task.finished),
        executor_detail=_message(main_job=task.pod),
        state=RunPhase.PENDING.value if reason else task.phase.value,
        error=_error(trouble) if trouble else None,
        skip_reason=task.message if skipped else None,
        inputs=_artifact_lists("", task.inputs, by_uri, by_place),
        outputs=_artifact_lists(task.path, task.outputs, by_uri, by_place),
        input_parameters=dict(task.inputs.parameters),
        output_parameters=dict(task.outputs.parameters),
        input_digests=_digests(task.inputs),
        output_digests=_digests(task.outputs),
        image=task.image,
        lock=task.lock,
        iteration_count=task.iterations,
        iteration_index=task.iteration,
        parent_task_id=(ids.get(parent) or naming.task_id(run_id, parent)) if parent else None,
        warnings=list(task.ineffective),
        state_history=_history(task.history, task.ineffective),
        pod_name=task.pod,
        cached_from=_cached_from(task.origin, task.origin_task) if task.origin else None,
        child_tasks=[{"task_id": each} for each in children],
    )


def _digests(values: Values) -> Message:
    """Give the digests of artifacts where there are any."""
    return {
        name: [each.digest for each in listed]
        for name, listed in values.artifacts.items()
        if any(each.digest for each in listed)
    }


def _cached_from(run_id: str, task: str) -> Message:
    return _message(run_id=run_id, task_id=naming.task_id(run_id, task), task=task)


def _artifact_lists(
    path: str,
    values: Values,
    by_uri: Mapping[str, int],
    by_place: Mapping[tuple[str, str, int], int],
) -> Message:
    lists: Message = {}
    for name, listed in values.artifacts.items():
        found = (
            by_place.get((path, name, position)) or by_uri.get(artifact.uri)
            for position, artifact in enumerate(listed)
        )
        lists[name] = {"artifact_ids": [str(each) for each in found if each is not None]}
    return lists


def change(event: events.Event) -> Message | None:
    """Give what an event changes of a task; None if it is of the run alone.

    The fields are those of `tasks`, as far as they change: `error` belongs to the state that it
    comes with, `update_time` says when that began. Beyond these are `task`, the path of the task
    in the run, `attempt`, and `retry_time`, when a PENDING task begins its next attempt. What a
    task took and gave of artifacts is told by `GET /runs/{run_id}`.
    """
    match event:
        case events.TaskStarted():
            state = TaskPhase.RUNNING
            told = _message(
                **_place(event),
                attempt=event.attempt,
                pod_name=event.pod,
                input_parameters=dict(event.inputs.parameters),
                iteration_count=event.iterations,
                iteration_index=event.iteration,
                warnings=list(event.ineffective),
            )
        case events.TaskSucceeded():
            state = TaskPhase.SUCCEEDED
            told = _message(output_parameters=dict(event.outputs.parameters))
        case events.TaskCached():
            state = TaskPhase.CACHED
            told = _message(
                output_parameters=dict(event.outputs.parameters),
                cached_from=_cached_from(event.origin, event.origin_task),
            )
        case events.TaskFailed():
            state = TaskPhase.FAILED if event.retry is None else TaskPhase.PENDING
            told = _message(
                attempt=event.attempt,
                error=_error(f"{event.reason}: {event.message}"),
                retry_time=_time(event.retry),
            )
        case events.TaskSkipped():
            state = TaskPhase.SKIPPED
            told = _message(**_place(event), skip_reason=event.reason)
        case events.TaskCanceled():
            state, told = TaskPhase.CANCELED, {}
        case _:
            return None
    return {
        "run_id": event.run_id,
        "task_id": naming.task_id(event.run_id, event.task),
        "task": event.task,
        "state": state.value,
        "update_time": timestamps.format(event.time),
        **told,
    }


def _place(event: events.TaskStarted | events.TaskSkipped) -> Message:
    """Give the name of a task that is reached, and what it is in."""
    parent, _, name = event.task.rpartition("/")
    if isinstance(event, events.TaskStarted) and event.iteration is not None:
        name = naming.iteration(event.task)
    return _message(
        display_name=name, parent_task_id=naming.task_id(event.run_id, parent) if parent else None
    )


def artifact(record: ArtifactRecord, *, download: bool = False) -> Message:
    """Give an Artifact, with the address of its content if asked; names and metadata are ours."""
    provider, separator, path = record.uri.partition("://")
    return _message(
        artifact_id=str(record.artifact_id),
        storage_provider=provider if separator else None,
        storage_path=path if separator else record.uri,
        uri=record.uri,
        download_url=(
            f"/apis/v2beta1/artifacts/{record.artifact_id}:download" if download else None
        ),
        artifact_type=record.type,
        created_at=_time(record.created),
        last_updated_at=_time(record.created),
        name=record.name,
        metadata=dict(record.metadata),
        run_id=record.run_id,
        task_id=naming.task_id(record.run_id, record.task),
        task=record.task,
        output=record.output,
        origin_run_id=record.origin,
    )


def listing(name: str, messages: Sequence[Message], total: int, token: str) -> Message:
    """Give the answer to a list request."""
    return {
        name: list(messages),
        "total_size": total,
        **({"next_page_token": token} if token else {}),
    }
