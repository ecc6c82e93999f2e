"""Records as the API's messages (v2beta1, snake case); what is empty is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from .. import naming, timestamps
from ..events import RunPhase, Values
from ..runstate import RunState, TaskPhase, TaskState
from ..store.interface import ArtifactRecord, Experiment, Pipeline, Run, Version
from .errors import Code

Message: TypeAlias = dict[str, Any]


def _message(**fields: Any) -> Message:
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}


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
    tasks: Sequence[Message] | None = None,
) -> Message:
    """Give a Run, with its spec and task details if they are given."""
    reference = _message(
        pipeline_id=record.pipeline_id, pipeline_version_id=record.pipeline_version_id
    )
    return _message(
        experiment_id=record.experiment_id,
        run_id=record.run_id,
        display_name=record.display_name,
        storage_state=record.storage.value,
        description=record.description,
        pipeline_spec=None if spec is None or reference else json.loads(spec),
        pipeline_version_reference=reference,
        runtime_config=_message(
            parameters=dict(record.parameters), pipeline_root=record.pipeline_root
        ),
        service_account=record.service_account,
        created_at=_time(record.created),
        scheduled_at=_time(record.created),
        finished_at=_time(record.finished),
        state=record.phase.value,
        error=_error(record.message) if record.message else None,
        run_details={"task_details": list(tasks)} if tasks is not None else None,
        state_history=[_status(phase, moment) for phase, moment in record.history],
    )


def _status(phase: RunPhase | TaskPhase, moment: float) -> Message:
    return {"update_time": timestamps.format(moment), "state": phase.value}


def tasks(
    run_id: str,
    state: RunState,
    artifacts: Sequence[ArtifactRecord],
    waiting: Mapping[str, str],
) -> list[Message]:
    """Give the PipelineTaskDetails of a run: every task that was reached.

    A task whose pod cannot start yet (`waiting`, with the reason) is PENDING, and its `error`
    says why.

    `inputs` and `outputs` hold artifacts only, as KFP has it; the parameters are beside them in
    `input_parameters` and `output_parameters`, which KFP's clients pass over.
    """
    by_uri = {each.uri: each.artifact_id for each in artifacts}
    by_place = {(each.task, each.output, each.position): each.artifact_id for each in artifacts}
    children: dict[str, list[str]] = {}
    for path in state.tasks:
        children.setdefault(path.rpartition("/")[0], []).append(path)
    return [
        _task(run_id, task, children.get(task.path, ()), by_uri, by_place, waiting)
        for task in state.tasks.values()
    ]


def _task(
    run_id: str,
    task: TaskState,
    children: Sequence[str],
    by_uri: Mapping[str, int],
    by_place: Mapping[tuple[str, str, int], int],
    waiting: Mapping[str, str],
) -> Message:
    reason = waiting.get(task.path, "") if task.phase is TaskPhase.RUNNING else ""
    trouble = f"{task.reason}: {task.message}" if task.message else reason
    parent, _, name = task.path.rpartition("/")
    created = task.history[0][1] if task.history else None
    return _message(
        run_id=run_id,
        task_id=naming.task_id(run_id, task.path),
        display_name=name,
        create_time=_time(created),
        start_time=_time(task.started),
        end_time=_time(task.finished),
        executor_detail=_message(main_job=task.pod),
        state=RunPhase.PENDING.value if reason else task.phase.value,
        error=_error(trouble) if trouble else None,
        inputs=_artifact_lists("", task.inputs, by_uri, by_place),
        outputs=_artifact_lists(task.path, task.outputs, by_uri, by_place),
        input_parameters=dict(task.inputs.parameters),
        output_parameters=dict(task.outputs.parameters),
        parent_task_id=naming.task_id(run_id, parent) if parent else None,
        state_history=[_status(phase, moment) for phase, moment in task.history],
        pod_name=task.pod,
        child_tasks=[{"task_id": naming.task_id(run_id, each)} for each in children],
    )


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
    )


def listing(name: str, messages: Sequence[Message], total: int, token: str) -> Message:
    """Give the answer to a list request."""
    return {
        name: list(messages),
        "total_size": total,
        **({"next_page_token": token} if token else {}),
    }
