"""Runs: started, watched, stopped, put away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import reset, retention
from ..events import Event, RunPhase, RunRetried, RunTerminating
from ..filters import Field, Kind
from ..macros import Occasion
from ..retention import RetentionOptions, remove
from ..settings import MAX_COUNT, MAX_TTL
from ..store.interface import ConflictError, Run, Storage
from ..submissions import arguments, new_run
from ..watchers import TooManyError
from . import experiments, messages, requests, specs
from .context import Context, blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import MessageResponse, encoded_run

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
    "recurring_run_id": Field("recurring_run_id"),
    "created_at": Field("created", Kind.TIME),
    "scheduled_at": Field("scheduled", Kind.TIME),
    "finished_at": Field("finished", Kind.TIME),
    "storage_state": Field("storage"),
    "state": Field("phase"),
    "status": Field("phase"),
}

_ATTEMPTS = 20
_PRUNE_SECONDS = 10.0
_ENDING_SECONDS = 20.0
CACHING = "Toolkit-Caching"
"""The header by which a run is asked for that takes nothing from the cache: `force`."""


async def create(request: Request) -> Response:
    """POST /runs.

    A request with an `Idempotency-Key` header may be sent again: it gives the run that the first
    one made. The same key with another body is refused. With `Toolkit-Caching: force` every task
    runs, and what they give is kept in the cache.
    """
    context = context_of(request)
    data = await requests.json_object(request)
    forced = _forced(request)
    key = _key(request, data, forced=forced)
    if key is not None:
        known = await blocking(lambda: context.store.runs.requested(*key))
        if known is not None:
            body = await blocking(lambda: context.store.runs.spec(known.spec))
            return MessageResponse(messages.run(known, spec=body, forced=forced))
    name = requests.name(data, "display_name")
    if not name:
        raise invalid("display_name", "a run needs a name")
    runtime = requests.runtime_config(data)
    occasion = Occasion(run_id=str(uuid.uuid4()), now=context.clock())
    checked, version = await specs.source(context, data)
    parameters = await blocking(lambda: arguments(checked.pipeline, runtime.parameters, occasion))
    specs.place(context, checked, runtime.pipeline_root)

    def store() -> Run:
        run, created = new_run(
            occasion,
            experiments.named(context, data),
            checked.pipeline,
            display_name=name,
            description=requests.text(data, "description", limit=requests.MAX_DESCRIPTION),
            parameters=parameters,
            pipeline_id=version.pipeline_id if version else "",
            pipeline_version_id=version.pipeline_version_id if version else "",
            pipeline_root=runtime.pipeline_root,
            force=forced,
        )
        return context.store.runs.create(run, created, checked.body, request=key)

    run = await blocking(store)
    return MessageResponse(messages.run(run, spec=checked.body, forced=forced))


def _forced(request: Request) -> bool:
    wanted = request.headers.get(CACHING, "").strip()
    if wanted not in ("", "force"):
        raise invalid(CACHING, f"must be force, or left out, not {wanted[:80]!r}")
    return wanted == "force"


def _key(request: Request, data: Mapping[str, Any], *, forced: bool) -> tuple[str, str] | None:
    key = requests.name(request.headers, "idempotency-key", label="Idempotency-Key")
    if not key:
        return None
    asked = json.dumps(data, sort_keys=True, separators=(",", ":"))
    if forced:
        asked += f"{CACHING}: force"
    return key, hashlib.sha256(asked.encode()).hexdigest()


async def get(request: Request) -> Response:
    """GET /runs/{run_id}: with its spec and task details."""
    context, run_id = context_of(request), request.path_params["run_id"]
    waiting = context.workloads.waiting(run_id)

    def answer() -> Response:
        # A run of many tasks is long to write, too: the engine's loop does not wait for it.
        _, found = whole(context, run_id, waiting, with_spec=True)
        return Response(found, media_type=MessageResponse.media_type)

    return await blocking(answer)


def whole(
    context: Context, run_id: str, waiting: Mapping[str, str], *, with_spec: bool = False
) -> tuple[Run, bytes]:
    """Give a run, and the Run with its task details as JSON, in one look.

    Were it two, a run could have ended while a task of it has not.

    Args:
        context: has the store.
        run_id: the run.
        waiting: why pods cannot start yet, by the path of the task; see `Workloads.waiting`.
        with_spec: whether the Run has its spec.

    Raises:
        NotFoundError: there is none.
    """
    found = context.store.runs.whole(run_id)
    state = found.state
    message = messages.run(
        found.run,
        spec=found.spec if with_spec else None,
        locks=state.locks,
        forced=state.created is not None and state.created.force,
        reproduces=state.created.reproduces if state.created is not None else "",
        warnings=messages.warnings(state),
    )
    details = messages.tasks(run_id, state, found.artifacts, waiting)
    return found.run, encoded_run(message, details)


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

    def event() -> tuple[Event, int] | None:
        run = context.store.runs.run(run_id)
        if run.phase.ended or run.phase is RunPhase.CANCELING:
            return None
        return RunTerminating(run_id=run_id, time=context.clock()), run.sequence

    await blocking(lambda: _append(context, event))
    return MessageResponse({})


async def retry(request: Request) -> Response:
    """POST /runs/{run_id}:retry: what failed, was stopped or is lost is done again (`reset`)."""
    context, run_id = context_of(request), request.path_params["run_id"]
    row = await blocking(lambda: context.store.runs.run(run_id))
    body = await blocking(lambda: context.store.runs.spec(row.spec))
    pipeline = (await specs.from_store(context, body)).pipeline

    def event() -> tuple[Event, int]:
        found = context.store.runs.whole(run_id)
        if found.run.phase not in (RunPhase.FAILED, RunPhase.CANCELED):
            raise ApiError(
                Code.FAILED_PRECONDITION,
                f"run {run_id} is {found.run.phase}; only one that has failed or was terminated "
                "can be retried",
            )
        again = reset.reset(pipeline, found.state)
        retried = RunRetried(
            run_id=run_id,
            time=context.clock(),
            dropped=again.dropped,
            reopened=again.reopened,
        )
        return retried, found.run.sequence

    await blocking(lambda: _append(context, event))
    return MessageResponse({})


def _append(context: Context, decide: Callable[[], tuple[Event, int] | None]) -> None:
    """Record what is decided on a run's state, anew if the engine recorded something meanwhile.

    Args:
        context: has the store.
        decide: gives the event and the number of events that it was decided on, or None.
    """
    for _ in range(_ATTEMPTS):
        decided = decide()
        if decided is None:
            return
        event, sequence = decided
        try:
            context.store.runs.append(event.run_id, [event], sequence)
        except ConflictError:
            continue
        return
    raise ApiError(Code.UNAVAILABLE, "the run changes too fast; try again")


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
    """DELETE /runs/{run_id}; only one that has ended, and one that is ending is waited for."""
    context, run_id = context_of(request), request.path_params["run_id"]
    end = time.monotonic() + _ENDING_SECONDS
    if (await _stopped(context, run_id, end)).ended:
        # The log of its last step may just be saved.
        await context.workloads.cleared(run_id, end - time.monotonic())
    try:
        await blocking(lambda: remove(context.store.runs, context.workloads.forget, run_id))
    except OSError as error:
        raise ApiError(
            Code.UNAVAILABLE,
            f"run {run_id} stays, since not all of its files can be deleted: {error}; delete it "
            "again once they can",
        ) from error
    return MessageResponse({})


async def _stopped(context: Context, run_id: str, end: float) -> RunPhase:
    """Wait a while for the end of a run that is being terminated; give its phase.

    KFP's own server deletes a run whatever it does, so clients terminate and delete in one go.
    """

    async def now() -> RunPhase:
        return (await blocking(lambda: context.store.runs.run(run_id))).phase

    with contextlib.suppress(TooManyError), context.watchers.watch(run_id) as watch:
        while (phase := await now()) is RunPhase.CANCELING:
            if context.watchers.closed or not await watch.changed(end - time.monotonic()):
                break
        return phase
    return await now()


async def prune(request: Request) -> Response:
    """POST /runs:prune: remove runs that have ended, by age and by number (not of KFP).

    `seconds` (since its end, more than so many) and `count` (not among the newest so many) say
    which; `dry_run` tells them and removes none. The answer says in `more` whether there was no
    time for all of them: then it is asked again.
    """
    context = context_of(request)
    data = await requests.json_object(request)
    seconds, count = _number(data, "seconds", MAX_TTL), _number(data, "count", MAX_COUNT)
    if not seconds and not count:
        raise invalid("seconds", "say by seconds, by count or by both which runs are kept")
    dry = requests.boolean(data, "dry_run")
    end = time.monotonic() + _PRUNE_SECONDS
    done = await blocking(
        lambda: retention.prune(
            context.store.runs,
            context.workloads.forgetter,
            RetentionOptions(seconds, count, context.recorded),
            now=context.clock(),
            until=lambda: time.monotonic() >= end,
            dry=dry,
        )
    )
    return MessageResponse(
        {
            "run_ids": list(done.removed),
            "kept": done.kept,
            "failed": dict(done.failed),
            "more": done.more,
        }
    )


def _number(data: Mapping[str, Any], key: str, most: int) -> int:
    value = requests.integer(data, key) or 0
    if not 0 <= value <= most:
        raise invalid(key, f"must be a whole number from 0 to {most}, not {value}")
    return value


ROUTES = [
    Route("/runs:prune", prune, methods=["POST"]),
    Route("/runs", create, methods=["POST"]),
    Route("/runs", list_, methods=["GET"]),
    Route("/runs/{run_id}:terminate", terminate, methods=["POST"]),
    Route("/runs/{run_id}:retry", retry, methods=["POST"]),
    Route("/runs/{run_id}:archive", archive, methods=["POST"]),
    Route("/runs/{run_id}:unarchive", unarchive, methods=["POST"]),
    Route("/runs/{run_id}", get, methods=["GET"]),
    Route("/runs/{run_id}", delete, methods=["DELETE"]),
]
