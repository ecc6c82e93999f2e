"""A service that does not lead: it waits for the database, and forwards what it is asked.

All may be asked: what comes to a stand-by goes to the one that leads, whose address is what
its session of PostgreSQL is called (`store.postgresql`). Host and Origin are checked here, where
they are what the client meant; the token by the one that leads.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import string
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from yarl import URL

from toolkit_identity import Guard

from .api import OPEN_PATHS, errors
from .api.responses import MessageResponse
from .outgoing import FAILURES, Session, why

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
# The client has been told to go on here, by the server, as soon as its body is read.
_DONE: Final = frozenset({b"expect"})
# An answer may be a log that is followed for hours; that the other side has vanished is noticed by
# the socket.
_TIMEOUT: Final = aiohttp.ClientTimeout(sock_connect=5.0)
_SEND_SECONDS: Final = 60.0
"""How long the one that leads may take to read a piece of a request's body."""
_SENT_AS_IT_IS: Final = string.punctuation.replace("#", "")
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
        self._http = Session(_TIMEOUT, limit=0, socket_factory=_socket)

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
        await self._http.close()

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
        if (headers := _headers(request)) is None:
            said = errors.body(errors.Code.INVALID_ARGUMENT, "headers must be UTF-8 text")
            await MessageResponse(said, status_code=400)(scope, receive, send)
            return
        began = False
        try:
            async with asyncio.timeout(None) as patience:
                body = _Body(request, patience)
                async with self._http.get().request(
                    scope["method"],
                    self._address(scope),
                    headers=headers,
                    data=body if body.announced else None,
                    skip_auto_headers=("Accept",),
                    allow_redirects=False,
                ) as answer:
                    began = True
                    await _reply(answer)(scope, receive, send)
        except FAILURES as error:
            if began:
                raise
            if body.left:
                return
            log.warning("%s does not answer: %s", self.leader, why(error))
            await _unavailable(f"the service that leads does not answer: {self.why}")(
                scope, receive, send
            )

    def _address(self, scope: Scope) -> URL:
        """Give what was asked for, as it was written, at the service that leads."""
        path = quote(scope["raw_path"], safe=_SENT_AS_IT_IS)
        query = quote(scope["query_string"], safe=_SENT_AS_IT_IS)
        return URL(f"{self.leader}{path}{'?' if query else ''}{query}", encoded=True)


def _headers(request: Request) -> list[tuple[str, str]] | None:
    """Give the headers to forward; None if there are some that cannot be."""
    dropped = _OF_A_HOP | _JUDGED | _DONE
    pairs = [pair for pair in request.scope["headers"] if pair[0].lower() not in dropped]
    pairs += [(b"authorization", value) for value in request.scope[_AUTHORIZATION]]
    pairs.append((_MARK, b"1"))
    try:
        return [(name.decode(), value.decode()) for name, value in pairs]
    except UnicodeDecodeError:
        return None


def _reply(answer: aiohttp.ClientResponse) -> StreamingResponse:
    reply = StreamingResponse(answer.content.iter_any(), answer.status)
    reply.raw_headers = [
        (name.lower(), value)
        for name, value in answer.raw_headers
        if name.lower() not in {*_OF_A_HOP, b"date"}
    ]
    return reply


class _Body:
    """A request's body, sent on as it comes.

    Args:
        request: whose it is.
        patience: runs out if a piece is not taken in time, since the library does not bound that.

    Attributes:
        announced: whether there is one.
        left: whether the client has left in the middle of it.
    """

    def __init__(self, request: Request, patience: asyncio.Timeout) -> None:
        self._request = request
        self._patience = patience
        self.announced = bool(
            {"content-length", "transfer-encoding"}.intersection(request.headers)
        )
        self.left = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            async for piece in self._request.stream():
                self._patience.reschedule(loop.time() + _SEND_SECONDS)
                yield piece
                self._patience.reschedule(None)
        except ClientDisconnect:
            self.left = True
            raise


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    for option in _SOCKET:
        made.setsockopt(*option)
    return made


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


def _unavailable(message: str) -> MessageResponse:
    said = errors.body(errors.Code.UNAVAILABLE, message)
    return MessageResponse(said, status_code=503, headers={"retry-after": "1"})
