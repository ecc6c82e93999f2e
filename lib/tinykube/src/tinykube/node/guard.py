"""Who may ask the node: a client certificate or a token, judged by the control plane."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tinykube import identity
from tinykube.node.client import JSON
from tinykube.node.remote import RemoteClient
from tinykube.rbac import MASTERS, Caller
from tinykube.serving import PEER

log = logging.getLogger(__name__)

_OPEN = frozenset({"/healthz"})
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# How long a judgement holds, in seconds: a kubelet's own defaults.
_GRANTED, _DENIED = 300.0, 30.0
_REMEMBERED = 1000


class Guard:
    """Lets in only whom the control plane lets `nodes/proxy` of this node, as a kubelet does.

    Args:
        app: what it guards.
        client: the control plane.
        node: the node's name.
    """

    def __init__(self, app: ASGIApp, client: RemoteClient, node: str) -> None:
        self._app = app
        self._client = client
        self._node = node
        self._judged: OrderedDict[object, tuple[float, bool]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["path"] not in _OPEN:
            refusal = await self._refuse(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope) -> PlainTextResponse | None:
        try:
            user = await self._user(scope)
            if user is None or not user.name:
                return PlainTextResponse("Unauthorized", 401)
            verb = _VERBS.get(scope["method"], scope["method"].lower())
            if await self._allowed(user, verb):
                return None
        except (OSError, LookupError) as error:
            log.warning("cannot judge a request: %s", error)
            return PlainTextResponse("the control plane cannot be asked who may do this", 503)
        text = f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[proxy])"
        return PlainTextResponse(text, 403)

    async def _user(self, scope: Scope) -> Caller | None:
        peer = (scope.get("state") or {}).get(PEER)
        if peer is not None:
            return identity.of_certificate(peer)
        for name, value in scope["headers"]:
            scheme, _, token = value.decode("latin-1").partition(" ")
            if name == b"authorization" and scheme.lower() == "bearer" and token.strip():
                return await self._of_token(token.strip())
        return None

    async def _of_token(self, token: str) -> Caller | None:
        found = await self._client.review("TokenReview", "authentication.k8s.io", {"token": token})
        if not found.get("authenticated"):
            return None
        user: JSON = found.get("user") or {}
        return Caller(
            user.get("username") or "", tuple(user.get("groups") or ()), user.get("uid") or ""
        )

    async def _allowed(self, user: Caller, verb: str) -> bool:
        if MASTERS in user.groups:
            # A control plane lets them do anything, without looking at any rule.
            return True
        key = (user, verb)
        until, allowed = self._judged.get(key, (0.0, False))
        if time.monotonic() < until:
            return allowed
        spec: JSON = {
            "user": user.name,
            "groups": list(user.groups),
            "resourceAttributes": {
                "verb": verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": "proxy",
                "name": self._node,
            },
        }
        if user.uid:
            spec["uid"] = user.uid
        found = await self._client.review("SubjectAccessReview", "authorization.k8s.io", spec)
        allowed = bool(found.get("allowed"))
        self._judged[key] = (time.monotonic() + (_GRANTED if allowed else _DENIED), allowed)
        if len(self._judged) > _REMEMBERED:
            self._judged.popitem(last=False)
        return allowed
