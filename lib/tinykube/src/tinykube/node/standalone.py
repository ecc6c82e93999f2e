"""A node of a control plane elsewhere: the agent and its HTTPS server in their own process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinykube import config, discovery, pki, serving
from tinykube.config import ConfigError
from tinykube.node import connection, server
from tinykube.node.agent import Agent
from tinykube.node.client import JSON
from tinykube.node.connection import KubeconfigError
from tinykube.node.gpus import inventory
from tinykube.node.remote import RemoteClient

log = logging.getLogger(__name__)

PORT = 10250


class NodeError(Exception):
    """The node cannot start; the message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a node is told when it is started.

    Attributes:
        kubeconfig: the control plane, and the node's identity there (`system:node:NAME`).
        name: the node's name.
        folder: the node's data; what must outlive it is below.
        config: the config file: `capacity`, `images`, `hostPaths`, `gpus`.
        address: where it listens and what it reports as InternalIP.
        port: where it listens; 0 for a free one.
        certificate, key: of its HTTPS server; None for one that it signs itself.
        clients: the authority of those who may come with a certificate.
        labels, taints: of its Node.
    """

    kubeconfig: Path
    name: str
    folder: Path
    config: Path
    address: str = "127.0.0.1"
    port: int = PORT
    certificate: Path | None = None
    key: Path | None = None
    clients: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[JSON] = ()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the node's folder: two agents on it would run each pod twice."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NodeError(
                f"another node runs on {folder}; give each its own by --data"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise NodeError(
            f"cannot listen on {address}:{port}: {error.strerror}; choose another by --port"
        ) from error
    return listener


async def serve(options: Options, stop: asyncio.Event) -> None:
    """Run a node until `stop` is set; its pods run on.

    Raises:
        NodeError: it cannot start.
    """
    with _locked(options.folder):
        try:
            settings = config.read(options.config)
            reached = connection.read(options.kubeconfig, options.folder / "pki")
            if options.certificate is not None and options.key is not None:
                certificate, key = options.certificate, options.key
            else:
                certificate, key = pki.self_signed(
                    options.folder / "pki", options.name, options.address
                )
        except (ConfigError, KubeconfigError, OSError) as error:
            raise NodeError(str(error)) from error
        with _listen(options.address, options.port) as listener:
            client = RemoteClient(reached, f"tinykube/{discovery.GIT_VERSION}")
            agent = Agent(
                client,
                name=options.name,
                folder=options.folder,
                config=options.config,
                capacity=settings.capacity,
                version=discovery.GIT_VERSION,
                address=options.address,
                port=listener.getsockname()[1],
                labels=options.labels,
                taints=options.taints,
                folders=settings.folders,
                gpus=settings.gpus,
                nvml=inventory.library(),
                processes=settings.pod_pids,
            )
            https = serving.Server(
                serving.settings(server.app(agent, client), certificate, key, options.clients)
            )
            try:
                await _work(agent, https, listener, options, stop)
            finally:
                await client.close()


async def _work(
    agent: Agent,
    https: serving.Server,
    listener: socket.socket,
    options: Options,
    stop: asyncio.Event,
) -> None:
    accepting = asyncio.create_task(https.serve(sockets=[listener]), name="server")
    work = {
        asyncio.create_task(agent.run(), name="agent"),
        asyncio.create_task(_follow(agent, options.config), name="config"),
    }
    stopping = asyncio.create_task(stop.wait(), name="stop")
    log.info("node %s on %s:%s", agent.name, options.address, agent.port)
    try:
        await serving.until_stopped({*work, accepting}, stopping)
    finally:
        https.end()
        stopping.cancel()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, accepting, stopping, return_exceptions=True)
        log.info("ended")


async def _follow(agent: Agent, path: Path) -> None:
    async for new in config.changes(path):
        if isinstance(new, ConfigError):
            log.error("%s; the config as it was before stays in force", new)
        else:
            agent.offer(new.capacity)
            log.info("took over the changed config")
