"""The KFP v2beta1 REST API.

Messages, paths and parameters are those of `kfp_server_api` 2.17; snake case, as `kfp.Client`
speaks it. What goes beyond KFP is marked in `messages`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from . import (
    artifacts,
    errors,
    experiments,
    health,
    logs,
    pipelines,
    recurring,
    reproductions,
    runs,
    watching,
)
from .context import Context
from .requests import BodyLimit

PREFIX = "/apis/v2beta1"
OPEN_PATHS = ("/healthz", "/livez", "/leads")
"""What is served without a token."""


def application(context: Context) -> Starlette:
    """Give the API as an application; the guard goes before it."""
    # What is of a run and more comes first: `/runs/{run_id}` would take it.
    parts = (
        *(watching, reproductions, health, experiments),
        *(pipelines, runs, recurring, artifacts, logs),
    )
    app = Starlette(
        routes=[
            Mount(PREFIX, routes=[route for part in parts for route in part.ROUTES]),
            # Where KFP's own server still has it.
            Mount("/apis/v1alpha1", routes=logs.ROUTES),
            Route("/healthz", health.healthz, methods=["GET"]),
            Route("/livez", health.livez, methods=["GET"]),
            Route("/leads", health.leads, methods=["GET"]),
        ],
        middleware=[Middleware(BodyLimit)],
        exception_handlers=errors.HANDLERS,
    )
    app.state.context = context
    return app
