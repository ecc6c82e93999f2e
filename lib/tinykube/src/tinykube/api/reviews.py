"""What is answered on the spot: tokens, and who may do what."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, kinds, objects, request, schema, status
from tinykube.api import forms
from tinykube.api.access import caller
from tinykube.api.context import Context
from tinykube.api.errors import not_allowed
from tinykube.objects import JSON
from tinykube.rbac import Attributes
from tinykube.request import Target
from tinykube.schema import Findings, ShapeError
from tinykube.tokens import LONGEST, SHORTEST

_TOKEN_REQUEST = schema.kind(
    {
        "spec": schema.Fields(
            {
                "audiences": schema.Many("str", kept=True),
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


class Reviews:
    """Serves reviews and token requests."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def issue(self, http: Request, target: Target) -> Response:
        """A token of a service account."""
        forms.plain(http)
        account = objects.load(
            self._context.registry.get(kinds.SERVICE_ACCOUNTS, target.namespace, target.name)
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
        issued = self._context.tokens.issue(
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
        pod: JSON = objects.load(self._context.registry.get(kinds.PODS, target.namespace, name))
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

    async def access(self, http: Request, target: Target) -> Response:
        """May the caller do this?"""
        forms.plain(http)
        if target.name or target.namespace or target.version != "v1":
            raise status.unknown_path()
        if http.method != "POST":
            raise not_allowed()
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
        allowed = self._context.registry.authorizer.allowed(caller(http), asked)
        answer = {
            "kind": kind,
            "apiVersion": api,
            "metadata": {},
            "spec": spec,
            "status": {"allowed": allowed} if allowed else {"allowed": False, "denied": False},
        }
        return answers.raw(objects.dump(answer), code=201)


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
