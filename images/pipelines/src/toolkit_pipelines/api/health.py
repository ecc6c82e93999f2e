"""Whether the service works."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from toolkit_objects import ObjectStoreError

from .. import __version__
from ..store.interface import StoreError
from . import requests
from .context import blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import MessageResponse

_MOST_REASONS: Final = 20
_DAY: Final = 24 * 3600.0
_RESOURCES: Final = ("UNASSIGNED_RESOURCES", "VIEWERS")
_VERBS: Final = ("UNASSIGNED_VERB", "CREATE", "GET", "DELETE")


async def healthz(request: Request) -> Response:
    """GET /healthz: the store can be read and the engine is at work; 503 if not."""
    context = context_of(request)
    trouble = context.healthy()
    if trouble:
        raise ApiError(Code.UNAVAILABLE, trouble)
    try:
        await blocking(context.store.check)
    except StoreError as error:
        raise ApiError(Code.UNAVAILABLE, str(error)) from error
    return MessageResponse(
        {"multi_user": False, "pipeline_store": "database", "version": __version__}
    )


async def livez(request: Request) -> Response:
    """GET /livez: the server answers; nothing else is looked at."""
    return MessageResponse({})


async def leads(request: Request) -> Response:
    """GET /leads: this service leads; 503 from one that does not, see `standby` (not of KFP)."""
    return MessageResponse({})


async def waiting(request: Request) -> Response:
    """GET /waiting: what waits, and why (not of KFP).

    `steps` wait for their pod to start; `records` of `runs` cannot be told to MLflow just now, and
    `refused` ones of the last day never will be.
    """
    context = context_of(request)
    found = context.workloads.waiting_steps()
    reasons = [{"steps": count, "reason": reason} for reason, count in found.items()]
    delayed = context.delayed()
    refusals = await blocking(lambda: context.store.runs.refusals(context.clock() - _DAY))
    return MessageResponse(
        {
            "steps": sum(found.values()),
            "reasons": reasons[:_MOST_REASONS],
            "records": {
                "runs": delayed.runs,
                "reason": delayed.why,
                "refused": refusals.count,
                "refusal": refusals.why,
            },
        }
    )


async def artifact_store(request: Request) -> Response:
    """GET /artifact_store: whether the object store can be used, tried now (not of KFP)."""
    objects = context_of(request).objects
    if objects is None:
        return MessageResponse({"uri": "", "problem": "", "transient": False})
    try:
        await blocking(objects.check)
    except ObjectStoreError as error:
        answer = {"uri": objects.uri, "problem": str(error), "transient": error.transient}
        return MessageResponse(answer)
    return MessageResponse({"uri": objects.uri, "problem": "", "transient": False})


async def auth(request: Request) -> Response:
    """GET /auth: whoever gets here may do all that KFP's enumerations name; its viewers ask it."""
    query = request.query_params
    requests.namespace(context_of(request), query.get("namespace", ""))
    for name, known in (("resources", _RESOURCES), ("verb", _VERBS)):
        given = query.get(name, known[0])
        if given not in known and given not in map(str, range(len(known))):
            raise invalid(name, f"must be one of {', '.join(known)}, not {given[:80]!r}")
    return MessageResponse({})


ROUTES = [
    Route("/artifact_store", artifact_store, methods=["GET"]),
    Route("/auth", auth, methods=["GET"]),
    Route("/healthz", healthz, methods=["GET"]),
    Route("/waiting", waiting, methods=["GET"]),
]
