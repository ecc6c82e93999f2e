"""The daemon: the API server, the control loops and the node, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sandbox import lock
from sandbox.execution import Execution
from tinykube import backup, bootstrap, config, discovery, events, pki, serving
from tinykube.api import Api, Context
from tinykube.config import Config, ConfigError, Folder
from tinykube.control import Loop
from tinykube.controllers.aggregation import Aggregator
from tinykube.controllers.ephemeral import EphemeralVolumes
from tinykube.controllers.garbage import Collector, NamespaceCleaner
from tinykube.controllers.jobs.controller import JobController
from tinykube.controllers.nodes.eviction import TaintEviction
from tinykube.controllers.nodes.lifecycle import NodeLifecycle
from tinykube.controllers.nodes.orphans import OrphanCollector
from tinykube.controllers.quotas import QuotaController
from tinykube.controllers.services.controller import EndpointsController
from tinykube.controllers.services.naming import Naming
from tinykube.controllers.services.proxy import ServiceProxy
from tinykube.controllers.volumes import Binder
from tinykube.crd.establisher import Establisher
from tinykube.kubeconfig import write_kubeconfig
from tinykube.kubelets import Kubelets
from tinykube.local import LocalClient
from tinykube.node.client import Endpoint, LogOptions, NodeClient, Streams
from tinykube.node.neighbours import Names
from tinykube.node.usage import Usage
from tinykube.objects import JSON
from tinykube.registry import Registry
from tinykube.scheduler import Scheduler
from tinykube.store import DamagedError, StorageError, Store
from tinykube.tokens import Tokens
from tinykube.watch import Hub

log = logging.getLogger(__name__)

# How many more objects than were freed make the collector look.
_COLLECT = 20_000
# After how many such looks what outlived one is looked at as well.
_OLDER = 1
# Seconds that one thread may work at a stretch while another waits.
_TURN = 0.0005

ADDRESS = "127.0.0.1"


class StartError(Exception):
    """The daemon cannot start; the message says why and what to do."""


class Node:
    """What the daemon needs of a node; `tinykube.node.agent.Agent` is one."""

    async def run(self) -> None:
        """Serve until cancelled."""
        raise NotImplementedError

    def offer(self, capacity: Mapping[str, str]) -> None:
        """Offer another capacity from now on."""
        raise NotImplementedError

    def rename(self, names: Names) -> None:
        """Tell the pods of these services."""
        raise NotImplementedError

    async def execute(
        self, pod: JSON, container: str, command: Sequence[str], wanted: Streams
    ) -> Execution:
        """Run a command in a container."""
        raise NotImplementedError

    async def usage(self, pods: Sequence[JSON]) -> dict[tuple[str, str], Usage]:
        """What containers use."""
        raise NotImplementedError

    async def machines(self) -> dict[str, Usage]:
        """What the machine uses."""
        raise NotImplementedError

    async def connect(
        self, pod: JSON, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of a pod."""
        raise NotImplementedError

    def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Stream a container's log."""
        raise NotImplementedError


@contextlib.contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold the lock of the data folder; it holds our pid. Raises StartError if another does."""
    try:
        descriptor = lock.hold(folder.lock)
    except lock.HeldError as error:
        raise StartError(
            f"tinykube already runs on {folder.root} (process {error.pid}); "
            "`tinykube status` shows it, `tinykube stop` ends it"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def bind(port: int) -> socket.socket:
    """The listening socket. Raises StartError if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # Connections take it over. An answer is several small writes: without it each waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {port} of {ADDRESS} is in use{_holder(port)}; end that program, or set "
                "another `port` in tinykube's config.yaml"
            ) from None
        raise StartError(f"cannot listen on {ADDRESS}:{port}: {error.strerror}") from error
    return listener


