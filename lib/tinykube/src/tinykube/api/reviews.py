"""Reviews, answered on the spot: who asks, whose token it is, who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, fieldsets, objects, request, schema, status
from tinykube.api import forms
from tinykube.api.access import caller
from tinykube.api.context import Context
from tinykube.api.errors import not_allowed
from tinykube.kinds import reviews
from tinykube.kinds.reviews import Review
from tinykube.objects import JSON
from tinykube.rbac import Attributes, Caller
from tinykube.request import Target
from tinykube.schema import Fields, Findings, Many, ShapeError, Table
from tinykube.status import ApiError

_WHAT: Mapping[str, schema.Shape] = {
    "resourceAttributes": Fields(
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
    "nonResourceAttributes": Fields({"path": "str", "verb": "str"}),
}
_WHO: Mapping[str, schema.Shape] = {
    "user": "str",
    "groups": Many("str"),
    "uid": "str",
    "extra": Table(Many("str")),
}
_SPECS: Mapping[Review, Mapping[str, schema.Shape]] = {
    reviews.TOKENS: {"token": "str", "audiences": Many("str")},
    reviews.SELF: {},
    reviews.ACCESS: {**_WHAT, **_WHO},
    reviews.LOCAL_ACCESS: {**_WHAT, **_WHO},
    reviews.SELF_ACCESS: _WHAT,
    reviews.SELF_RULES: {"namespace": "str"},
}
_SHAPES = {
    review: schema.kind({"spec": Fields(spec), "status": "any"}) for review, spec in _SPECS.items()
}


class Reviews:
    """Serves reviews."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._authorizer = context.registry.authorizer

    async def answer(self, http: Request, target: Target, review: Review) -> Response:
        """The review with its status."""
        forms.plain(http)
        if target.name or bool(target.namespace) is not review.namespaced:
            raise status.unknown_path()
        if http.method != "POST":
            raise not_allowed()
        options = request.options(http)
        body = read(
            await request.read_object(http), _SHAPES[review], review.api_version, review.kind
        )
        spec, who = body.get("spec") or {}, caller(http)
        meta: JSON = {}
        match review:
            case reviews.TOKENS:
                found = self._token(spec)
            case reviews.SELF:
                found = {"userInfo": _user(who)}
                meta = {"creationTimestamp": objects.now()}
            case reviews.SELF_RULES:
                found, spec = self._rules(spec, who), {}
            case reviews.SELF_ACCESS:
                found = self._access(spec, who)
            case _:
                meta = _place(spec, target)
                found = self._access(spec, _subject(spec))
        answer: JSON = {"kind": review.kind, "apiVersion": review.api_version, "metadata": meta}
        if review is not reviews.SELF:
            answer["spec"] = spec
        if review not in (reviews.SELF, reviews.SELF_RULES):
            fieldsets.created(answer, _SHAPES[review], review.plural, options.manager)
        answer["status"] = found
        return answers.raw(objects.dump(answer), code=201, warnings=options.warnings)

    def _token(self, spec: JSON) -> JSON:
        token = spec.get("token", "")
        if not token:
            raise status.bad_request("token is required for TokenReview in authentication")
        found = self._context.tokens.review(token, spec.get("audiences") or ())
        if found is None:
            return {"user": {}, "error": "invalid bearer token"}
        who, audiences = found
        return {"authenticated": True, "user": _user(who), "audiences": audiences}

    def _access(self, spec: JSON, who: Caller) -> JSON:
        asked = _asked(spec)
        if not self._authorizer.allowed(who, asked):
            return {"allowed": False}
        reason = self._authorizer.reason(who, asked)
        return {"allowed": True, **({"reason": reason} if reason else {})}

    def _rules(self, spec: JSON, who: Caller) -> JSON:
        namespace = spec.get("namespace", "")
        if not namespace:
            raise status.bad_request("no namespace on request")
        resources, urls = [], []
        for rule in self._authorizer.known_rules(who, namespace):
            if rule.get("nonResourceURLs"):
                part = {key: rule.get(key) or [] for key in ("verbs", "nonResourceURLs")}
                urls.append(part)
            else:
                keys = ("verbs", "apiGroups", "resources", "resourceNames")
                resources.append({key: rule[key] for key in keys if rule.get(key)})
        return {"resourceRules": resources, "nonResourceRules": urls, "incomplete": False}


def _user(who: Caller) -> JSON:
    found: JSON = {"username": who.name}
    if who.uid:
        found["uid"] = who.uid
    if who.groups:
        found["groups"] = list(who.groups)
    if who.extra:
        found["extra"] = {key: list(values) for key, values in who.extra}
    return found


def _subject(spec: JSON) -> Caller:
    """Of whom a review asks. Raises ApiError 422."""
    if not spec.get("user") and not spec.get("groups"):
        why = "at least one of user or group must be specified"
        raise _invalid(status.wrong("spec.user", "", why))
    extra = tuple((key, tuple(values)) for key, values in (spec.get("extra") or {}).items())
    groups = tuple(spec.get("groups") or ())
    return Caller(spec.get("user", ""), groups, spec.get("uid", ""), extra)


def _place(spec: JSON, target: Target) -> JSON:
    """The metadata of a review of others' rights. Raises ApiError 422."""
    if not target.namespace:
        return {}
    about = spec.get("resourceAttributes")
    if about is None:
        why = "disallowed on this kind of request"
        raise _invalid(status.wrong("spec.nonResourceAttributes", "", why))
    if about.get("namespace", "") != target.namespace:
        field = "spec.resourceAttributes.namespace"
        raise _invalid(
            status.wrong(field, about.get("namespace", ""), "must match metadata.namespace")
        )
    return {"namespace": target.namespace}


def _asked(spec: JSON) -> Attributes:
    """What a review asks. Raises ApiError 422."""
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if about is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        raise _invalid(status.wrong("spec.nonResourceAttributes", "", why))
    if about is not None:
        sub = about.get("subresource")
        return Attributes(
            about.get("verb", ""),
            about.get("group", ""),
            about.get("resource", "") + (f"/{sub}" if sub else ""),
            about.get("namespace", ""),
            about.get("name", ""),
        )
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path", "") or "/")
    why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    raise _invalid(status.wrong("spec.resourceAttributes", "", why))


def _invalid(fault: status.Cause) -> ApiError:
    # Without the kind, as a real API server.
    return status.invalid("", reviews.AUTHORIZATION, "", [fault])


def read(body: Any, shape: schema.Fields, api_version: str, kind: str) -> JSON:
    """A review or request that a client sent. Raises ApiError 400."""
    if not isinstance(body, dict):
        raise status.bad_request(f"the body must be an object of kind {kind}")
    if (body.get("apiVersion", api_version), body.get("kind", kind)) != (api_version, kind):
        raise status.bad_request(f"this takes {api_version}, Kind={kind}")
    try:
        clean: JSON = schema.read(body, shape, "", Findings())
    except ShapeError as error:
        raise status.bad_request(f"{kind} cannot be read: {error}") from None
    return clean
