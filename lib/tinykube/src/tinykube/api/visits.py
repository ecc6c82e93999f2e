"""The subresources of pods that are conversations: exec, attach, portforward."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from tinykube import answers, kinds, objects, podlog, request, status
from tinykube.api.context import Context
from tinykube.node.client import LogOptions, LogsError, Streams, VisitError
from tinykube.objects import JSON
from tinykube.rbac import Attributes, Caller
from tinykube.status import ApiError
from tinykube.store import StorageError
from tinykube.streams import channels, forwarding, sessions, spdy
from tinykube.streams.channels import V4, V5, Channels

log = logging.getLogger(__name__)

ACTIONS = ("exec", "attach", "portforward")
_MAX_PORTS = 16


class Visits:
    """Serves the conversations with pods."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def refuse(self, http: Request) -> Response:
        """A request that is no WebSocket: SPDY is not spoken."""
        raise status.bad_request(
            "Upgrade request required: exec, attach and port-forward are served over WebSockets "
            f"({V5}, {V4}; {spdy.TUNNEL} for port-forward), not over {http.method} or SPDY"
        )

    async def serve(self, socket: WebSocket) -> None:
        """Serve one WebSocket."""
        names = socket.path_params
        try:
            await self._serve(socket, names["namespace"], names["name"], names["action"])
        except ApiError as error:
            await answers.error(error)(socket.scope, socket.receive, socket.send)
        except StorageError as error:
            log.error("%s: %s", socket.url.path, error)
            refusal = answers.error(status.internal(str(error)))
            await refusal(socket.scope, socket.receive, socket.send)

    async def _serve(self, socket: WebSocket, namespace: str, name: str, action: str) -> None:
        who: Caller = socket.scope["caller"]
        asked = Attributes("create", "", f"pods/{action}", namespace, name)
        if not self._context.registry.authorizer.allowed(who, asked):
            raise status.forbidden("pods", "", name, asked.denial(who))
        if action not in ACTIONS:
            raise status.unknown_path()
        pod = objects.load(self._context.registry.get(kinds.PODS, namespace, name))
        if not pod["spec"].get("nodeName"):
            raise status.bad_request(f"pod {name} does not have a host assigned")
        if action == "portforward":
            await self._forward(socket, pod)
            return
        query = socket.query_params
        protocol = channels.choose(socket.scope["subprotocols"], (V5, V4))
        if protocol is None:
            raise status.bad_request(f"the WebSocket must offer {V5} or {V4}")
        container = podlog.container(pod, query.get("container", ""))
        # Both outputs are the default of attach alone.
        plain = action == "attach"
        wanted = Streams(
            stdin=request.flag(query, "stdin"),
            stdout=request.flag(query, "stdout") or (plain and "stdout" not in query),
            stderr=request.flag(query, "stderr") or (plain and "stderr" not in query),
            terminal=request.flag(query, "tty"),
        )
        if not (wanted.stdin or wanted.stdout or wanted.stderr):
            raise status.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        if action == "exec":
            await self._execute(socket, protocol, pod, container, wanted)
        else:
            await self._attach(socket, protocol, pod, container)

    async def _execute(
        self, socket: WebSocket, protocol: str, pod: JSON, container: str, wanted: Streams
    ) -> None:
        command = socket.query_params.getlist("command")
        if not command or any("\0" in word for word in command):
            raise status.bad_request("you must specify a command, without NUL")
        try:
            execution = await self._context.logs.execute(pod, container, command, wanted)
        except VisitError as error:
            await _fail(socket, protocol, str(error))
            return
        try:
            link = await _accept(socket, protocol)
            await sessions.execute(link, execution)
            await link.close()
        finally:
            await execution.close()

    async def _attach(self, socket: WebSocket, protocol: str, pod: JSON, container: str) -> None:
        options = LogOptions(follow=True, tail_lines=0)
        output = self._context.logs.logs(pod, container, options)
        # What cannot be read is told before the WebSocket is accepted.
        first = asyncio.ensure_future(anext(output, b""))
        await asyncio.wait((first,), timeout=0.1)
        try:
            if first.done() and (error := first.exception()) is not None:
                await _fail(socket, protocol, str(error))
                return
            link = await _accept(socket, protocol)
            await sessions.attach(link, _chain(first, output))
            await link.close()
        finally:
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError, LogsError):
                await first
            close = getattr(output, "aclose", None)
            if close is not None:
                await close()

    async def _forward(self, socket: WebSocket, pod: JSON) -> None:
        node = self._context.logs

        async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await node.connect(pod, port)

        protocol = channels.choose(socket.scope["subprotocols"], (spdy.TUNNEL, V4))
        if protocol is None:
            raise status.bad_request(f"the WebSocket must offer {spdy.TUNNEL} or {V4}")
        if protocol == spdy.TUNNEL:
            await socket.accept(protocol)
            await spdy.Forwarding(socket, connect).run()
            return
        ports = _ports(socket.query_params.getlist("ports"))
        await socket.accept(protocol)
        link = Channels(socket)
        await forwarding.forward(link, ports, connect)
        await link.close()


def _ports(given: list[str]) -> list[int]:
    """The query's ports. Raises ApiError 400."""
    words = [word for part in given for word in part.split(",")]
    if not words or len(words) > _MAX_PORTS:
        raise status.bad_request(f'query parameter "ports" must have 1 to {_MAX_PORTS} ports')
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 65536 for word in words):
        raise status.bad_request(f"unable to parse ports {', '.join(words)[:80]!r}")
    return [int(word) for word in words]


async def _fail(socket: WebSocket, protocol: str, message: str) -> None:
    """Tell what went wrong as clients expect it: a refused WebSocket makes them try SPDY."""
    await socket.accept(protocol)
    link = Channels(socket)
    await link.send(channels.ERROR, objects.dump(status.internal(message).status()).encode())
    await link.close()


async def _accept(socket: WebSocket, protocol: str) -> Channels:
    await socket.accept(protocol)
    link = Channels(socket)
    # It tells the client that the streams are there, as Kubernetes does.
    await link.send(channels.STDOUT, b"")
    return link


async def _chain(first: asyncio.Future[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # A first chunk without anything tells that the log can be read; an end is told by the rest.
    if chunk := await first:
        yield chunk
    async for more in rest:
        yield more
