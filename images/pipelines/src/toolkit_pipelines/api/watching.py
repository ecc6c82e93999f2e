"""Runs followed without polling: server-sent events (the EventSource part of the HTML standard).

Each message's id is the number of the event of the run that it tells, so that a client that was
cut off goes on from there (`Last-Event-ID`). There are three kinds:

- `snapshot`: the Run with its task details, as `GET /runs/{run_id}` gives it, without the spec.
  It comes first, and again when a retry has taken back what some tasks did.
- `task`: what has changed of one task (`messages.change`).
- `run`: the Run as lists have it, when the run itself has changed, and first of all to a client
  that goes on.

Nothing is kept for a client but the number that it has and what is on its way to it: what comes
after that stays in the store until it is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from ..events import RunRetried, TaskFailed
from ..store.interface import NotFoundError, StoreError
from ..watchers import TooManyError
from . import messages, runs
from .context import Context, blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import encoded

log = logging.getLogger(__name__)

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, for what lies between to keep it open."""
PATIENCE: Final = 30.0
"""Seconds after which a client that takes nothing is cut off."""
_RETRY: Final = b"retry: 2000\n\n"
_COMMENT: Final = b":\n\n"
_BATCH: Final = 20
"""Events that are read at a time; their messages are what is on its way to a client."""
_PIECE: Final = 64 * 1024
"""Bytes that are handed to the server at a time; with what it buffers, all that a client takes."""


async def watch(request: Request) -> Response:
    """GET /runs/{run_id}:watch.

    Ends when the run has ended and all is told, and when the service ends. To a client that has
    all of a run that has ended, the answer is 204, which tells it not to come again.
    """
    context, run_id = context_of(request), request.path_params["run_id"]
    after = _last(request)
    run = await blocking(lambda: context.store.runs.run(run_id))
    if after is not None and after > run.sequence:
        # Of another run, or of before a restore: nothing can be told from there.
        after = None
    if after == run.sequence and run.phase.ended:
        return Response(status_code=204)
    try:
        context.watchers.check()
    except TooManyError as error:
        raise ApiError(Code.UNAVAILABLE, str(error)) from error
    return EventStream(_told(context, run_id, after))


def _last(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid("Last-Event-ID", "must be the id of a message of this run, or left out")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Look:
    """What there is to tell.

    Attributes:
        told: the messages, ready to be sent.
        after: the number of the last event that they tell.
        run: what the client now knows of the run itself; None before all of it is told.
        ended: whether that is all that there will be.
    """

    told: tuple[bytes, ...]
    after: int
    run: messages.Message | None = None
    ended: bool = False

    @property
    def complete(self) -> bool:
        """False if more can be read at once."""
        return self.run is not None


async def _told(context: Context, run_id: str, after: int | None) -> AsyncGenerator[bytes]:
    yield _RETRY
    known: messages.Message | None = None
    try:
        with context.watchers.watch(run_id) as watching:
            while True:
                changed = await watching.changed(HEARTBEAT)
                if context.watchers.closed:
                    return
                if not changed:
                    yield _COMMENT
                    continue
                while True:
                    look = await _look(context, run_id, after, known)
                    for message in look.told:
                        yield message
                    after, known = look.after, look.run or known
                    if look.ended:
                        return
                    if look.complete or context.watchers.closed:
                        break
    except TooManyError as error:
        log.info("run %s is not followed: %s", run_id, error)
    except NotFoundError:
        log.info("run %s was deleted while it was followed", run_id)
    except StoreError as error:
        log.warning("run %s cannot be followed further: %s", run_id, error)


async def _look(
    context: Context, run_id: str, after: int | None, known: messages.Message | None
) -> _Look:
    if after is not None:
        since = after
        look = await blocking(lambda: _changes(context, run_id, since, known))
        if look is not None:
            return look
    waiting = context.workloads.waiting(run_id)

    def snapshot() -> _Look:
        run, found = runs.whole(context, run_id, waiting)
        told = _written("snapshot", run.sequence, found)
        return _Look((told,), run.sequence, messages.run(run), run.phase.ended)

    return await blocking(snapshot)


def _changes(
    context: Context, run_id: str, after: int, known: messages.Message | None
) -> _Look | None:
    """Give what came after an event; None if only a snapshot can tell it."""
    run, found = context.store.runs.since(run_id, after, _BATCH)
    if any(isinstance(e, RunRetried) or (isinstance(e, TaskFailed) and e.nested) for e in found):
        return None
    changes = ((event.sequence, messages.change(event)) for event in found)
    told = tuple(_message("task", number, each) for number, each in changes if each is not None)
    after = found[-1].sequence if found else after
    if after < run.sequence:
        return _Look(told, after)
    now = messages.run(run)
    if now != known:
        told = (*told, _message("run", run.sequence, now))
    return _Look(told, after, now, run.phase.ended)


def _message(kind: str, number: int, message: messages.Message) -> bytes:
    return _written(kind, number, encoded(message))


def _written(kind: str, number: int, text: bytes) -> bytes:
    # JSON in ASCII on one line.
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), text)


class EventStream(Response):
    """A response of server-sent events.

    Args:
        told: the messages, made as they are taken.
        patience: seconds after which a client that takes nothing is cut off.
    """

    media_type = "text/event-stream"

    def __init__(self, told: AsyncGenerator[bytes], *, patience: float = PATIENCE) -> None:
        # Without a body: there is no length, and proxies are asked to pass on what comes.
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(headers=headers, media_type=self.media_type)
        del self.headers["content-length"]
        self._told = told
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is no more to tell, or the client is gone or takes nothing."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        if scope["method"] == "HEAD":
            await send(_body(b"", more=False))
            return
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            results = await asyncio.gather(sending, leaving, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self._told):
            try:
                async for message in self._told:
                    for first in range(0, len(message), _PIECE):
                        piece = message[first : first + _PIECE]
                        async with asyncio.timeout(self._patience):
                            await send(_body(piece, more=True))
            except TimeoutError:
                # The server closes what is not complete; the client comes again.
                log.info("a client that took nothing for %g s is cut off", self._patience)
                return
        await send(_body(b"", more=False))


def _body(piece: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


ROUTES = [Route("/runs/{run_id}:watch", watch, methods=["GET"])]
