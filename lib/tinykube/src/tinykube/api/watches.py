"""Watches: a stream of what changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, objects, request, status
from tinykube.api import forms, versions
from tinykube.api.context import Context
from tinykube.api.forms import Form
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.request import Target
from tinykube.status import ApiError
from tinykube.watch import Watch, snapshot

_MAX_WATCHES = 2000
_BOOKMARK_SECONDS = 60.0
_GATHER = 0.005
_WATCH_SECONDS = 1800


class Watches:
    """Serves watches."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def answer(self, http: Request, target: Target, resource: Resource) -> Response:
        """A stream of what changes."""
        form = forms.asked(http)
        query = http.query_params
        selector = request.selector(query, resource)
        bookmarks = request.flag(query, "allowWatchBookmarks")
        seconds = request.number(query, "timeoutSeconds", least=0)
        initial = query.get("sendInitialEvents")
        wants_all = request.flag(query, "sendInitialEvents")
        if initial is not None and query.get("resourceVersionMatch") != "NotOlderThan":
            raise status.bad_request(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        if len(self._context.hub) >= _MAX_WATCHES:
            raise ApiError(
                429,
                "TooManyRequests",
                f"there are {_MAX_WATCHES} watches, the most that are served; end some",
                retry_after=10,
            )
        given = query.get("resourceVersion", "")
        fresh = given in ("", "0")
        start = self._context.store.version if fresh else versions.read(given)
        try:
            versions.check_reached(self._context.store, start)
            watch = self._context.hub.watch(
                resource,
                target.namespace,
                selector,
                self._context.store.version if wants_all else start,
            )
        except ApiError as error:
            return answers.Stream(_one(_error_line(error)), answers.JSON_TYPE)
        listed = wants_all or (fresh and initial is None)
        # Clients that ask for no end get one at a time of their own, so that not all come back
        # at once.
        limit = seconds or _WATCH_SECONDS + random.randrange(_WATCH_SECONDS)  # noqa: S311 - a delay
        lines = self._lines(
            watch, form, limit, listed=listed, bookmarks=bookmarks, marked=wants_all
        )
        return answers.Stream(lines, answers.JSON_TYPE)

    async def _lines(
        self,
        watch: Watch,
        form: Form,
        seconds: float,
        *,
        listed: bool,
        bookmarks: bool,
        marked: bool,
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        hub, end, first = self._context.hub, loop.time() + seconds, True
        try:
            if listed:
                for event in snapshot(self._context.store, watch):
                    yield form.event(watch.resource, event, first=first)
                    first = False
            if marked and bookmarks:
                yield _bookmark(watch, form, first=first, initial=True)
            while not (hub.closing or watch.ended) and (left := end - loop.time()) > 0:
                try:
                    async with asyncio.timeout(min(left, _BOOKMARK_SECONDS)):
                        await watch.more.wait()
                except TimeoutError:
                    if bookmarks:
                        yield _bookmark(watch, form, first=first)
                    continue
                # What comes within a moment goes along: a write on the socket, and the client's
                # waking, cost more than most changes.
                await asyncio.sleep(_GATHER)
                lines = []
                for event in watch.take():
                    lines.append(form.event(watch.resource, event, first=first))
                    first = False
                if lines:
                    yield b"".join(lines)
        except ApiError as error:
            yield _error_line(error)
        finally:
            watch.close()


def _bookmark(watch: Watch, form: Form, *, first: bool, initial: bool = False) -> bytes:
    meta: JSON = {"resourceVersion": str(watch.position), "creationTimestamp": None}
    if initial:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    obj = {
        "kind": watch.resource.kind,
        "apiVersion": watch.resource.api_version,
        "metadata": meta,
    }
    return form.line(watch.resource, "BOOKMARK", obj, first=first)


def _error_line(error: ApiError) -> bytes:
    text = objects.dump({"type": "ERROR", "object": error.status()})
    return f"{text}\n".encode("ascii")


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk
