"""The operations that are tasks: actions, and commands of `juju exec`."""

from __future__ import annotations

from minijuju import agent_statuses, models, tasks, uniter, units
from minijuju.agent_code import REFUSED, CharmCode, Outcome
from minijuju.hooks.context import Context
from minijuju.uniter import FailTask, Local, RunTask


async def run(code: CharmCode, model: models.Model, unit: units.Unit, operation: RunTask) -> None:
    """Run a task, and commit what it asked for with its result."""
    local = uniter.begin(unit.local, operation)
    with code.state.transaction():
        task = tasks.get(code.state, code.model, int(operation.task))
        tasks.start(code.state, task)
        agent_statuses.announce_task(code.state, code.model, code.unit, task)
        code.save(local)
    context = code.context(model, local, task=task)
    outcome = await code.run(context)
    if code.gone():
        return
    done = uniter.succeed(local, operation)
    if outcome.code == 0:
        with code.committing(context, outcome):
            context.flush()
            done = context.after(done)
            _finish(code, context, task, outcome, done)
    if outcome.code != 0:
        with code.state.transaction():
            _finish(code, context, task, outcome, uniter.fail(local, operation))


def fail(code: CharmCode, unit: units.Unit, operation: FailTask) -> None:
    """Fail a task that was cut off."""
    with code.state.transaction():
        task = tasks.get(code.state, code.model, int(operation.task))
        tasks.finish(code.state, task, "failed", "action terminated", {})
        code.save(uniter.succeed(unit.local, operation))


def _finish(
    code: CharmCode, context: Context, task: tasks.Task, outcome: Outcome, local: Local
) -> None:
    """Record how a task ended, as Juju judges it (its `finalizeAction`)."""
    results: dict[str, object] = tasks.nested(context.results)
    streams = {"stdout": outcome.stdout, "stderr": outcome.stderr + outcome.refused}
    results.update({name: text for name, text in streams.items() if text})
    results["return-code"] = outcome.code
    cancelled = tasks.get(code.state, code.model, task.id).status == "aborting"
    status, message = "completed", context.failure or ""
    if outcome.refused:
        status, message = "failed", message or REFUSED
    elif outcome.error or code.killed or (outcome.code and task.kind == "action"):
        status = "aborted" if cancelled else "failed"
        ended = "signal: killed" if code.killed else f"exit status {outcome.code}"
        message = outcome.error or ended
    elif context.failure is not None:
        status = "aborted" if cancelled else "failed"
    tasks.finish(code.state, task, status, message, results)
    code.save(local)
