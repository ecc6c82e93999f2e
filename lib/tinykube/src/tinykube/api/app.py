"""The API over HTTP: every route, and what serves it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from tinykube import answers, kinds, podlog, request, status, unserved
from tinykube.api import forms
from tinykube.api.access import attributes, authorize, path_attributes, verb
from tinykube.api.context import Context
from tinykube.api.documents import OpenApi
from tinykube.api.errors import Handler, guarded, not_allowed
from tinykube.api.gate import Gate
from tinykube.api.lists import Lists
from tinykube.api.metrics import Metrics
from tinykube.api.placements import Placements
from tinykube.api.reviews import Reviews
from tinykube.api.roots import Roots
from tinykube.api.scales import Scales
from tinykube.api.shortcut import Shortcut
from tinykube.api.tokens import TokenRequests
from tinykube.api.visits import ACTIONS, Visits
from tinykube.api.watches import Watches
from tinykube.api.writes import Writes
from tinykube.kinds import Resource, reviews
from tinykube.request import Target
from tinykube.scale import Scalable

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class Api:
    """The handlers of a context, behind the gate."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lists = Lists(context)
        self._watches = Watches(context)
        self._writes = Writes(context)
        self._reviews = Reviews(context)
        self._tokens = TokenRequests(context)
        self._roots = Roots(context)
        self._visits = Visits(context)
        self._metrics = Metrics(context)
        self._scales = Scales(context)
        self._placements = Placements(context)
        self._documents = OpenApi(context)

    def app(self) -> ASGIApp:
        """The ASGI application."""

        def route(path: str, handler: Handler) -> Route:
            return Route(path, guarded(handler), methods=list(_METHODS))

        roots, documents = self._roots, self._documents
        routes = [
            route("/healthz", roots.healthz),
            route("/livez", roots.healthz),
            route("/readyz", roots.readyz),
            route("/version", roots.version),
            route("/version/", roots.version),
            # Clients ask with and without the last slash.
            *(
                route(f"{path}{slash}", roots.discover)
                for path in (
                    "/api",
                    "/api/v1",
                    "/apis",
                    "/apis/{group}",
                    "/apis/{group}/{version}",
                )
                for slash in ("", "/")
            ),
            route("/openapi/v3", documents.index),
            route("/openapi/v3/{name:path}", documents.document),
            WebSocketRoute(
                "/api/v1/namespaces/{namespace}/pods/{name}/{action}", self._visits.serve
            ),
            route("/api/v1/{rest:path}", self.serve),
            route("/apis/{group}/{version}/{rest:path}", self.serve),
            route("/{rest:path}", self.unknown),
        ]
        starlette = Starlette(routes=routes)
        starlette.router.redirect_slashes = False
        shortcut = Shortcut(starlette, guarded(self.serve), _METHODS)
        return Gate(shortcut, self._context.tokens, self._context.registry.authorizer)

    async def unknown(self, http: Request) -> Response:
        """Nothing is served here."""
        authorize(self._context.registry.authorizer, http, path_attributes(http))
        raise status.unknown_path()

    async def serve(self, http: Request) -> Response:
        """Requests for resources."""
        parameters = http.path_params
        group, version = parameters.get("group", ""), parameters.get("version", "v1")
        catalog = self._context.registry.catalog
        target = request.target(catalog, group, version, parameters["rest"])
        if target is None:
            return await self.unknown(http)
        asked = verb(http, target)
        authorize(self._context.registry.authorizer, http, attributes(http, target, asked))
        if (review := reviews.find(group, version, target.plural)) is not None:
            return await self._reviews.answer(http, target, review)
        if target.resource is None:
            why = unserved.refusal(group, target.plural)
            if why and asked in ("create", "update", "patch"):
                raise status.forbidden(target.plural, group, target.name, why)
            raise status.unknown_path()
        if target.resource.deprecation:
            http.state.deprecation = target.resource.deprecation
        return await self._resource(http, target, target.resource, asked)

    async def _resource(
        self, http: Request, target: Target, resource: Resource, asked: str
    ) -> Response:
        if target.subresource:
            return await self._subresource(http, target, resource, asked)
        whole = asked in ("create", "list", "watch", "deletecollection")
        if asked not in resource.verbs or whole is bool(target.name):
            raise not_allowed()
        if resource in kinds.COMPUTED:
            return await self._metrics.answer(http, target, resource, asked)
        match asked:
            case "list":
                return self._lists.answer(http, target, resource)
            case "watch":
                return self._watches.answer(http, target, resource)
            case "get":
                return self._get(http, target, resource)
            case "create":
                return await self._writes.create(http, target, resource)
            case "delete":
                return await self._writes.delete(http, target, resource)
            case "deletecollection":
                return await self._writes.delete_all(http, target, resource)
        return await self._writes.change(http, target, resource)

    def _get(self, http: Request, target: Target, resource: Resource) -> Response:
        form = forms.asked(http)
        data = self._context.registry.get(resource, target.namespace, target.name)
        return answers.raw(form.one(resource, data))

    async def _subresource(
        self, http: Request, target: Target, resource: Resource, asked: str
    ) -> Response:
        if target.subresource == "status" and resource.status:
            if asked == "get":
                return self._get(http, target, resource)
            if asked in ("update", "patch"):
                return await self._writes.change(http, target, resource)
            raise not_allowed()
        if target.subresource not in resource.subresources and not resource.typed:
            raise status.not_found(resource.plural, resource.group, target.name)
        if target.subresource not in resource.subresources:
            raise status.unknown_path()
        if target.subresource == "finalize":
            if asked != "update":
                raise not_allowed()
            return await self._writes.change(http, target, resource)
        if target.subresource == "token":
            if asked != "create":
                raise not_allowed()
            return await self._tokens.issue(http, target)
        if target.subresource in ("binding", "eviction"):
            if asked != "create":
                raise not_allowed()
            placed = self._placements
            serve = placed.bind if target.subresource == "binding" else placed.evict
            return await serve(http, target)
        if target.subresource == "scale" and isinstance(resource, Scalable) and resource.scale:
            return await self._scales.answer(http, target, resource, resource.scale, asked)
        if target.subresource in ACTIONS:
            return await self._visits.refuse(http)
        if asked != "get":
            raise not_allowed()
        registry = self._context.registry
        place = (target.namespace, target.name)
        pod = self._context.store.recall(resource.key, *place, registry.get(resource, *place))
        return await podlog.answer(http, pod, self._context.logs)
