"""Ports for servers that a test starts later, or again."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path


def free_ports(count: int = 1) -> list[int]:
    """Ports of 127.0.0.1 that nobody has, out of those that the kernel gives to nobody.

    One that it had chosen could be a connection's before it is bound, or while its server is down.
    """
    range_ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    lowest = int(range_.split()[0])
    drawn = random.SystemRandom().sample(range(10_000, max(lowest, 20_000)), 1000)
    found: list[int] = []
    for port in drawn:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"of 1000 ports only {found} are free")