def _holder(port: int) -> str:
    """Who listens on a port, as far as /proc lets us see: ` by NAME (process PID)`."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        # Other users' processes cannot be looked into, and any may end meanwhile.
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in inodes:
                        name = (process / "comm").read_text(encoding="utf-8").strip()
                        return f" by {name} (process {process.name})"
    return ""


class Daemon:
    """One control plane with its node.

    Args:
        folder: the data folder.
        settings: the config as read at the start.
        node: makes the node; by default the agent that runs pods as processes.
    """

    def __init__(self, folder: Folder, settings: Config, listener: socket.socket) -> None:
        self._folder = folder
        self._settings = settings
        self._listener = listener
        self._port: int = listener.getsockname()[1]
        self._problems: dict[str, str] = {}
        self.store = Store(folder.database)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the daemon; pods run on."""
        self._stop.set()

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Serve until `stop` is called."""
        keys = pki.prepare(self._folder.keys, ADDRESS)
        registry = Registry(self.store)
        registry.root_ca = keys.authority.read_text(encoding="ascii")
        registry.subnet = self._subnet = config.subnet(self._folder)
        registry.unavailable = self._unavailable()
        bootstrap.run(registry)
        bootstrap.announce(registry, ADDRESS, self._port)
        hub = Hub(self.store)
        registry.catalog.listen(hub.end)
        tokens = Tokens(self.store, keys.signer, keys.admin_token)
        endpoint = Endpoint(ADDRESS, self._port, registry.root_ca)
        node = self.make_node(LocalClient(registry, hub, tokens, endpoint))
        logs = Kubelets(
            self.store, node_name(), node, keys.authority, keys.client, keys.client_key
        )
        context = Context(registry, hub, tokens, logs, f"{ADDRESS}:{self._port}", self._health)
        api = Api(context)
        server = serving.Server(
            serving.settings(api.app(), keys.certificate, keys.key, keys.authority)
        )
        write_kubeconfig(self._folder.kubeconfig, self._port, keys)
        loops: list[Loop] = [
            Scheduler(registry),
            Aggregator(registry),
            Binder(registry, self._folder.volumes),
            EphemeralVolumes(registry),
            Collector(registry),
            Establisher(registry),
            NamespaceCleaner(registry),
            JobController(registry),
            QuotaController(registry),
            NodeLifecycle(registry),
            TaintEviction(registry),
            OrphanCollector(registry),
            EndpointsController(registry),
            Naming(registry, node.rename),
        ]
        work = {asyncio.create_task(loop.run(), name=loop.name) for loop in loops}
        work.add(asyncio.create_task(events.forget(registry), name="old events"))
        work.add(asyncio.create_task(self._follow_config(node), name="config"))
        work.add(asyncio.create_task(node.run(), name="node"))
        serving_ = ServiceProxy(registry, self._folder.proxy)
        work.add(asyncio.create_task(serving_.run(), name=serving_.name))
        copying = backup.keep(
            lambda: backup.write(self._folder.database, self._folder.backup),
            lambda: self.store.version,
            self._tell_backup,
        )
        work.add(asyncio.create_task(copying, name="backup"))
        accepting = asyncio.create_task(server.serve(sockets=[self._listener]), name="server")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        _settle()
        log.info("serving on https://%s:%s from %s", ADDRESS, self._port, self._folder.root)
        if ready is not None:
            ready.set()
        try:
            await serving.until_stopped({*work, accepting}, stopping)
        finally:
            hub.close()
            server.end()
            for task in work:
                task.cancel()
            stopping.cancel()
            await asyncio.gather(*work, accepting, stopping, return_exceptions=True)
            self.store.close()
            self._copy_store()
            log.info("ended")

    def _unavailable(self) -> Callable[[JSON], Iterable[str]]:
        from sandbox.images import ImageStore
        from tinykube.availability import Availability

        return Availability(self.store, node_name(), self._folder.config, ImageStore()).warnings

    def _copy_store(self) -> None:
        try:
            backup.write(self._folder.database, self._folder.backup)
        except backup.BackupError as error:
            log.error("%s; the copy before is kept", error)

    def _tell_backup(self, problem: str) -> None:
        if problem:
            self._problems["backup"] = problem
        else:
            self._problems.pop("backup", None)

    def make_node(self, client: NodeClient) -> Node:
        """The node: the agent that runs pods as processes."""
        from tinykube.node.agent import Agent
        from tinykube.node.gpus import inventory

        agent: Node = Agent(  # type: ignore[assignment]  # it has what Node asks for
            client,
            name=node_name(),
            folder=self._folder.node,
            config=self._folder.config,
            capacity=self._settings.capacity,
            version=discovery.GIT_VERSION,
            address=ADDRESS,
            gpus=self._settings.gpus,
            nvml=inventory.library(),
            processes=self._settings.pod_pids,
            subnet=self._subnet,
        )
        return agent

    def _health(self) -> list[str]:
        return [f"{name}: {problem}" for name, problem in sorted(self._problems.items())]

    async def _follow_config(self, node: Node) -> None:
        """Take over a changed capacity; a wrong config is told and the last good one kept."""
        async for new in config.changes(self._folder.config):
            if isinstance(new, ConfigError):
                log.error("%s; the config as it was before stays in force", new)
                self._problems["config"] = str(new)
                continue
            self._problems.pop("config", None)
            old = self._settings
            if (new.port, new.gpus, new.pod_pids) != (old.port, old.gpus, old.pod_pids):
                log.warning(
                    "a new port, new gpus and a new podPidsLimit take effect when tinykube is "
                    "started again"
                )
            node.offer(new.capacity)
            self._settings = new
            log.info("took over the changed config")


def node_name() -> str:
    """The node's name: the machine's, as a name of Kubernetes."""
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-.") else "-"
        for letter in socket.gethostname().lower()
    )
    return name.strip("-.")[:63].strip("-.") or "localhost"


def _settle() -> None:
    """Keep what was loaded out of the collector's way, and give spare memory back."""
    gc.collect()
    gc.freeze()
    # An object of the API is a hundred dictionaries: by Python's own numbers the collector would
    # look for circles ten times for each pod, and find none. A pod that has been run is one, and
    # outlives a look or two: all is looked at soon after, which is little beside what is frozen.
    gc.set_threshold(_COLLECT, _OLDER, _OLDER)
    # A thread that starts a container would wait for the loop ten times, each time as long as it
    # may work at a stretch: 5 ms.
    sys.setswitchinterval(_TURN)


async def serve(folder: Folder, *, ready: asyncio.Event | None = None) -> None:
    """Run the daemon on a data folder until SIGTERM or SIGINT.

    Raises:
        StartError: it cannot start.
    """
    os.umask(0o077)
    try:
        folder.make()
        settings = config.read(folder.config)
    except (ConfigError, OSError) as error:
        raise StartError(str(error)) from error
    with locked(folder):
        listener = bind(settings.port)
        with listener:
            try:
                daemon = Daemon(folder, settings, listener)
            except DamagedError as error:
                found = backup.age(folder.backup)
                copied = f"the copy is of {found}" if found else "there is no copy yet"
                raise StartError(f"{error} ({copied})") from error
            except StorageError as error:
                raise StartError(str(error)) from error
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, daemon.stop)
            try:
                await daemon.run(ready)
            except (StorageError, OSError) as error:
                raise StartError(str(error)) from error
