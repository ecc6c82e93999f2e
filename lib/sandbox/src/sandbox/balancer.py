"""The process that answers on service addresses and balances over what serves them.

Run as `python -I -S balancer.py FOLDER`; it imports the standard library alone and nothing of
this package, so that it stays small. `FOLDER/routes.json` says what to listen on:

    {"generation": 7, "routes": [{"listen": "127.20.128.1", "port": 80,
                                  "targets": [["127.20.0.1", 80]]}]}

One balancer holds the lock `FOLDER/lock` and says in `FOLDER/process.json` which process it is;
a second one ends with exit code 3. `routes.json` is read at the start and at every SIGHUP.
`FOLDER/applied.json` answers with the generation that is in force and, by "address:port", why a
route could not be listened on. A program that listens on all addresses keeps its port, also while
it starts anew: what was in use once is listened on only when a target listens on its own address,
and until then such a program answers itself. Connections that are open stay open when routes
change. SIGTERM ends it.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # asyncio loads OpenSSL (5 MB) if it is there; nothing here speaks TLS.
    sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio
import contextlib
import errno
import fcntl
import itertools
import json
import os
import signal
import socket
import struct
from typing import Any

Address = tuple[str, int]

CONNECT_TIMEOUT = 5.0
RETRY = 5.0
BACKLOG = 512
LISTEN = "0A"
"""What the kernel's table of sockets has for one that listens."""


class Half(asyncio.Protocol):
    """One side of a connection: what arrives here goes out at `other`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Half | None = None
        self.ended = False
        self.early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise to TCP
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on."""
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self.early += data
            if self.transport:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Pass the end on; the other direction may go on for as long as it likes."""
        self.ended = True
        if not self.other or not self.transport or not self.other.transport:
            return True
        if self.other.ended:
            # Both directions have ended: nobody else would close these two.
            self.transport.close()
            self.other.transport.close()
            return False
        if not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """This side is slow: stop reading from the other."""
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side has caught up."""
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side too, after what was written there has gone out."""
        if self.other and self.other.transport:
            if exc is None:
                self.other.transport.close()
            else:
                self.other.transport.abort()


class Front(Half):
    """The client's side: picks a target, and reads nothing until that one has answered."""

    def __init__(self, route: Route) -> None:
        super().__init__()
        self.route = route

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold the client until a target has been reached."""
        super().connection_made(transport)
        assert self.transport  # noqa: S101 - set by the line above
        self.transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self.join())
        self.route.joining.add(task)
        task.add_done_callback(self.route.joining.discard)

    async def join(self) -> None:
        """Connect to the first target in turn that accepts; with none, the client is cut off."""
        assert self.transport  # noqa: S101 - join runs after connection_made
        for target in self.route.order():
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    back = await self.route.connect(target)
            except OSError:
                continue
            if self.transport.is_closing():
                if back.transport:
                    back.transport.abort()
                return
            back.other, self.other = self, back
            self.forward_early()
            self.transport.resume_reading()
            return
        self.transport.abort()

    def forward_early(self) -> None:
        """Pass on what came before there was a target.

        Up to Python 3.11.4 asyncio starts to read even though `connection_made` paused it.
        """
        assert self.other  # noqa: S101 - join has just set it
        assert self.other.transport  # noqa: S101 - connected
        if self.early:
            self.other.transport.write(bytes(self.early))
            self.early.clear()
        if self.ended:
            self.other.transport.write_eof()


class Route:
    """One address and port that is listened on, and where its connections go."""

    def __init__(self, listen: Address, targets: list[Address]) -> None:
        self.listen = listen
        self.targets = targets
        self.turn = itertools.count()
        self.server: asyncio.Server | None = None
        self.joining: set[asyncio.Task[None]] = set()

    def order(self) -> list[Address]:
        """The targets, starting with the one whose turn it is."""
        if not self.targets:
            return []
        first = next(self.turn) % len(self.targets)
        return self.targets[first:] + self.targets[:first]

    def listener(self) -> socket.socket:
        """The socket to listen with. Raises OSError."""
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    async def connect(self, target: Address) -> Half:
        """The other side of a connection to a target. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, back = await loop.create_connection(Half, *target)
        return back

    async def open(self) -> None:
        """Listen. Raises OSError."""
        listener = self.listener()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self.listen)
            self.server = await asyncio.get_running_loop().create_server(
                lambda: Front(self), sock=listener, backlog=BACKLOG
            )
        except OSError:
            listener.close()
            raise

    def close(self) -> None:
        """Stop listening; open connections go on."""
        if self.server:
            self.server.close()


