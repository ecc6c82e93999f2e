"""Recurring runs: schedules that make runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..cron import MAX_LENGTH as MAX_EXPRESSION
from ..filters import Field, Kind
from ..macros import Occasion
from ..schedule import Schedule, ScheduleError, Trigger
from ..store.interface import NotFoundError, RecurringRun, Status
from ..submissions import arguments
from . import experiments, messages, requests, specs
from .context import Context, blocking, context_of
from .errors import invalid
from .requests import Json
from .responses import MessageResponse

FIELDS: Mapping[str, Field] = {
    "id": Field("recurring_run_id"),
    "recurring_run_id": Field("recurring_run_id"),
    "name": Field("display_name"),
    "display_name": Field("display_name"),
    "description": Field("description"),
    "experiment_id": Field("experiment_id"),
    "pipeline_id": Field("pipeline_id"),
    "pipeline_version_id": Field("pipeline_version_id"),
    "status": Field("status"),
    "created_at": Field("created", Kind.TIME),
    "updated_at": Field("updated", Kind.TIME),
}

MAX_CONCURRENCY = 10
"""The most unfinished runs of a schedule, as in KFP."""

# A mode that is not given disables, as in KFP; protobuf's JSON takes numbers as well.
_MODES: Mapping[Json, Status] = {
    "ENABLE": Status.ENABLED,
    1: Status.ENABLED,
    "DISABLE": Status.DISABLED,
    2: Status.DISABLED,
    "MODE_UNSPECIFIED": Status.DISABLED,
    0: Status.DISABLED,
    None: Status.DISABLED,
}


async def create(request: Request) -> Response:
    """POST /recurringruns."""
    context = context_of(request)
    data = await requests.json_object(request)
    name = requests.name(data, "display_name")
    if not name:
        raise invalid("display_name", "a recurring run needs a name")
    requests.namespace(context, requests.name(data, "namespace"))
    description = requests.text(data, "description", limit=requests.MAX_DESCRIPTION)
    runtime = requests.runtime_config(data)
    concurrency = requests.integer(data, "max_concurrency")
    if concurrency is None or not 1 <= concurrency <= MAX_CONCURRENCY:
        raise invalid(
            "max_concurrency",
            f"say how many of its runs may be under way, from 1 to {MAX_CONCURRENCY}, "
            f"not {concurrency}",
        )
    catchup = not requests.boolean(data, "no_catchup")
    status = _status(data.get("mode"))
    now = context.clock()
    trigger = _trigger(data)
    try:
        Schedule.read(trigger, now, catchup=catchup)
    except ScheduleError as error:
        raise invalid(f"trigger.{error.field}", error.message) from error
    try:
        checked, version = await specs.source(context, data)
    except NotFoundError as error:
        raise invalid(
            "pipeline_version_reference",
            f"{error}; upload it first, or name one that GET /pipelines/{{id}}/versions lists",
        ) from error
    recurring_run_id = str(uuid.uuid4())
    example = Occasion(run_id=recurring_run_id, now=now, scheduled=now, index=1)
    await blocking(lambda: arguments(checked.pipeline, runtime.parameters, example))
    specs.place(context, checked, runtime.pipeline_root)
    # A reference to a pipeline alone is to its newest version, whenever a run is made.
    newest = version is not None and not requests.text(
        requests.mapping(data, "pipeline_version_reference"), "pipeline_version_id"
    )

    def store() -> RecurringRun:
        record = RecurringRun(
            recurring_run_id=recurring_run_id,
            experiment_id=experiments.named(context, data).experiment_id,
            display_name=name,
            description=description,
            pipeline_id=version.pipeline_id if version else "",
            pipeline_version_id=version.pipeline_version_id if version and not newest else "",
            parameters=runtime.parameters,
            pipeline_root=runtime.pipeline_root,
            max_concurrency=concurrency,
            catchup=catchup,
            trigger=trigger,
            status=status,
            created=now,
            updated=now,
        )
        return context.store.recurring.create(record, None if newest else checked.body)

    record = await blocking(store)
    return MessageResponse(messages.recurring_run(record, spec=checked.body))


def _status(mode: Json) -> Status:
    if isinstance(mode, bool | float | list | dict) or mode not in _MODES:
        raise invalid("mode", f"must be ENABLE or DISABLE, not {str(mode)[:40]!r}")
    return _MODES[mode]


def _trigger(data: Mapping[str, Json]) -> Trigger:
    """Read the trigger of a request; without one it runs once, at once, as in KFP."""
    given = requests.mapping(data, "trigger")
    _known(given, "trigger", ("cron_schedule", "periodic_schedule"))
    cron = requests.mapping(given, "cron_schedule", label="trigger.cron_schedule")
    periodic = requests.mapping(given, "periodic_schedule", label="trigger.periodic_schedule")
    if cron and periodic:
        raise invalid("trigger", "give either cron_schedule or periodic_schedule, not both")
    if not cron and not periodic:
        if given:
            raise invalid("trigger", "give cron_schedule a cron, or periodic_schedule a period")
        return Trigger()
    label = "trigger.cron_schedule" if cron else "trigger.periodic_schedule"
    rule = cron or periodic
    _known(rule, label, ("cron" if cron else "interval_second", "start_time", "end_time"))
    expression, seconds = "", 0
    if cron:
        where = f"{label}.cron"
        expression = requests.text(cron, "cron", limit=MAX_EXPRESSION, label=where).strip()
        if not expression:
            raise invalid(where, "say when, such as '0 30 7 * * mon-fri'")
    else:
        where = f"{label}.interval_second"
        seconds = requests.integer(periodic, "interval_second", label=where) or 0
        if seconds < 1:
            raise invalid(where, f"must be at least one second, not {seconds}")
    return Trigger(
        expression=expression,
        interval=seconds,
        start=requests.time(rule, "start_time", label=f"{label}.start_time"),
        end=requests.time(rule, "end_time", label=f"{label}.end_time"),
    )


def _known(given: Mapping[str, Json], label: str, keys: tuple[str, ...]) -> None:
    # A misspelt trigger would be none, and none runs at once.
    unknown = sorted(set(given) - set(keys))
    if unknown:
        raise invalid(label, f"knows {', '.join(keys)}, not {unknown[0][:40]!r}")


async def get(request: Request) -> Response:
    """GET /recurringruns/{recurring_run_id}: with its spec."""
    context, recurring_run_id = _asked(request)

    def read() -> messages.Message:
        record = context.store.recurring.get(recurring_run_id)
        body = context.store.runs.spec(record.spec) if record.spec else None
        return messages.recurring_run(record, spec=body)

    return MessageResponse(await blocking(read))


async def list_(request: Request) -> Response:
    """GET /recurringruns; without specs, which `get` gives."""
    context = context_of(request)
    requests.namespace(context, request.query_params.get("namespace", ""))
    experiment_id = request.query_params.get("experiment_id", "")
    scope = {"experiment_id": experiment_id} if experiment_id else {}
    query = context.pager.query("recurring_runs", requests.page(request), FIELDS, scope)
    found, total, following = await blocking(lambda: context.store.recurring.page(query))
    token = context.pager.token("recurring_runs", query, following) if following else ""
    # KFP's message has this field in camel case.
    listed = [messages.recurring_run(x) for x in found]
    return MessageResponse(messages.listing("recurringRuns", listed, total, token))


async def enable(request: Request) -> Response:
    """POST /recurringruns/{recurring_run_id}:enable; what was missed is made up for."""
    return await _set(request, Status.ENABLED)


async def disable(request: Request) -> Response:
    """POST /recurringruns/{recurring_run_id}:disable; its runs go on."""
    return await _set(request, Status.DISABLED)


async def _set(request: Request, status: Status) -> Response:
    context, recurring_run_id = _asked(request)
    now = context.clock()
    await blocking(lambda: context.store.recurring.set_status(recurring_run_id, status, now))
    return MessageResponse({})


async def delete(request: Request) -> Response:
    """DELETE /recurringruns/{recurring_run_id}; its runs stay."""
    context, recurring_run_id = _asked(request)
    await blocking(lambda: context.store.recurring.delete(recurring_run_id))
    return MessageResponse({})


def _asked(request: Request) -> tuple[Context, str]:
    return context_of(request), request.path_params["recurring_run_id"]


ROUTES = [
    Route("/recurringruns", create, methods=["POST"]),
    Route("/recurringruns", list_, methods=["GET"]),
    Route("/recurringruns/{recurring_run_id}:enable", enable, methods=["POST"]),
    Route("/recurringruns/{recurring_run_id}:disable", disable, methods=["POST"]),
    Route("/recurringruns/{recurring_run_id}", get, methods=["GET"]),
    Route("/recurringruns/{recurring_run_id}", delete, methods=["DELETE"]),
]
