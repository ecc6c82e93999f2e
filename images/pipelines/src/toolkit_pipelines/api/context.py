"""What every route works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from toolkit_objects import ObjectStore

from ..contents import Contents
from ..delivery import Delayed
from ..imagemap import ImageMap
from ..paging import Pager
from ..root import PipelineRoot
from ..store import Store
from ..watchers import Watchers
from ..workloads import Workloads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """The service as the routes see it.

    Attributes:
        store: the records.
        pager: makes and reads page tokens.
        workloads: the engine's pods and files.
        watchers: the clients that follow runs.
        root: the pipeline root, that runs may name a folder of.
        contents: what artifacts hold.
        objects: the object store that new artifacts are kept in, or None.
        images: which images steps have in place of those that their pipelines name.
        namespace: the Kubernetes namespace that the service runs in; requests may name it.
        healthy: gives "" or why the engine is not at work.
        delayed: gives what cannot be told to MLflow just now.
        recorded: whether a run is kept while something of it waits to be told to MLflow.
        clock: seconds since the epoch.
        parsing: bounds how many specs are parsed at a time; one may take a second of CPU.
    """

    store: Store
    pager: Pager
    workloads: Workloads
    watchers: Watchers
    root: PipelineRoot
    contents: Contents
    objects: ObjectStore | None = None
    images: ImageMap = field(default_factory=ImageMap)
    namespace: str = ""
    healthy: Callable[[], str] = lambda: ""
    delayed: Callable[[], Delayed] = Delayed
    recorded: bool = False
    clock: Callable[[], float] = time.time
    parsing: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))


def context_of(request: Request) -> Context:
    """Give the context of the application that serves the request."""
    found: Context = request.app.state.context
    return found


async def blocking(function: Callable[[], T]) -> T:
    """Run a call of the store off the event loop."""
    return await anyio.to_thread.run_sync(function)
