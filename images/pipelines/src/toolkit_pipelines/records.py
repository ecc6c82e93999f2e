"""Decisions as events: what the engine records before it acts."""

from __future__ import annotations

from collections.abc import Iterable

from . import decisions, events, naming
from .decisions import Decision
from .events import Event
from .runstate import RunState


def recorded(
    decided: Iterable[Decision], state: RunState, pipeline: str, now: float
) -> list[Event]:
    """Give the events that record decisions.

    Args:
        decided: what the scheduler decided.
        state: the run as it stood then.
        pipeline: the pipeline's name; pods are named after it.
        now: the time, seconds since the epoch.
    """
    assert state.created is not None  # noqa: S101 - nothing is decided before
    run_id = state.created.run_id
    found: list[Event] = []
    started: dict[str, int] = {}

    def attempt(path: str) -> int:
        return started[path] if path in started else state.tasks[path].attempt

    for decision in decided:
        match decision:
            case decisions.Start(path):
                start = _started(decision, state, run_id, pipeline, now)
                started[path] = start.attempt
                found.append(start)
            case decisions.Succeed(path, outputs):
                found.append(
                    events.TaskSucceeded(
                        run_id=run_id,
                        time=now,
                        task=path,
                        attempt=attempt(path),
                        outputs=outputs,
                    )
                )
            case decisions.Fail(path, reason, message, iteration, retry):
                if path not in state.tasks and path not in started:
                    # It cannot start; that it was to start is a fact all the same.
                    started[path] = 0
                    found.append(
                        events.TaskStarted(run_id=run_id, time=now, task=path, iteration=iteration)
                    )
                found.append(
                    events.TaskFailed(
                        run_id=run_id,
                        time=now,
                        task=path,
                        attempt=attempt(path),
                        reason=reason,
                        message=message,
                        retry=retry,
                        nested=retry is not None,
                    )
                )
            case decisions.Skip(path, reason, condition):
                found.append(
                    events.TaskSkipped(
                        run_id=run_id, time=now, task=path, reason=reason, condition=condition
                    )
                )
            case decisions.Cancel(path):
                found.append(
                    events.TaskCanceled(run_id=run_id, time=now, task=path, attempt=attempt(path))
                )
            case decisions.End(phase, message, outputs):
                found.append(
                    events.RunEnded(
                        run_id=run_id, time=now, phase=phase, message=message, outputs=outputs
                    )
                )
    return found


def _started(
    decision: decisions.Start, state: RunState, run_id: str, pipeline: str, now: float
) -> events.TaskStarted:
    previous = state.tasks.get(decision.path)
    attempt = previous.attempt + 1 if previous is not None else state.spent.get(decision.path, 0)
    pod = ""
    if decision.pod:
        pod = naming.pod_name(pipeline, run_id, decision.path, attempt)
    return events.TaskStarted(
        run_id=run_id,
        time=now,
        task=decision.path,
        attempt=attempt,
        pod=pod,
        inputs=decision.inputs,
        iterations=decision.iterations,
        iteration=decision.iteration,
        acts=decision.acts,
    )
