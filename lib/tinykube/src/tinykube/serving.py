"""HTTPS by uvicorn: the API server's part and the node's."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tinykube.gathering import Gathering

# The key of `scope["state"]` that holds the client's certificate (DER), if it has shown one.
PEER = "peer"


class Server(uvicorn.Server):
    """uvicorn's server, which sleeps until it is told to end instead of ticking."""

    def __init__(self, settings: uvicorn.Config) -> None:
        super().__init__(settings)
        self.ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's business."""
        yield

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self.ending.wait()

    def end(self) -> None:
        """Have `serve` return soon."""
        self.ending.set()
        self.should_exit = True


async def until_stopped(tasks: set[asyncio.Task[None]], stopping: asyncio.Task[Any]) -> None:
    """Wait for `stopping`. None of `tasks` ends by itself: without one it would be half a daemon.

    Raises:
        RuntimeError: one of them has ended; or what it has failed of.
    """
    done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stopping}:
        task.result()
        raise RuntimeError(f"the task {task.get_name()!r} ended")


class _Protocol(HttpToolsProtocol):
    """Tells the application who is at the other end, and sends together what belongs together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the client's certificate: the handshake has verified it."""
        found = transport.get_extra_info("ssl_object")
        shown = found.getpeercert(binary_form=True) if found is not None else None
        if shown is not None:
            self.app_state = {**self.app_state, PEER: shown}
        super().connection_made(Gathering(transport, self.loop))


def settings(
    app: ASGIApp, certificate: Path, key: Path, clients: Path | None = None
) -> uvicorn.Config:
    """How to serve an application.

    Args:
        app: the application.
        certificate: the server's certificate, PEM.
        key: its private key.
        clients: the authority of clients' certificates; without it none is asked for. A client
            may still come without one.
    """
    made = uvicorn.Config(
        app,
        http=_Protocol,
        ws="wsproto",
        ws_max_size=4 << 20,
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        ssl_ca_certs=None if clients is None else str(clients),
        ssl_cert_reqs=ssl.CERT_NONE if clients is None else ssl.CERT_OPTIONAL,
        # Longer than clients keep a connection, so that none meets a closed one.
        timeout_keep_alive=300,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=65_536,
    )
    made.load()
    if made.ssl is not None:
        made.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
