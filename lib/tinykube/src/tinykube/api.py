"""The API over HTTP: who asks, may they, and what they get."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tinykube import answers, discovery, kinds, objects, patch, podlog, request, schema, status
from tinykube.kinds import Resource
from tinykube.node.client import NodeLogs
from tinykube.objects import JSON
from tinykube.rbac import Attributes, Caller
from tinykube.registry import Registry, Written
from tinykube.request import Target
from tinykube.schema import Findings, ShapeError
from tinykube.selectors import Selector
from tinykube.status import ApiError
from tinykube.store import Row, StorageError
from tinykube.tokens import LONGEST, SHORTEST, Tokens
from tinykube.watch import Hub, Watch, snapshot

log = logging.getLogger(__name__)

OPEN = frozenset({"/healthz", "/readyz", "/livez", "/version"})
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_MAX_WATCHES = 2000
_BOOKMARK_SECONDS = 60.0
_WATCH_SECONDS = 1800
_READ_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

_TOKEN_REQUEST = schema.kind(
    {
        "spec": schema.Fields(
            {
                "audiences": schema.Many("str"),
                "expirationSeconds": "int",
                "boundObjectRef": schema.Fields(
                    {"kind": "str", "apiVersion": "str", "name": "str", "uid": "str"}
                ),
            }
        ),
        "status": "any",
    }
)
_ACCESS_REVIEW = schema.kind(
    {
        "spec": schema.Fields(
            {
                "resourceAttributes": schema.Fields(
                    {
                        "namespace": "str",
                        "verb": "str",
                        "group": "str",
                        "version": "str",
                        "resource": "str",
                        "subresource": "str",
                        "name": "str",
                        "fieldSelector": "any",
                        "labelSelector": "any",
                    }
                ),
                "nonResourceAttributes": schema.Fields({"path": "str", "verb": "str"}),
            }
        ),
        "status": "any",
    }
)


class Gate:
    """Lets in only who has a token, on every path but the open ones; refuses foreign origins.

    The caller is found in `scope["caller"]`.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            # No WebSockets are served; uvicorn runs without lifespan events.
            return
        problem = self._check(scope)
        if problem is not None:
            await answers.error(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> ApiError | None:
        token = ""
        for name, value in scope["headers"]:
            if name == b"origin":
                # Programs send none; a page of another site that found this port does.
                shown = value.decode("latin-1")[:80]
                return status.ApiError(
                    403, "Forbidden", f'forbidden: Origin "{shown}" is not allowed'
                )
            if name == b"authorization":
                scheme, _, rest = value.decode("latin-1").partition(" ")
                token = rest.strip() if scheme.lower() == "bearer" else ""
        if scope["path"] in OPEN:
            return None
        try:
            caller = self._tokens.authenticate(token)
        except StorageError as error:
            return status.internal(str(error))
        if caller is None:
            return status.unauthorized()
        scope["caller"] = caller
        return None


class Api:
    """The handlers.

    Args:
        registry: the operations.
        hub: the watches.
        tokens: issues and verifies tokens.
        logs: where the containers' logs are.
        address: what discovery gives as the server's address, `127.0.0.1:16443`.
        health: names what is wrong; nothing if all is well.
    """

    def __init__(
        self,
        registry: Registry,
        hub: Hub,
        tokens: Tokens,
        logs: NodeLogs,
        address: str,
        health: Callable[[], list[str]] = list,
    ) -> None:
        self._registry = registry
        self._store = registry.store
        self._hub = hub
        self._tokens = tokens
        self._logs = logs
        self._address = address
        self._health = health

    def app(self) -> ASGIApp:
        """The ASGI application."""

        def route(path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(path, _guarded(handler), methods=list(_METHODS))

        routes = [
            route("/healthz", self.healthz),
            route("/livez", self.healthz),
            route("/readyz", self.readyz),
            route("/version", self.version),
            route("/version/", self.version),
            # Clients ask with and without the last slash.
            *(
                route(f"{path}{slash}", self.discover)
                for path in (
                    "/api",
                    "/api/v1",
                    "/apis",
                    "/apis/{group}",
                    "/apis/{group}/{version}",
                )
                for slash in ("", "/")
            ),
            route("/api/v1/{rest:path}", self.serve),
            route("/apis/{group}/{version}/{rest:path}", self.serve),
            route("/{rest:path}", self.unknown),
        ]
        starlette = Starlette(routes=routes)
        starlette.router.redirect_slashes = False
        return Gate(starlette, self._tokens)

    # Open paths and discovery.

    async def healthz(self, http: Request) -> Response:
        """Alive."""
        _only(http, "GET")
        return PlainTextResponse("ok")

    async def readyz(self, http: Request) -> Response:
        """Ready: what is wrong is named."""
        _only(http, "GET")
        problems = self._health()
        if problems:
            return PlainTextResponse("\n".join(problems) + "\n", 500)
        return PlainTextResponse("ok")

    async def version(self, http: Request) -> Response:
        """What this is."""
        _only(http, "GET")
        return answers.raw(objects.dump(discovery.version()))

    async def discover(self, http: Request) -> Response:
        """What is served."""
        self._authorize(http, Attributes(_verb_of_path(http), path=http.url.path))
        _only(http, "GET")
        group, version = http.path_params.get("group"), http.path_params.get("version")
        catalog = self._registry.catalog
        match http.url.path.rstrip("/"):
            case "/api":
                found: JSON | None = discovery.core_versions(self._address)
            case "/api/v1":
                found = discovery.resource_list(catalog, "", "v1")
            case "/apis":
                found = discovery.group_list(catalog)
            case _ if version is None:
                found = discovery.group(catalog, str(group))
            case _:
                found = discovery.resource_list(catalog, str(group), version)
        if found is None:
            raise status.unknown_path()
        return answers.raw(objects.dump(found))

    async def unknown(self, http: Request) -> Response:
        """Nothing is served here."""
        self._authorize(http, Attributes(_verb_of_path(http), path=http.url.path))
        raise status.unknown_path()

    # Resources.

    async def serve(self, http: Request) -> Response:
        """Requests for resources."""
        parameters = http.path_params
        group, version = parameters.get("group", ""), parameters.get("version", "v1")
        target = request.target(self._registry.catalog, group, version, parameters["rest"])
        if target is None:
            return await self.unknown(http)
        verb = _verb(http, target)
        self._authorize(http, _attributes(http, target, verb))
        if (group, target.plural) == (kinds.AUTHORIZATION, kinds.ACCESS_REVIEW):
            return await self._review_access(http, target)
        if target.resource is None:
            raise status.unknown_path()
        if target.subresource:
            return await self._serve_subresource(http, target, target.resource, verb)
        whole = verb in ("create", "list", "watch", "deletecollection")
        if verb not in target.resource.verbs or whole is bool(target.name):
            raise _not_allowed()
        match verb:
            case "list":
                return self._list(http, target, target.resource)
            case "watch":
                return self._watch(http, target, target.resource)
            case "get":
                return answers.raw(
                    self._registry.get(target.resource, target.namespace, target.name)
                )
            case "create":
                return await self._create(http, target, target.resource)
            case "delete":
                return await self._delete(http, target, target.resource)
            case "deletecollection":
                return await self._delete_all(http, target, target.resource)
        return await self._change(http, target, target.resource)

    def _authorize(self, http: Request, asked: Attributes) -> None:
        caller: Caller = http.scope["caller"]
        if self._registry.authorizer.allowed(caller, asked):
            return
        if asked.path:
            raise ApiError(403, "Forbidden", f"forbidden: {asked.denial(caller)}")
        plural = asked.resource.partition("/")[0]
        raise status.forbidden(plural, asked.group, asked.name, asked.denial(caller))

    async def _serve_subresource(
        self, http: Request, target: Target, resource: Resource, verb: str
    ) -> Response:
        if target.subresource == "status" and resource.status:
            if verb == "get":
                return answers.raw(self._registry.get(resource, target.namespace, target.name))
            if verb in ("update", "patch"):
                return await self._change(http, target, resource)
            raise _not_allowed()
        if target.subresource not in resource.subresources:
            raise status.unknown_path()
        if target.subresource == "token":
            if verb != "create":
                raise _not_allowed()
            return await self._issue(http, target)
        if verb != "get":
            raise _not_allowed()
        pod = objects.load(self._registry.get(resource, target.namespace, target.name))
        return await podlog.answer(http, pod, self._logs)

    async def _create(self, http: Request, target: Target, resource: Resource) -> Response:
        if resource.namespaced and not target.namespace:
            raise _not_allowed()
        options = request.options(http)
        body = await request.read_object(http)
        written = self._registry.create(
            resource, target.namespace, body, http.scope["caller"], options
        )
        return answers.raw(written.data, code=201, warnings=options.warnings)

    async def _change(self, http: Request, target: Target, resource: Resource) -> Response:
        options = request.options(http)
        caller: Caller = http.scope["caller"]
        place = (resource, target.namespace, target.name)
        if http.method == "PUT":
            body = await request.read_object(http)
            written = self._registry.update(
                *place, body, caller, options, subresource=target.subresource
            )
        else:
            kind = request.media_type(http)
            if kind == patch.APPLY_PATCH and not http.query_params.get("fieldManager"):
                raise status.bad_request("fieldManager is required for apply patch")
            body = await request.read_object(http)
            written = self._registry.patch(
                *place, kind, body, caller, options, subresource=target.subresource
            )
        code = 201 if written.created else 200
        return answers.raw(written.data, code=code, warnings=options.warnings)

    async def _delete(self, http: Request, target: Target, resource: Resource) -> Response:
        deletion, dry_run = await request.deletion(http)
        written = self._registry.delete(
            resource, target.namespace, target.name, deletion, dry_run=dry_run
        )
        return answers.raw(_deleted(resource, written))

    async def _delete_all(self, http: Request, target: Target, resource: Resource) -> Response:
        if resource.namespaced and not target.namespace:
            raise _not_allowed()
        deletion, dry_run = await request.deletion(http)
        selector = request.selector(http.query_params, resource)
        limit = request.number(http.query_params, "limit", least=0) or None
        deleted: list[Row] = []
        for row in self._matching(
            resource, self._store.rows(resource.key, target.namespace), selector
        ):
            if limit is not None and len(deleted) == limit:
                break
            try:
                written = self._registry.delete(
                    resource, target.namespace, row.name, deletion, dry_run=dry_run
                )
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
                continue
            deleted.append(Row(row.namespace, row.name, written.data))
            if len(deleted) % 100 == 0:
                # Many deletions must not hold all other requests up.
                await asyncio.sleep(0)
        return answers.raw(_list_text(resource, deleted, {"resourceVersion": self._version()}))

    # Lists and watches.

    def _version(self) -> str:
        return str(self._store.version)

    def _matching(self, resource: Resource, rows: Any, selector: Selector) -> Any:
        for row in rows:
            if not selector or selector.matches(objects.load(row.data), kinds.field_of):
                yield Row(row.namespace, row.name, resource.shown(row.data))

    def _list(self, http: Request, target: Target, resource: Resource) -> Response:
        query = http.query_params
        selector = request.selector(query, resource)
        limit = request.number(query, "limit", least=0) or None
        version, after = self._list_version(query), ("", "")
        if token := query.get("continue"):
            place = request.place(token)
            version, after = place.version, (place.namespace, place.name)
            self._check_covered(version)
        wanted = -1 if limit is None or selector else limit + 1
        rows = self._store.rows(
            resource.key, target.namespace, after=after, version=version, limit=wanted
        )
        found: list[Row] = []
        meta: JSON = {"resourceVersion": str(version)}
        for row in self._matching(resource, rows, selector):
            if limit is not None and len(found) == limit:
                last = found[-1]
                meta["continue"] = request.Place(version, last.namespace, last.name).token()
                break
            found.append(row)
        return answers.raw(_list_text(resource, found, meta))

    def _list_version(self, query: Any) -> int:
        """The version that a list without `continue` shows."""
        match = query.get("resourceVersionMatch", "")
        given = query.get("resourceVersion", "")
        if match not in ("", "Exact", "NotOlderThan"):
            raise status.bad_request("resourceVersionMatch must be Exact or NotOlderThan")
        if match and not given:
            raise status.bad_request(
                "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        if not given or given == "0":
            return self._store.version
        version = _resource_version(given)
        self._check_reached(version)
        if match == "Exact":
            self._check_covered(version)
            return version
        return self._store.version

    def _check_reached(self, version: int) -> None:
        if version > self._store.version:
            message = f"Too large resource version: {version}, current: {self._store.version}"
            raise ApiError(
                504,
                "Timeout",
                f"Timeout: {message}",
                causes=[status.Cause("ResourceVersionTooLarge", "Too large resource version", "")],
                retry_after=1,
            )

    def _check_covered(self, version: int) -> None:
        self._check_reached(version)
        if version < self._store.oldest and version != self._store.version:
            raise status.expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )

    def _watch(self, http: Request, target: Target, resource: Resource) -> Response:
        query = http.query_params
        selector = request.selector(query, resource)
        bookmarks = request.flag(query, "allowWatchBookmarks")
        seconds = request.number(query, "timeoutSeconds", least=0)
        initial = query.get("sendInitialEvents")
        wants_all = request.flag(query, "sendInitialEvents")
        if initial is not None and query.get("resourceVersionMatch") != "NotOlderThan":
            raise status.bad_request(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        if len(self._hub) >= _MAX_WATCHES:
            raise ApiError(
                429,
                "TooManyRequests",
                f"there are {_MAX_WATCHES} watches, the most that are served; end some",
                retry_after=10,
            )
        given = query.get("resourceVersion", "")
        fresh = given in ("", "0")
        start = self._store.version if fresh else _resource_version(given)
        try:
            self._check_reached(start)
            watch = self._hub.watch(
                resource, target.namespace, selector, self._store.version if wants_all else start
            )
        except ApiError as error:
            return answers.Stream(_one(_error_line(error)), answers.JSON_TYPE)
        listed = wants_all or (fresh and initial is None)
        # Clients that ask for no end get one at a time of their own, so that not all come back
        # at once.
        limit = seconds or _WATCH_SECONDS + random.randrange(_WATCH_SECONDS)  # noqa: S311 - a delay
        lines = self._lines(watch, limit, listed=listed, bookmarks=bookmarks, marked=wants_all)
        return answers.Stream(lines, answers.JSON_TYPE)

    async def _lines(
        self, watch: Watch, seconds: float, *, listed: bool, bookmarks: bool, marked: bool
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            if listed:
                for event in snapshot(self._store, watch):
                    yield event.line()
            if marked and bookmarks:
                yield _bookmark(watch, initial=True)
            while not (self._hub.closing or watch.ended) and (left := end - loop.time()) > 0:
                try:
                    async with asyncio.timeout(min(left, _BOOKMARK_SECONDS)):
                        await watch.more.wait()
                except TimeoutError:
                    if bookmarks:
                        yield _bookmark(watch)
                    continue
                found = watch.take()
                if found:
                    # Together: a burst of changes costs one write on the socket.
                    yield b"".join(event.line() for event in found)
        except ApiError as error:
            yield _error_line(error)
        finally:
            watch.close()

    # What is answered on the spot.

    async def _issue(self, http: Request, target: Target) -> Response:
        account = objects.load(
            self._registry.get(kinds.SERVICE_ACCOUNTS, target.namespace, target.name)
        )
        api = "authentication.k8s.io/v1"
        body = _read_review(await request.read_object(http), _TOKEN_REQUEST, api, "TokenRequest")
        spec = body.get("spec") or {}
        seconds = spec.get("expirationSeconds", 3600)
        faults = []
        if seconds < SHORTEST:
            faults.append(
                status.wrong(
                    "spec.expirationSeconds",
                    seconds,
                    "may not specify a duration less than 10 minutes",
                )
            )
        elif seconds > 2**32:
            faults.append(
                status.wrong(
                    "spec.expirationSeconds",
                    seconds,
                    "may not specify a duration larger than 2^32 seconds",
                )
            )
        bound = None
        if reference := spec.get("boundObjectRef"):
            if reference.get("kind") != "Pod":
                faults.append(
                    status.unsupported(
                        "spec.boundObjectRef.kind", reference.get("kind", ""), ("Pod",)
                    )
                )
            else:
                bound = self._bound(target, reference)
        if faults:
            raise status.invalid("TokenRequest", "authentication.k8s.io", target.name, faults)
        issued = self._tokens.issue(
            account, spec.get("audiences") or (), min(seconds, LONGEST), bound
        )
        answer = {
            "kind": "TokenRequest",
            "apiVersion": api,
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "creationTimestamp": objects.now(),
            },
            "spec": {**spec, "expirationSeconds": min(seconds, LONGEST)},
            "status": {
                "token": issued.token,
                "expirationTimestamp": objects.stamp(issued.expires),
            },
        }
        return answers.raw(objects.dump(answer), code=201)

    def _bound(self, target: Target, reference: JSON) -> JSON:
        name = str(reference.get("name", ""))
        pod: JSON = objects.load(self._registry.get(kinds.PODS, target.namespace, name))
        if reference.get("uid") not in (None, "", objects.uid(pod)):
            raise status.conflict(
                "pods",
                "",
                name,
                f"the UID in the bound object reference ({reference['uid'][:64]}) does not match "
                f"the UID in record. The object might have been deleted and then recreated",
            )
        if pod["spec"]["serviceAccountName"] != target.name:
            raise status.bad_request(
                f'cannot bind token for serviceaccount "{target.name}" to pod running with '
                f'serviceaccount "{pod["spec"]["serviceAccountName"]}"'
            )
        return pod

    async def _review_access(self, http: Request, target: Target) -> Response:
        if target.name or target.namespace or target.version != "v1":
            raise status.unknown_path()
        if http.method != "POST":
            raise _not_allowed()
        api, kind = f"{kinds.AUTHORIZATION}/v1", "SelfSubjectAccessReview"
        body = _read_review(await request.read_object(http), _ACCESS_REVIEW, api, kind)
        spec = body.get("spec") or {}
        about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (about is None) is (path is None):
            fault = status.wrong(
                "spec.resourceAttributes",
                "",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
            raise status.invalid(kind, kinds.AUTHORIZATION, "", [fault])
        if about is None:
            path = path or {}
            asked = Attributes(path.get("verb", ""), path=path.get("path", "") or "/")
        else:
            sub = about.get("subresource")
            asked = Attributes(
                about.get("verb", ""),
                about.get("group", ""),
                about.get("resource", "") + (f"/{sub}" if sub else ""),
                about.get("namespace", ""),
                about.get("name", ""),
            )
        caller: Caller = http.scope["caller"]
        allowed = self._registry.authorizer.allowed(caller, asked)
        answer = {
            "kind": kind,
            "apiVersion": api,
            "metadata": {},
            "spec": spec,
            "status": {"allowed": allowed} if allowed else {"allowed": False, "denied": False},
        }
        return answers.raw(objects.dump(answer), code=201)


def _guarded(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Turn what goes wrong into the Status that says so."""

    async def guarded(http: Request) -> Response:
        try:
            _check_accept(http)
            return await handler(http)
        except ApiError as error:
            return answers.error(error)
        except StorageError as error:
            log.error("%s %s: %s", http.method, http.url.path, error)
            return answers.error(status.internal(str(error)))
        except ClientDisconnect:
            # Nobody is left to read an answer.
            return Response(status_code=499)
        except Exception:
            log.exception("%s %s failed", http.method, http.url.path)
            return answers.error(
                status.internal("the request could not be served; tinykube's log says why")
            )

    return guarded


def _check_accept(http: Request) -> None:
    accept = http.headers.get("accept", "")
    if not accept or http.url.path.endswith(("/log", *OPEN)):
        return
    for part in accept.split(","):
        kind, *parameters = (item.strip().lower() for item in part.split(";"))
        if kind in ("*/*", "application/*", "application/json") and not any(
            item.startswith("as=") for item in parameters
        ):
            return
    raise ApiError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
    )


def _only(http: Request, method: str) -> None:
    if http.method not in (method, "HEAD"):
        raise _not_allowed()


def _not_allowed() -> ApiError:
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )


def _verb_of_path(http: Request) -> str:
    return http.method.lower()


def _verb(http: Request, target: Target) -> str:
    method = "GET" if http.method == "HEAD" else http.method
    if target.subresource or target.name:
        if method == "GET" and not target.subresource and _watching(http):
            return "watch"
        return _READ_VERBS.get(method, "create" if method == "POST" else method.lower())
    match method:
        case "GET":
            return "watch" if _watching(http) else "list"
        case "POST":
            return "create"
        case "DELETE":
            return "deletecollection"
    return _READ_VERBS.get(method, method.lower())


def _watching(http: Request) -> bool:
    return request.flag(http.query_params, "watch")


def _attributes(http: Request, target: Target, verb: str) -> Attributes:
    name = target.name
    if not name and verb in ("list", "watch", "deletecollection"):
        # A list of one named object may be allowed by a rule with its name.
        for term in http.query_params.get("fieldSelector", "").split(","):
            field, separator, value = term.partition("=")
            if separator and field.strip() == "metadata.name":
                name = value.removeprefix("=").strip()
    resource = target.plural + (f"/{target.subresource}" if target.subresource else "")
    # A namespace itself is asked for inside that namespace, as Kubernetes authorizes it.
    namespace = target.name if target.resource is kinds.NAMESPACES else target.namespace
    return Attributes(verb, target.group, resource, namespace, name)


def _resource_version(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise status.bad_request(f"invalid resource version {text[:80]!r}")
    return int(text)


def _list_text(resource: Resource, rows: list[Row], meta: JSON) -> str:
    skip = len(resource.prefix)
    items = ",".join("{" + row.data[skip:] for row in rows)
    return (
        f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}",'
        f'"metadata":{objects.dump(meta)},"items":[{items}]}}'
    )


def _deleted(resource: Resource, written: Written) -> str:
    if not written.gone or resource.returns:
        return written.data
    obj = objects.load(written.data)
    return objects.dump(
        status.success(resource.plural, resource.group, objects.name(obj), objects.uid(obj))
    )


def _bookmark(watch: Watch, *, initial: bool = False) -> bytes:
    meta: JSON = {"resourceVersion": str(watch.position), "creationTimestamp": None}
    if initial:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    obj = {
        "kind": watch.resource.kind,
        "apiVersion": watch.resource.api_version,
        "metadata": meta,
    }
    return (objects.dump({"type": "BOOKMARK", "object": obj}) + "\n").encode("ascii")


def _error_line(error: ApiError) -> bytes:
    text = objects.dump({"type": "ERROR", "object": error.status()})
    return f"{text}\n".encode("ascii")


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


def _read_review(body: Any, shape: schema.Fields, api_version: str, kind: str) -> JSON:
    if not isinstance(body, dict):
        raise status.bad_request(f"the body must be an object of kind {kind}")
    if (body.get("apiVersion", api_version), body.get("kind", kind)) != (api_version, kind):
        raise status.bad_request(f"this takes {api_version}, Kind={kind}")
    try:
        clean: JSON = schema.read(body, shape, "", Findings())
    except ShapeError as error:
        raise status.bad_request(f"{kind} cannot be read: {error}") from None
    return clean
