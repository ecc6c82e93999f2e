"""The operation that replaces a unit's pod by one with a new charm."""

from __future__ import annotations

import dataclasses

from minijuju import agent_hooks, agent_statuses, applications, models, uniter, units
from minijuju.agent_clock import Clock
from minijuju.agent_code import CharmCode
from minijuju.uniter import Hook, Local, Resolved, Upgrade


async def run(
    code: CharmCode, clock: Clock, model: models.Model, unit: units.Unit, operation: Upgrade
) -> None:
    """End the old pod, which is told by `stop` if it is well; the next turn starts the new one."""
    local = uniter.begin(unit.local, operation)
    with code.state.transaction():
        code.save(local)
    if local.started and local.pending is None:
        stopped = await _stop(code, model, local)
        if stopped is None:
            return
        local = stopped
    await code.pod.stop()
    application = applications.get(code.state, code.model, unit.application)
    pod = code.pod.wanted(application)
    # The version is the one that the pod gets, should there be yet another by now.
    done = uniter.succeed(local, Upgrade(pod.version))
    with code.state.transaction():
        # Commands that the charm could not answer without its pod stay out until it is there.
        units.update(code.state, code.model, code.unit, boot="", pod=pod)
        units.update(code.state, code.model, code.unit, resolved=Resolved.NONE)
        code.save(done)
    clock.forget_failure()


async def _stop(code: CharmCode, model: models.Model, local: Local) -> Local | None:
    """Tell the old pod; if that fails it goes all the same, as Kubernetes' pods do.

    Returns:
        The unit's progress; None if the unit was taken away meanwhile.
    """
    hook = Hook("stop")
    with code.state.transaction():
        agent_statuses.announce(code.state, code.model, code.unit, hook)
    context = code.context(model, local, hook=hook)
    outcome = await code.run(context)
    if code.gone():
        return None
    local = dataclasses.replace(local, started=False)
    if outcome.code == 0:
        with code.committing(context, outcome):
            context.flush()
            local = context.after(local)
            code.save(local)
    if outcome.code != 0:
        agent_hooks.log(code, context, "ERROR", hook, outcome)
        with code.state.transaction():
            code.save(local)
    return local
