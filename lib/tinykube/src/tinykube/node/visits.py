"""What people do in running containers: run commands, reach ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sandbox import limits
from sandbox.container import Container
from sandbox.execution import Execution, ExecutionError, execute
from tinykube import objects, podspec
from tinykube.node.client import JSON, Streams, VisitError
from tinykube.node.runs import Runs

_LISTENING = "0A"


def running(folder: Path, name: str) -> Container | None:
    """A pod's container of that name, if it runs."""
    found = Runs(folder, name).newest()
    return found[1] if found is not None and found[1].exit() is None else None


def containers(folder: Path, pod: JSON) -> dict[str, Container]:
    """A pod's running containers by their names."""
    names = [item["name"] for _, item in podspec.containers(pod)]
    return {name: found for name in names if (found := running(folder, name)) is not None}


async def run(folder: Path, name: str, command: Sequence[str], wanted: Streams) -> Execution:
    """Run a command in a container of a pod. Raises VisitError.

    Args:
        folder: the pod's folder.
        name: the container's name.
        command: the argument list.
        wanted: the streams to have.
    """
    container = running(folder, name)
    if container is None:
        raise VisitError(f'container not found ("{name}"): it does not run')
    try:
        return await execute(
            container,
            command,
            stdin=wanted.stdin,
            stdout=wanted.stdout,
            stderr=wanted.stderr,
            terminal=wanted.terminal,
            variables={"TERM": "xterm"} if wanted.terminal else None,
        )
    except ExecutionError as error:
        raise VisitError(str(error)) from error


async def connect(
    folder: Path, pod: JSON, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port on which a process of the pod listens. Raises VisitError.

    Pods share the machine's network: without this check, who may reach a pod's ports could reach
    every port of the machine.
    """
    pids = [pid for found in containers(folder, pod).values() for pid in limits.processes(found)]
    address = await asyncio.to_thread(_address, pids, port)
    if address is None:
        raise VisitError(
            f"error forwarding port {port} to pod {objects.name(pod)}: connection refused: no"
            " process of the pod listens on it"
        )
    try:
        return await asyncio.open_connection(address, port)
    except OSError as error:
        raise VisitError(
            f"error forwarding port {port} to pod {objects.name(pod)}: {error.strerror or error}"
        ) from error


def _address(pids: Iterable[int], port: int) -> str | None:
    """Where one of the processes listens on a port."""
    listeners = dict(_listeners(port))
    for pid in pids:
        # A process may end meanwhile.
        with contextlib.suppress(OSError):
            for descriptor in Path("/proc", str(pid), "fd").iterdir():
                with contextlib.suppress(OSError):
                    if (found := listeners.get(os.readlink(descriptor))) is not None:
                        return found
    return None


def _listeners(port: int) -> Iterator[tuple[str, str]]:
    """The sockets that listen on a port, as /proc names them, with an address to reach each."""
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = Path("/proc/net", table).read_text("ascii").splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            host, _, number = fields[1].rpartition(":")
            if fields[3] == _LISTENING and int(number, 16) == port:
                yield f"socket:[{fields[9]}]", _reachable(host, family)


def _reachable(host: str, family: socket.AddressFamily) -> str:
    """An address of /proc/net/tcp as text; loopback for one that means all."""
    # Groups of four bytes, each in the machine's own order, which is little-endian here.
    raw = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    if not any(raw):
        return "127.0.0.1" if family == socket.AF_INET else "::1"
    return socket.inet_ntop(family, raw)
