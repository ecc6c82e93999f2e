"""The ASGI middleware that stands before every API: Host, Origin, token, in this order."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .hosts import HostPatternError, HostPatterns, parse_origin, same_origin
from .tokens import TokenFileError

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Set unless the application set its own.
_SECURITY_HEADERS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
CALLER: Final = "toolkit.caller"
"""The key of an ASGI scope under which the application finds who calls: the token's name."""

_QUOTED = 120  # characters of a refused header that an error message repeats


class Verifier(Protocol):
    """Who knows tokens: a `TokenFile`, or what an image has of its own."""

    def verify(self, secret: str) -> str | None:
        """Give the name of the token whose secret this is, or None.

        Raises:
            TokenFileError: it cannot be told now.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    code: str
    message: str
    challenge: bool = False


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _secret(authorization: str) -> str | None:
    """Take the token out of an Authorization header: Bearer, or the password of Basic."""
    scheme, _, credentials = authorization.strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials or None
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    _, colon, password = decoded.partition(":")
    return password if colon and password else None


class Guard:
    """Let a request through to `app` only with an allowed Host and Origin and a valid token.

    HTTP and websockets alike. Refusals are JSON, `{"error_code": CODE, "message": TEXT}`: 403
    for a foreign Host (`HOST_NOT_ALLOWED`) or Origin (`ORIGIN_NOT_ALLOWED`), 401 with challenges
    for a missing (`UNAUTHENTICATED`) or wrong (`INVALID_TOKEN`) token, 503 while the token file
    is unusable (`TOKENS_UNAVAILABLE`).
    The Authorization header is taken off before `app` sees the request, so that it can neither
    log the token nor pass it on; the name of the token is in the scope, under `CALLER`.

    Args:
        app: the application behind.
        tokens: who may come in.
        allowed_hosts: see `HostPatterns`.
        open_paths: exact paths that GET and HEAD reach without a token (health, never data);
            Host and Origin are checked there too.
        allowed_origins: origins besides the server's own whose pages may call it,
            `https://ml.example.com`.
        realm: what a browser shows when it asks for the token.

    Raises:
        HostPatternError: an allowed host or origin is malformed.
    """

    def __init__(
        self,
        app: App,
        *,
        tokens: Verifier,
        allowed_hosts: Iterable[str],
        open_paths: Collection[str] = (),
        allowed_origins: Iterable[str] = (),
        realm: str = "toolkit",
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = HostPatterns(allowed_hosts)
        self._open_paths = frozenset(open_paths)
        self._origins = frozenset(_checked_origin(origin) for origin in allowed_origins)
        quoted = realm.replace("\\", "").replace('"', "").encode("ascii", "replace")
        self._challenges: Headers = (
            (b"www-authenticate", b'Basic realm="' + quoted + b'", charset="UTF-8"'),
            (b"www-authenticate", b'Bearer realm="' + quoted + b'"'),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        caller = self._check(scope)
        if isinstance(caller, _Refusal):
            await self._refuse(caller, scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = _secured(message.get("headers", ()))
            await send(message)

        headers = [pair for pair in scope["headers"] if pair[0].lower() != b"authorization"]
        passed = {**scope, "headers": headers, CALLER: caller}
        await self._app(passed, receive, send_secured)

    def _check(self, scope: Scope) -> _Refusal | str | None:
        """Give why the connection is refused, or the name of its token if it has one."""
        return self._check_host(scope) or self._check_origin(scope) or self._check_token(scope)

    def _check_host(self, scope: Scope) -> _Refusal | None:
        hosts = _values(scope["headers"], b"host")
        if len(hosts) == 1 and self._hosts.allow(hosts[0]):
            return None
        shown = repr(hosts[0][:_QUOTED]) if len(hosts) == 1 else f"{len(hosts)} Host headers"
        return _Refusal(
            403,
            "HOST_NOT_ALLOWED",
            f"this server does not answer to {shown}; its operator lists the allowed hosts",
        )

    def _check_origin(self, scope: Scope) -> _Refusal | None:
        origins = _values(scope["headers"], b"origin")
        unsafe = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if not origins:
            # No browser: or one that says by other means that a foreign page is behind this.
            sites = _values(scope["headers"], b"sec-fetch-site")
            if unsafe and any(site in ("cross-site", "same-site") for site in sites):
                return _Refusal(403, "ORIGIN_NOT_ALLOWED", "a page elsewhere made this request")
            return None
        if len(origins) == 1 and self._allow_origin(origins[0], scope, unsafe):
            return None
        shown = repr(origins[0][:_QUOTED]) if len(origins) == 1 else "several origins"
        return _Refusal(403, "ORIGIN_NOT_ALLOWED", f"pages of {shown} may not call this server")

    def _allow_origin(self, origin: str, scope: Scope, unsafe: bool) -> bool:
        if origin == "null":
            return not unsafe
        if origin.lower() in self._origins:
            return True
        return same_origin(origin, _values(scope["headers"], b"host")[0])

    def _check_token(self, scope: Scope) -> _Refusal | str | None:
        if (
            scope["type"] == "http"
            and scope["method"] in ("GET", "HEAD")
            and scope["path"] in self._open_paths
        ):
            return None
        authorizations = _values(scope["headers"], b"authorization")
        if not authorizations:
            return _Refusal(
                401,
                "UNAUTHENTICATED",
                "a token is needed: send 'Authorization: Bearer TOKEN', or TOKEN as the password",
                challenge=True,
            )
        secret = _secret(authorizations[0]) if len(authorizations) == 1 else None
        try:
            name = self._tokens.verify(secret) if secret is not None else None
            if name is not None:
                return name
        except TokenFileError:
            logger.exception("no request can be let in: the token file is unusable")
            return _Refusal(503, "TOKENS_UNAVAILABLE", "the server cannot read its tokens now")
        return _Refusal(401, "INVALID_TOKEN", "the token is not valid here", challenge=True)

    async def _refuse(self, refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.dumps({"error_code": refusal.code, "message": refusal.message}).encode()
        headers = _secured(
            (
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                *(self._challenges if refusal.challenge else ()),
            )
        )
        prefix = ""
        if scope["type"] == "websocket":
            await receive()  # the connect message
            if "websocket.http.response" not in scope.get("extensions", {}):
                # The server answers 403 by itself: a websocket closed before it was accepted.
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
                return
            prefix = "websocket."
        await send(
            {
                "type": f"{prefix}http.response.start",
                "status": refusal.status,
                "headers": headers,
            }
        )
        await send({"type": f"{prefix}http.response.body", "body": body})


def _checked_origin(text: str) -> str:
    origin = text.strip().lower()
    if parse_origin(origin) is None:
        raise HostPatternError(
            f"{text!r} is not an origin: write https://name or http://name:port"
        )
    return origin


def _secured(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    present = [(bytes(name), bytes(value)) for name, value in headers]
    names = {name.lower() for name, _ in present}
    present.extend(pair for pair in _SECURITY_HEADERS if pair[0] not in names)
    return present
