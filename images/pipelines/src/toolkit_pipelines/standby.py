"""A service that does not lead: it waits for the database, and forwards what it is asked.

All may be asked: what comes to a stand-by goes to the one that leads, whose address is what
its session of PostgreSQL is called (`store.postgresql`). Host and Origin are checked here, where
they are what the client meant; the token by the one that leads.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from toolkit_identity import Guard

from .api import OPEN_PATHS, errors
from .api.responses import MessageResponse

log = logging.getLogger(__name__)

STARTING: Final = "the service is starting"

_MARK: Final = b"toolkit-forwarded"
"""The header of what was forwarded: it is not, once more."""
_AUTHORIZATION: Final = "toolkit.authorization"
_ADDRESS: Final = re.compile(r"http://[^/\s@?#]+")
# What is of one connection alone (RFC 9110, 7.6.1), and what the leader's guard would judge by
# another Host than the client's.
_OF_A_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"),
        *(b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
_JUDGED: Final = frozenset({b"host", b"origin", b"sec-fetch-site", b"authorization"})
# An answer may be a log that is followed for hours; that the other side has vanished is noticed by
# the socket.
_TIMEOUT: Final = {"connect": 5.0, "write": 60.0, "read": None, "pool": 5.0}
_SOCKET: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class StandBy:
    """What is served while another service leads, or this one begins.

    Attributes:
        leader: where the one that leads is, `http://HOST:PORT`; "" if that is not known.
        why: why this one does not.
    """

    def __init__(self) -> None:
        self.leader = ""
        self.why = STARTING
        self._transport = httpx2.AsyncHTTPTransport(
            trust_env=False,
            socket_options=_SOCKET,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=10),
        )

    def tell(self, name: str, why: str) -> None:
        """Take note of who leads.

        Args:
            name: what the session of the one that leads is called; "" if none does.
            why: why this one does not.
        """
        leader = name if _ADDRESS.fullmatch(name) else ""
        if (leader, why) != (self.leader, self.why):
            log.info("%s; what is asked goes to %s", why, leader or "nobody")
        self.leader, self.why = leader, why

    async def close(self) -> None:
        """End what is being forwarded."""
        await self._transport.aclose()

    def guarded(self, **guard: Any) -> _Kept:
        """Give the application; it takes what `Guard` does, but the tokens."""
        return _Kept(Guard(self._serve, tokens=_Anyone(), open_paths=OPEN_PATHS, **guard))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == "/livez":
            await MessageResponse({})(scope, receive, send)
            return
        if scope["path"] == "/leads" or not self.leader or _MARK.decode() in request.headers:
            await _unavailable(self.why)(scope, receive, send)
            return
        try:
            answer = await self._transport.handle_async_request(self._request(request))
        except ClientDisconnect:
            return
        except httpx2.TransportError as error:
            log.warning("%s does not answer: %s", self.leader, error or type(error).__name__)
            await _unavailable(f"the service that leads does not answer: {self.why}")(
                scope, receive, send
            )
            return
        reply = StreamingResponse(_chunks(answer), answer.status_code)
        reply.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower() not in {*_OF_A_HOP, b"date"}
        ]
        await reply(scope, receive, send)

    def _request(self, request: Request) -> httpx2.Request:
        scope = request.scope
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        dropped = _OF_A_HOP | _JUDGED
        headers = [pair for pair in scope["headers"] if pair[0].lower() not in dropped]
        headers += [(b"authorization", value) for value in scope[_AUTHORIZATION]]
        headers.append((_MARK, b"1"))
        bodied = {"content-length", "transfer-encoding"}.intersection(request.headers)
        return httpx2.Request(
            scope["method"],
            httpx2.URL(self.leader).copy_with(raw_path=path),
            headers=headers,
            content=request.stream() if bodied else None,
            extensions={"timeout": dict(_TIMEOUT)},
        )


class _Kept:
    """Keeps the header by which a client is known; the guard takes it off."""

    def __init__(self, app: Guard) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        await self._app({**scope, _AUTHORIZATION: kept}, receive, send)


class _Anyone:
    """Takes every token: the one that leads is asked with it."""

    def verify(self, secret: str) -> str | None:
        del secret
        return "forwarded"


async def _chunks(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _unavailable(message: str) -> MessageResponse:
    said = errors.body(errors.Code.UNAVAILABLE, message)
    return MessageResponse(said, status_code=503, headers={"retry-after": "1"})
