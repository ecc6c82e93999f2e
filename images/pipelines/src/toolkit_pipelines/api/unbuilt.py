"""Parts of the KFP API that this service has not got: each says so, instead of a bare 404."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .errors import ApiError, Code


async def recurring(request: Request) -> Response:
    """Refuse everything about recurring runs."""
    raise ApiError(Code.UNIMPLEMENTED, "recurring runs are not supported yet")


async def retry(request: Request) -> Response:
    """Refuse POST /runs/{run_id}:retry."""
    raise ApiError(Code.UNIMPLEMENTED, "retrying a run is not supported yet; start a new one")


ROUTES = [
    Route("/recurringruns", recurring, methods=["GET", "POST"]),
    Route("/recurringruns/{rest:path}", recurring, methods=["GET", "POST", "DELETE"]),
    Route("/runs/{run_id}:retry", retry, methods=["POST"]),
]