class Balancer:
    """All routes, and the files they are read from and answered in."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.routes: dict[Address, Route] = {}
        self.failed: dict[str, str] = {}
        self.shadowed: set[Address] = set()

    async def load(self) -> None:
        """Bring the listeners up to the file."""
        document = self.read()
        wanted = {
            (route["listen"], int(route["port"])): [
                (host, int(port)) for host, port in route["targets"]
            ]
            for route in document["routes"]
        }
        for listen in self.routes.keys() - wanted.keys():
            self.routes.pop(listen).close()
        self.failed = {}
        self.shadowed &= wanted.keys()
        listening = listeners() if self.shadowed else set()
        for listen, targets in wanted.items():
            if listen in self.routes:
                self.routes[listen].targets = targets
                continue
            name = f"{listen[0]}:{listen[1]}"
            if listen in self.shadowed and not any(
                target in listening or not target[0].startswith("127.") for target in targets
            ):
                self.failed[name] = os.strerror(errno.EADDRINUSE)
                continue
            route = Route(listen, targets)
            try:
                await route.open()
            except OSError as error:
                self.failed[name] = os.strerror(error.errno or 0)
                if error.errno == errno.EADDRINUSE:
                    self.shadowed.add(listen)
            else:
                self.routes[listen] = route
                self.shadowed.discard(listen)
        self.write("applied.json", {"generation": document["generation"], "failed": self.failed})

    def read(self) -> Any:
        """The wanted routes as they are on disk."""
        with open(os.path.join(self.folder, "routes.json"), encoding="utf-8") as file:
            return json.load(file)

    def write(self, name: str, document: Any) -> None:
        """Put a file in place, whole."""
        write(self.folder, name, document)


def listeners() -> set[Address]:
    """Which addresses of this machine's are listened on, as the kernel tells it."""
    found = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for line in table:
            _, local, _, state, *_ = line.split()
            if state == LISTEN:
                host, port = local.split(":")
                packed = struct.pack("=I", int(host, 16))
                found.add((socket.inet_ntoa(packed), int(port, 16)))
    return found


def write(folder: str, name: str, document: Any) -> None:
    """Put a file in place, whole."""
    path = os.path.join(folder, name)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(path + ".new", path)


def identity(pid: int) -> dict[str, Any]:
    """Which process has this pid, as `sandbox.process.Identity` has it."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        started = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        boot = file.read().strip()
    return {"pid": pid, "started": started, "boot": boot}


def identify(folder: str) -> int:
    """Say which process this is; the lock's descriptor, to be kept for as long as it lives.

    Raises:
        BlockingIOError: another process serves the folder.
    """
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write(folder, "process.json", identity(os.getpid()))
    except BaseException:
        os.close(lock)
        raise
    return lock


async def serve(folder: str) -> int:
    """Serve until SIGTERM and return the exit code.

    What could not be listened on is tried again now and then.
    """
    loop = asyncio.get_running_loop()
    changed, ended = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    balancer = Balancer(folder)
    try:
        identify(folder)
    except BlockingIOError:
        print("another balancer serves this folder", file=sys.stderr)  # noqa: T201 - its log
        return 3
    changed.set()
    ending = asyncio.ensure_future(ended.wait())
    while not ended.is_set():
        waiting = asyncio.ensure_future(changed.wait())
        await asyncio.wait(
            {waiting, ending},
            timeout=RETRY if balancer.failed else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        waiting.cancel()
        changed.clear()
        if not ended.is_set():
            try:
                await balancer.load()
            except (OSError, ValueError, KeyError, TypeError) as error:
                print(f"routes.json: {error!r}; kept the old", file=sys.stderr, flush=True)  # noqa: T201 - its log
    for route in balancer.routes.values():
        route.close()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(serve(sys.argv[1])))
