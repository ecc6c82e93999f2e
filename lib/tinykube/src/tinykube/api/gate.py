"""The gate in front of all: who asks is known before anything is looked at."""

from __future__ import annotations

import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

from tinykube import answers, identity, impersonation, status
from tinykube.rbac import Authorizer, Caller
from tinykube.serving import PEER
from tinykube.status import ApiError
from tinykube.store import StorageError
from tinykube.tokens import Tokens

OPEN = frozenset({"/healthz", "/readyz", "/livez", "/version"})


class Gate:
    """Lets in only who has a token or a client certificate; refuses foreign origins.

    A few paths are open to all. The caller is found in `scope["caller"]`.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, authorizer: Authorizer) -> None:
        self._app = app
        self._tokens = tokens
        self._authorizer = authorizer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            return  # uvicorn runs without lifespan events.
        problem = self._check(scope)
        if problem is not None:
            await answers.error(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> ApiError | None:
        token = ""
        for name, value in scope["headers"]:
            if name == b"origin" and not _own(value, scope):
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
            caller = self._authenticate(scope, token)
            if caller is None:
                return status.unauthorized()
            scope["caller"] = impersonation.assume(caller, scope["headers"], self._authorizer)
        except StorageError as error:
            return status.internal(str(error))
        except ApiError as error:
            return error
        return None

    def _authenticate(self, scope: Scope, token: str) -> Caller | None:
        peer = (scope.get("state") or {}).get(PEER)
        if peer is not None and not token:
            # The handshake has verified it; a certificate without a name is nobody's.
            caller = identity.of_certificate(peer)
            return caller if caller.name else None
        return self._tokens.authenticate(token)


def _own(origin: bytes, scope: Scope) -> bool:
    """True for the Origin that clients for WebSockets send by themselves: this very server.

    By an address, not by a name: a page of another site can have its name lead here.
    """
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    name = host.decode("latin-1").rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return scope["type"] == "websocket" and origin == b"https://" + host
