"""Experiments: named groups of runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..filters import Field, Kind
from ..store.interface import Experiment, Storage
from . import messages, requests
from .context import Context, blocking, context_of
from .errors import invalid
from .responses import MessageResponse

DEFAULT_NAME = "Default"
"""The experiment of runs that name none, as in KFP."""

FIELDS: Mapping[str, Field] = {
    "id": Field("experiment_id"),
    "experiment_id": Field("experiment_id"),
    "name": Field("display_name"),
    "display_name": Field("display_name"),
    "description": Field("description"),
    "namespace": Field("namespace"),
    "created_at": Field("created", Kind.TIME),
    "last_run_created_at": Field("last_run_created", Kind.TIME),
    "storage_state": Field("storage"),
}


def default(context: Context) -> Experiment:
    """Give the default experiment, made if it is not there."""
    found = context.store.catalog.experiment_named(DEFAULT_NAME)
    if found is not None:
        return found
    fresh = Experiment(
        experiment_id=str(uuid.uuid4()),
        display_name=DEFAULT_NAME,
        description="Runs that name no experiment.",
        created=context.clock(),
    )
    return context.store.catalog.ensure_experiment(fresh)


def named(context: Context, data: Mapping[str, Any]) -> Experiment:
    """Give the experiment that a request names, or the default one if it names none.

    Raises:
        NotFoundError: there is no such experiment.
    """
    experiment_id = requests.text(data, "experiment_id")
    return context.store.catalog.experiment(experiment_id) if experiment_id else default(context)


async def create(request: Request) -> Response:
    """POST /experiments."""
    context = context_of(request)
    data = await requests.json_object(request)
    requests.namespace(context, requests.name(data, "namespace"))
    name = requests.name(data, "display_name")
    if not name:
        raise invalid("display_name", "an experiment needs a name")
    experiment = Experiment(
        experiment_id=str(uuid.uuid4()),
        display_name=name,
        description=requests.text(data, "description", limit=requests.MAX_DESCRIPTION),
        created=context.clock(),
    )
    await blocking(lambda: context.store.catalog.create_experiment(experiment))
    return MessageResponse(messages.experiment(experiment))


async def get(request: Request) -> Response:
    """GET /experiments/{experiment_id}."""
    context, experiment_id = context_of(request), request.path_params["experiment_id"]
    experiment = await blocking(lambda: context.store.catalog.experiment(experiment_id))
    return MessageResponse(messages.experiment(experiment))


async def list_(request: Request) -> Response:
    """GET /experiments."""
    context = context_of(request)
    requests.namespace(context, request.query_params.get("namespace", ""))
    query = context.pager.query("experiments", requests.page(request), FIELDS, {})
    found, total, following = await blocking(lambda: context.store.catalog.experiments(query))
    token = context.pager.token("experiments", query, following) if following else ""
    return MessageResponse(
        messages.listing("experiments", [messages.experiment(x) for x in found], total, token)
    )


async def delete(request: Request) -> Response:
    """DELETE /experiments/{experiment_id}."""
    context, experiment_id = context_of(request), request.path_params["experiment_id"]
    await blocking(lambda: context.store.catalog.delete_experiment(experiment_id))
    return MessageResponse({})


async def archive(request: Request) -> Response:
    """POST /experiments/{experiment_id}:archive."""
    return await _store(request, Storage.ARCHIVED)


async def unarchive(request: Request) -> Response:
    """POST /experiments/{experiment_id}:unarchive."""
    return await _store(request, Storage.AVAILABLE)


async def _store(request: Request, storage: Storage) -> Response:
    context, experiment_id = context_of(request), request.path_params["experiment_id"]
    now = context.clock()
    await blocking(lambda: context.store.catalog.store_experiment(experiment_id, storage, now))
    return MessageResponse({})


ROUTES = [
    Route("/experiments", create, methods=["POST"]),
    Route("/experiments", list_, methods=["GET"]),
    Route("/experiments/{experiment_id}:archive", archive, methods=["POST"]),
    Route("/experiments/{experiment_id}:unarchive", unarchive, methods=["POST"]),
    Route("/experiments/{experiment_id}", get, methods=["GET"]),
    Route("/experiments/{experiment_id}", delete, methods=["DELETE"]),
]
