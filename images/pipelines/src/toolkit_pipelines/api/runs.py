"""Runs: started, watched, stopped, put away."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import runstate, spec
from ..events import RunCreated, RunPhase, RunTerminating
from ..filters import Field, Kind
from ..store.interface import ConflictError, Run, Storage, Version
from . import experiments, messages, requests, specs
from .context import Context, blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import MessageResponse

FIELDS: Mapping[str, Field] = {
    "id": Field("run_id"),
    "run_id": Field("run_id"),
    "name": Field("display_name"),
    "display_name": Field("display_name"),
    "description": Field("description"),
    "namespace": Field("namespace"),
    "experiment_id": Field("experiment_id"),
    "pipeline_id": Field("pipeline_id"),
    "pipeline_version_id": Field("pipeline_version_id"),
    "created_at": Field("created", Kind.TIME),
    "scheduled_at": Field("created", Kind.TIME),
    "finished_at": Field("finished", Kind.TIME),
    "storage_state": Field("storage"),
    "state": Field("phase"),
    "status": Field("phase"),
}

_ATTEMPTS = 20


async def create(request: Request) -> Response:
    """POST /runs.

    A request with an `Idempotency-Key` header may be sent again: it gives the run that the first
    one made. The same key with another body is refused.
    """
    context = context_of(request)
    data = await requests.json_object(request)
    key = _key(request, data)
    if key is not None:
        known = await blocking(lambda: context.store.runs.requested(*key))
        if known is not None:
            body = await blocking(lambda: context.store.runs.spec(known.spec))
            return MessageResponse(messages.run(known, spec=body))
    name = requests.name(data, "display_name")
    if not name:
        raise invalid("display_name", "a run needs a name")
    if data.get("service_account"):
        raise invalid("service_account", "steps run without one; leave it out")
    runtime = requests.mapping(data, "runtime_config")
    root = requests.text(
        runtime, "pipeline_root", limit=2048, label="runtime_config.pipeline_root"
    )
    parameters = requests.mapping(runtime, "parameters")
    checked, version = await _pipeline(context, data)
    spec.arguments(checked.pipeline.root.inputs, parameters)
    try:
        context.root.place(root or checked.pipeline.default_root)
    except ValueError as error:
        raise invalid("runtime_config.pipeline_root", str(error)) from error

    def store() -> Run:
        experiment_id = requests.text(data, "experiment_id")
        experiment = (
            context.store.catalog.experiment(experiment_id)
            if experiment_id
            else experiments.default(context)
        )
        now = context.clock()
        run = Run(
            run_id=str(uuid.uuid4()),
            experiment_id=experiment.experiment_id,
            display_name=name,
            description=requests.text(data, "description", limit=requests.MAX_DESCRIPTION),
            pipeline_id=version.pipeline_id if version else "",
            pipeline_version_id=version.pipeline_version_id if version else "",
            spec="",
            parameters=parameters,
            pipeline_root=root,
            created=now,
        )
        created = RunCreated(
            run_id=run.run_id,
            time=now,
            spec="",
            display_name=name,
            pipeline_name=checked.pipeline.name,
            experiment_id=experiment.experiment_id,
            experiment_name=experiment.display_name,
            parameters=parameters,
            pipeline_root=root,
        )
        return context.store.runs.create(run, created, checked.body, request=key)

    run = await blocking(store)
    return MessageResponse(messages.run(run, spec=checked.body))


def _key(request: Request, data: Mapping[str, Any]) -> tuple[str, str] | None:
    key = requests.name(request.headers, "idempotency-key", label="Idempotency-Key")
    if not key:
        return None
    asked = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return key, hashlib.sha256(asked).hexdigest()


async def _pipeline(
    context: Context, data: Mapping[str, Any]
) -> tuple[specs.CheckedSpec, Version | None]:
    """Give what a run is to run: the spec in the request, or a stored version's."""
    reference = requests.mapping(data, "pipeline_version_reference")
    given = data.get("pipeline_spec")
    if data.get("pipeline_version_id"):
        # The older spelling, which lacks the pipeline.
        raise invalid("pipeline_version_id", "say it in pipeline_version_reference")
    if (given is None) == (not reference):
        raise invalid(
            "pipeline_spec", "give either pipeline_spec or pipeline_version_reference, not both"
        )
    if given is not None:
        return await specs.from_json(context, given), None
    pipeline_id = requests.text(reference, "pipeline_id")
    version_id = requests.text(reference, "pipeline_version_id")
    if not pipeline_id:
        raise invalid("pipeline_version_reference.pipeline_id", "say which pipeline")

    def read() -> tuple[Version, bytes]:
        catalog = context.store.catalog
        version = (
            catalog.version(pipeline_id, version_id)
            if version_id
            else catalog.latest_version(pipeline_id)
        )
        return version, context.store.runs.spec(version.spec)

    version, body = await blocking(read)
    return await specs.from_store(context, body), version


