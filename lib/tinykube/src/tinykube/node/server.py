"""What a control plane asks of the node over HTTPS: logs of containers, and whether it lives."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tinykube import podlog
from tinykube.node.agent import Agent
from tinykube.node.guard import Guard
from tinykube.node.remote import RemoteClient
from tinykube.status import ApiError

_INTERACTIVE = ("exec", "attach", "portForward", "run")


def app(agent: Agent, client: RemoteClient) -> ASGIApp:
    """The node's application: `/healthz` is open, everything else is guarded."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def logs(request: Request) -> Response:
        names = request.path_params
        pod = agent.pod(names["namespace"], names["pod"])
        if pod is None:
            return PlainTextResponse(f'pod "{names["pod"]}" is not on this node', 404)
        try:
            return await podlog.answer(request, pod, agent, asked=names["container"])
        except ApiError as error:
            return PlainTextResponse(error.message, error.code)

    async def refuse(request: Request) -> Response:
        word = request.url.path.split("/")[1]
        text = f"{word}: this node runs pods as processes and lets nobody into them"
        return PlainTextResponse(text, 501)

    routes = [
        Route("/healthz", health),
        Route("/containerLogs/{namespace}/{pod}/{container}", logs),
        *(
            Route(f"/{word}/{{rest:path}}", refuse, methods=["GET", "POST"])
            for word in _INTERACTIVE
        ),
    ]
    return Guard(Starlette(routes=routes), client, agent.name)
