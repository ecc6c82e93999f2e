"""The operations that are hooks: what is said before, run, and committed or told as failed."""

from __future__ import annotations

from minijuju import (
    agent_statuses,
    applications,
    models,
    relations,
    secret_events,
    statuses,
    uniter,
    units,
)
from minijuju.agent_clock import Clock
from minijuju.agent_code import CharmCode, Outcome
from minijuju.hooks.context import Context
from minijuju.uniter import Hook, Local, Resolved, RunHook, SkipHook

_BESPOKE = "explicit, bespoke hook script"


async def run(
    code: CharmCode, clock: Clock, model: models.Model, unit: units.Unit, operation: RunHook
) -> None:
    """Run a hook, and commit what it asked for with the unit's progress."""
    hook = operation.hook
    local = uniter.begin(unit.local, operation)
    with code.state.transaction():
        if hook.kind == "relation-created":
            _enter(code, unit, hook)
        if unit.resolved is not Resolved.NONE:
            units.update(code.state, code.model, code.unit, resolved=Resolved.NONE)
        agent_statuses.announce(code.state, code.model, code.unit, hook)
        code.save(local)
    context = code.context(model, local, hook=hook)
    outcome = await code.run(context)
    if code.gone():
        return
    if outcome.code == 0:
        with code.committing(context, outcome):
            context.flush()
            done = context.after(uniter.succeed(local, operation))
            code.save(done)
            _finish(code, hook)
        if outcome.code == 0:
            log(code, context, "INFO", hook, outcome)
    if outcome.code != 0:
        log(code, context, "ERROR", hook, outcome)
        _fail(code, clock, model, hook, uniter.fail(local, operation))
    code.pod.done(hook)
    if hook.kind == "update-status" or not unit.local.started:
        clock.restart_updates()


def skip(code: CharmCode, unit: units.Unit, operation: SkipHook) -> None:
    """Take a hook for done."""
    with code.state.transaction():
        code.save(uniter.succeed(unit.local, operation))
        _finish(code, operation.hook)
        units.update(code.state, code.model, code.unit, resolved=Resolved.NONE)


def log(code: CharmCode, context: Context, level: str, hook: Hook, outcome: Outcome) -> None:
    """What became of a hook, in Juju's words."""
    runtime = code.pod.runtime
    program = runtime.handler(f"hooks/{hook.name}") if runtime else ""
    way = "hook dispatching script: dispatch" if program == "dispatch" else _BESPOKE
    if level == "INFO" and not program:
        text = f'skipped "{hook.name}" hook (missing)'
    elif level == "INFO":
        text = f'ran "{hook.name}" hook (via {way})'
    else:
        reason = outcome.error or f"exit status {outcome.code}"
        text = f'hook "{hook.name}" (via {way}) failed: {reason}'
    context.log(level, "operation", text)


def _enter(code: CharmCode, unit: units.Unit, hook: Hook) -> None:
    relation = relations.find(code.state, code.model, hook.relation)
    if relation is None:
        return
    application = applications.get(code.state, code.model, unit.application)
    address = application.address or unit.address
    defaults = {
        "egress-subnets": f"{address}/32",
        "ingress-address": address,
        "private-address": address,
    }
    relations.enter_scope(code.state, relation, unit.name, defaults)


def _finish(code: CharmCode, hook: Hook) -> None:
    """What the end of a hook means beyond the unit's own progress; in its transaction."""
    here = (code.state, code.model)
    match hook.kind:
        case "start":
            # The cluster is to show that the unit is ready.
            code.state.touch(code.model)
            agent_statuses.start(*here, code.unit)
        case "remove":
            statuses.put(*here, code.unit, "workload", "terminated")
        case "relation-broken":
            relations.leave_scope(*here, hook.relation, code.unit)
        case "secret-rotate":
            secret_events.rotated(*here, hook.secret, int(hook.version or 0))
        case "secret-expired":
            secret_events.expired(*here, hook.secret, hook.revision)


def _fail(code: CharmCode, clock: Clock, model: models.Model, hook: Hook, local: Local) -> None:
    clock.fail(model, local.pending.attempts if local.pending else 1)
    with code.state.transaction():
        code.save(local)
        agent_statuses.fail(code.state, code.model, code.unit, hook)
