"""Runs made again from their record, and what two runs gave side by side (not of KFP)."""

from __future__ import annotations

import hashlib
import uuid

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import comparison, installs, naming, provenance, spec
from ..comparison import Outcome, Pair, TaskComparison
from ..macros import Occasion
from ..runstate import RunState
from ..spec.model import Container, Pipeline
from ..store.interface import Run
from ..store.runs import WholeRun
from ..submissions import new_run
from . import messages, specs
from .context import Context, blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import MessageResponse

PENDING = "PENDING"
"""What a comparison comes to while one of the runs goes on."""
_SHOWN = 5


async def reproduce(request: Request) -> Response:
    """POST /runs/{run_id}:reproduce: a new run of the same spec, parameters and place.

    It takes nothing from the cache. Refused if the run has not ended, or if the packages that a
    task had are known to be others by now.
    """
    context, run_id = context_of(request), request.path_params["run_id"]
    found = await blocking(lambda: context.store.runs.whole(run_id))
    if not found.run.phase.ended:
        raise ApiError(
            Code.FAILED_PRECONDITION,
            f"run {run_id} is {found.run.phase}; it can be made again once it has ended",
        )
    state = found.state
    _check_spec(found)
    pipeline = (await specs.from_store(context, found.spec)).pipeline
    await blocking(lambda: _check_packages(context, run_id, pipeline, state))
    run = await blocking(lambda: _again(context, found, pipeline, state))
    return MessageResponse(
        messages.run(run, spec=found.spec, forced=True, reproduces=found.run.run_id)
    )


def _check_spec(found: WholeRun) -> None:
    kept = hashlib.sha256(found.spec).hexdigest()
    if kept != found.run.spec:
        raise ApiError(
            Code.FAILED_PRECONDITION,
            f"run {found.run.run_id} cannot be made again: its spec had the SHA-256 "
            f"{found.run.spec}, and what is kept of it has {kept}",
        )


def _check_packages(context: Context, run_id: str, pipeline: Pipeline, state: RunState) -> None:
    """See that tasks get the packages that they had, as far as that is known beforehand.

    An environment that is there no more is built anew: then the comparison tells.
    """
    seen: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    for task in state.tasks.values():
        had = state.locks.get(task.lock)
        if had is None:
            continue
        container = pipeline.component(task.path).body
        assert isinstance(container, Container)  # noqa: S101 - nothing else has a lock
        place = (task.image, tuple(container.command))
        if place not in seen:
            groups = installs.read(container.command).groups
            seen[place] = tuple(context.workloads.packages(task.image, groups))
        changes = provenance.changes(had, seen[place]) if seen[place] else []
        if changes:
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            raise ApiError(
                Code.FAILED_PRECONDITION,
                f"run {run_id} cannot be made again: its task {task.path!r} would have other "
                f"packages in {task.image}: {', '.join(changes[:_SHOWN])}{more}. Start a new run "
                "of the pipeline, with the versions in packages_to_install if they matter",
            )


def _again(context: Context, found: WholeRun, pipeline: Pipeline, state: RunState) -> Run:
    created = state.created
    assert created is not None  # noqa: S101 - a run's first event
    spec.arguments(pipeline.root.inputs, created.parameters)
    try:
        context.root.place(created.pipeline_root or pipeline.default_root)
    except ValueError as error:
        raise ApiError(Code.FAILED_PRECONDITION, str(error)) from error
    # Its name is the same, since a task may ask for it; so is the instant that it was due.
    run, event = new_run(
        Occasion(run_id=str(uuid.uuid4()), now=context.clock(), scheduled=created.scheduled),
        context.store.catalog.experiment(found.run.experiment_id),
        pipeline,
        display_name=created.display_name,
        description=f"run {found.run.run_id}, made again",
        parameters=created.parameters,
        pipeline_id=found.run.pipeline_id,
        pipeline_version_id=found.run.pipeline_version_id,
        pipeline_root=created.pipeline_root,
        force=True,
        reproduces=found.run.run_id,
    )
    return context.store.runs.create(run, event, found.spec)


async def compare(request: Request) -> Response:
    """GET /runs/{run_id}:compare?with=RUN_ID; left out, it is the run that this one reproduces."""
    context, run_id = context_of(request), request.path_params["run_id"]
    given = request.query_params.get("with", "")
    found = await blocking(lambda: _compared(context, run_id, given))
    return MessageResponse(found)


def _compared(context: Context, run_id: str, given: str) -> messages.Message:
    second = context.store.runs.whole(run_id)
    after = second.state
    with_id = given or (after.created.reproduces if after.created is not None else "")
    if not with_id:
        raise invalid("with", f"run {run_id} reproduces none: say which run to compare it with")
    first = context.store.runs.whole(with_id)
    before = first.state
    told: messages.Message = {
        "run_id": run_id,
        "with": with_id,
        "states": [first.run.phase.value, second.run.phase.value],
    }
    if not (first.run.phase.ended and second.run.phase.ended):
        return {**told, "outcome": PENDING}
    found = comparison.compare(before, after)
    counts = {each.value: 0 for each in Outcome}
    for task in found.tasks:
        counts[task.outcome.value] += 1
    return {
        **told,
        "outcome": found.outcome.value,
        "spec_digests": [found.spec.first, found.spec.second],
        "parameters_digests": [found.parameters.first, found.parameters.second],
        "counts": counts,
        "tasks": [_task(run_id, each, before, after) for each in found.tasks],
    }


def _task(
    run_id: str, task: TaskComparison, before: RunState, after: RunState
) -> messages.Message:
    message: messages.Message = {
        "task": task.path,
        "task_id": naming.task_id(run_id, task.path),
        "outcome": task.outcome.value,
        "states": [task.phases.first, task.phases.second],
        "reason": task.phases.reason,
        "images": _both(task.image),
        "locks": _both(task.lock),
        "outputs": [
            {
                "name": each.name,
                "outcome": each.outcome.value,
                "digests": [each.first, each.second],
                "reason": each.reason,
            }
            for each in task.outputs
        ],
    }
    if task.lock is not None and task.lock.outcome is Outcome.DIFFERENT:
        message["packages_changed"] = provenance.changes(
            before.locks.get(task.lock.first, ()), after.locks.get(task.lock.second, ())
        )
    return {name: value for name, value in message.items() if value not in ("", [], None)}


def _both(pair: Pair | None) -> list[str] | None:
    return None if pair is None else [pair.first, pair.second]


ROUTES = [
    Route("/runs/{run_id}:reproduce", reproduce, methods=["POST"]),
    Route("/runs/{run_id}:compare", compare, methods=["GET"]),
]
