"""The output of a task, while it runs and after its pod is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .. import naming, runstate
from ..runstate import TaskState
from ..store.interface import NotFoundError
from .context import blocking, context_of
from .errors import invalid


async def read(request: Request) -> Response:
    """GET /runs/{run_id}/nodes/{node_id}/log.

    The node is a task's id or its pod's name. `?follow=true` goes on until the attempt ends,
    `?attempt=0` gives an earlier one.
    """
    context, params = context_of(request), request.path_params
    run_id, node_id = params["run_id"], params["node_id"]
    follow = request.query_params.get("follow", "").lower()
    if follow not in ("", "true", "false"):
        raise invalid("follow", "must be true or false")
    wanted = request.query_params.get("attempt", "")
    if wanted and not (wanted.isascii() and wanted.isdigit() and len(wanted) < 7):
        raise invalid("attempt", "must be the number of an attempt, from 0")

    def find() -> TaskState:
        state = runstate.fold(context.store.runs.events(run_id))
        for task in state.tasks.values():
            if node_id in (task.pod, naming.task_id(run_id, task.path)):
                return task
        raise NotFoundError(f"run {run_id} has no task {node_id[:80]!r}")

    task = await blocking(find)
    attempt = int(wanted) if wanted else task.attempt
    if attempt > task.attempt:
        raise NotFoundError(f"task {task.path!r} has no attempt {attempt}")
    chunks = context.workloads.logs(run_id, task.path, attempt, follow=follow == "true")
    if follow != "true":
        # A store that does not answer is an error, rather than a response that breaks off. One
        # that follows is answered before there is anything.
        chunks = await _begun(chunks)
    return StreamingResponse(
        chunks, media_type="text/plain", headers={"x-content-type-options": "nosniff"}
    )


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Wait for the first chunk; give all of them."""
    first = await anext(chunks, b"")

    async def every() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return every()


ROUTES = [Route("/runs/{run_id}/nodes/{node_id}/log", read, methods=["GET"])]
