"""What every route works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from ..paging import Pager
from ..root import PipelineRoot
from ..store import Store
from ..workloads import Workloads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """The service as the routes see it.

    Attributes:
        store: the records.
        pager: makes and reads page tokens.
        workloads: the engine's pods and files.
        root: the pipeline root; artifacts lie below its folder.
        namespace: the Kubernetes namespace that the service runs in; requests may name it.
        healthy: gives "" or why the engine is not at work.
        clock: seconds since the epoch.
        parsing: bounds how many specs are parsed at a time; one may take a second of CPU.
    """

    store: Store
    pager: Pager
    workloads: Workloads
    root: PipelineRoot
    namespace: str = ""
    healthy: Callable[[], str] = lambda: ""
    clock: Callable[[], float] = time.time
    parsing: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))


def context_of(request: Request) -> Context:
    """Give the context of the application that serves the request."""
    found: Context = request.app.state.context
    return found


async def blocking(function: Callable[[], T]) -> T:
    """Run a call of the store off the event loop."""
    return await anyio.to_thread.run_sync(function)