async def get(request: Request) -> Response:
    """GET /runs/{run_id}: with its spec and task details."""
    context, run_id = context_of(request), request.path_params["run_id"]
    waiting = context.workloads.waiting(run_id)

    def read() -> messages.Message:
        runs = context.store.runs
        # The events first: a row that is newer than they are would say more than the tasks do.
        state = runstate.fold(runs.events(run_id))
        artifacts = runs.artifacts_of(run_id)
        run = runs.run(run_id)
        return messages.run(
            run, spec=runs.spec(run.spec), tasks=messages.tasks(run_id, state, artifacts, waiting)
        )

    return MessageResponse(await blocking(read))


async def list_(request: Request) -> Response:
    """GET /runs; without specs and task details, which `get` gives."""
    context = context_of(request)
    requests.namespace(context, request.query_params.get("namespace", ""))
    experiment_id = request.query_params.get("experiment_id", "")
    scope = {"experiment_id": experiment_id} if experiment_id else {}
    query = context.pager.query("runs", requests.page(request), FIELDS, scope)
    found, total, following = await blocking(lambda: context.store.runs.runs(query))
    token = context.pager.token("runs", query, following) if following else ""
    return MessageResponse(
        messages.listing("runs", [messages.run(x) for x in found], total, token)
    )


async def terminate(request: Request) -> Response:
    """POST /runs/{run_id}:terminate; one that has ended already stays as it is."""
    context, run_id = context_of(request), request.path_params["run_id"]

    def ask() -> None:
        for _ in range(_ATTEMPTS):
            run = context.store.runs.run(run_id)
            if run.phase.ended or run.phase is RunPhase.CANCELING:
                return
            event = RunTerminating(run_id=run_id, time=context.clock())
            try:
                context.store.runs.append(run_id, [event], run.sequence)
            except ConflictError:
                # The engine recorded something meanwhile; it may even have ended the run.
                continue
            return
        raise ApiError(Code.UNAVAILABLE, f"run {run_id} changes too fast; try again")

    await blocking(ask)
    return MessageResponse({})


async def archive(request: Request) -> Response:
    """POST /runs/{run_id}:archive."""
    return await _store(request, Storage.ARCHIVED)


async def unarchive(request: Request) -> Response:
    """POST /runs/{run_id}:unarchive."""
    return await _store(request, Storage.AVAILABLE)


async def _store(request: Request, storage: Storage) -> Response:
    context, run_id = context_of(request), request.path_params["run_id"]
    await blocking(lambda: context.store.runs.store(run_id, storage))
    return MessageResponse({})


async def delete(request: Request) -> Response:
    """DELETE /runs/{run_id}; only one that has ended."""
    context, run_id = context_of(request), request.path_params["run_id"]

    def remove() -> None:
        context.store.runs.delete(run_id)
        context.workloads.forget(run_id)

    await blocking(remove)
    return MessageResponse({})


ROUTES = [
    Route("/runs", create, methods=["POST"]),
    Route("/runs", list_, methods=["GET"]),
    Route("/runs/{run_id}:terminate", terminate, methods=["POST"]),
    Route("/runs/{run_id}:archive", archive, methods=["POST"]),
    Route("/runs/{run_id}:unarchive", unarchive, methods=["POST"]),
    Route("/runs/{run_id}", get, methods=["GET"]),
    Route("/runs/{run_id}", delete, methods=["DELETE"]),
]
