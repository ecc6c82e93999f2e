"""What a request asks for, and whether its caller may."""

from __future__ import annotations

from starlette.requests import Request

from tinykube import kinds, request, status
from tinykube.rbac import Attributes, Authorizer, Caller
from tinykube.request import Target
from tinykube.status import ApiError

_READ_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def caller(http: Request) -> Caller:
    """Who asks."""
    found: Caller = http.scope["caller"]
    return found


def authorize(authorizer: Authorizer, http: Request, asked: Attributes) -> None:
    """Let pass what the caller may do. Raises ApiError 403."""
    who = caller(http)
    if authorizer.allowed(who, asked):
        return
    if asked.path:
        raise ApiError(403, "Forbidden", f"forbidden: {asked.denial(who)}")
    plural = asked.resource.partition("/")[0]
    raise status.forbidden(plural, asked.group, asked.name, asked.denial(who))


def path_attributes(http: Request) -> Attributes:
    """What a request for a path without resources asks."""
    return Attributes(http.method.lower(), path=http.url.path)


def verb(http: Request, target: Target) -> str:
    """The request's verb, as roles name it."""
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


def attributes(http: Request, target: Target, asked: str) -> Attributes:
    """What a request for a resource asks."""
    name, node = target.name, ""
    if not name and asked in ("list", "watch", "deletecollection"):
        # A list of one named object may be allowed by a rule with its name, one of a node's pods
        # to that node.
        for term in http.query_params.get("fieldSelector", "").split(","):
            field, separator, value = term.partition("=")
            if separator and field.strip() == "metadata.name":
                name = value.removeprefix("=").strip()
            elif separator and field.strip() == "spec.nodeName":
                node = value.removeprefix("=").strip()
    resource = target.plural + (f"/{target.subresource}" if target.subresource else "")
    # A namespace itself is asked for inside that namespace, as Kubernetes authorizes it.
    namespace = target.name if target.resource is kinds.NAMESPACES else target.namespace
    return Attributes(asked, target.group, resource, namespace, name, node=node)
