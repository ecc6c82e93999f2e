"""Tokens of service accounts, for those who ask for one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, kinds, objects, request, schema, status
from tinykube.api import forms
from tinykube.api.context import Context
from tinykube.api.reviews import read
from tinykube.objects import JSON
from tinykube.request import Target
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


class TokenRequests:
    """Issues tokens."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def issue(self, http: Request, target: Target) -> Response:
        """A token of a service account."""
        forms.plain(http)
        account = objects.load(
            self._context.registry.get(kinds.SERVICE_ACCOUNTS, target.namespace, target.name)
        )
        api = "authentication.k8s.io/v1"
        body = read(await request.read_object(http), _TOKEN_REQUEST, api, "TokenRequest")
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
