"""The short way to resources: nearly all requests are for them, and routing costs more than some.

What Starlette's router and middleware do for a request, they do for none of these: the handler
answers whatever goes wrong itself, and two paths are told apart by their first words.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tinykube.api.errors import Handler

_CORE, _GROUPS = "/api/v1/", "/apis/"


class Shortcut:
    """Serves requests for resources itself, and leaves all else to the router.

    Args:
        router: the routes, those of resources as well.
        serve: the handler of resources; raises nothing.
        methods: those that the routes of resources have.
    """

    def __init__(self, router: Starlette, serve: Handler, methods: Collection[str]) -> None:
        self.router = router
        self._serve = serve
        self._methods = frozenset(methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = None
        if scope["type"] == "http" and scope["method"] in self._methods:
            found = parameters(scope["path"])
        if found is None:
            await self.router(scope, receive, send)
            return
        scope["path_params"] = found
        response = await self._serve(Request(scope, receive, send))
        await response(scope, receive, send)


def parameters(path: str) -> dict[str, str] | None:
    """What the routes `/api/v1/{rest}` and `/apis/{group}/{version}/{rest}` make of a path.

    None for another, and for what has nothing behind the version: that is discovery.
    """
    if "\n" in path:
        # The router's expressions take it in their own way.
        return None
    if path.startswith(_CORE):
        rest = path[len(_CORE) :]
        return {"rest": rest} if rest else None
    if path.startswith(_GROUPS):
        group, _, behind = path[len(_GROUPS) :].partition("/")
        version, _, rest = behind.partition("/")
        if group and version and rest:
            return {"group": group, "version": version, "rest": rest}
    return None
