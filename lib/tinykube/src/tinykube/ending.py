"""The end of every pod's processes, for a machine that is to be left as if nothing ran."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from sandbox.container import Container
from sandbox.proxy import Proxy
from tinykube.node.runs import directories

_SECONDS = 5.0
_PAUSE = 0.02
# What the pods' containers are reported to have ended of once the node is back.
REASON = "NodeShutdown"


def end_all(node: Path) -> int:
    """Kill every container below the node's folder; how many ran.

    The daemon must have ended, or it would start some of them again. What the pods left (logs,
    volumes, how they ended) stays.

    Raises:
        TimeoutError: a container still ran after a while.
    """
    running = [
        container
        for pod in sorted(node.glob("pods/*"))
        for place in directories(pod)
        if place.is_dir() and (container := Container.adopt(place)) is not None
        if container.running()
    ]
    for container in running:
        container.kill(REASON)
    end = time.monotonic() + _SECONDS
    for container in running:
        while container.running():
            if time.monotonic() > end:
                raise TimeoutError(f"process {container.pid} does not end")
            time.sleep(_PAUSE)
    return len(running)


def end_proxy(folder: Path) -> None:
    """End the process that listens on services' addresses, if it runs."""
    asyncio.run(Proxy(folder).stop())
