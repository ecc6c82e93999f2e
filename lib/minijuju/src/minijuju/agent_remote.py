"""The model's wishes of one unit as of now, as the uniter compares them."""

from __future__ import annotations

import hashlib
import json

from minijuju import (
    applications,
    models,
    relations,
    secret_events,
    secret_readers,
    storages,
    tasks,
    units,
)
from minijuju.agent_clock import Clock
from minijuju.charm import Charm
from minijuju.state import State
from minijuju.uniter import Hook, Life, Remote, RemoteRelation


def remote(
    state: State,
    model: models.Model,
    application: applications.Application,
    unit: units.Unit,
    *,
    charm: Charm,
    workload: tuple[Hook, ...],
    clock: Clock,
) -> tuple[Remote, float | None]:
    """The model's wishes as of now, and when time alone will change them (epoch seconds).

    Args:
        state: the database.
        model: the unit's.
        application: the unit's.
        unit: whose wishes.
        charm: what its pod was made of.
        workload: hooks for what its containers reported, oldest first.
        clock: its moments.
    """
    leader = application.leader == unit.name
    due = secret_events.due(state, model.uuid, unit.name, leader=leader)
    waiting = tasks.pending(state, model.uuid, unit.name)
    local = unit.local
    update = local.update_status
    if local.started and clock.update_due(model):
        update += 1
    mounted = unit.pod.storages if unit.pod else ()
    wanted = Remote(
        unit=unit.name,
        life=unit.life,
        app_life=application.life,
        leader=leader,
        boot=unit.boot,
        charm_version=application.charm_version,
        config_hash=_config_hash(application, unit, charm),
        relations=_relations(state, unit, charm),
        storages={
            storage.id: storage.life
            for storage in storages.every(state, model.uuid, unit.name)
            if storage.id in mounted
        },
        workload=workload,
        expired=due.expired,
        rotate=due.rotate,
        changed=due.changed,
        obsolete=due.obsolete,
        lost=_lost(state, unit),
        actions=tuple(str(task.id) for task in waiting if task.kind == "action"),
        commands=tuple(str(task.id) for task in waiting if task.kind == "exec"),
        resolved=unit.resolved,
        retry_due=clock.retry_due(model),
        update_status=update,
    )
    return wanted, due.next


def _lost(state: State, unit: units.Unit) -> frozenset[str]:
    """The secret of the pending hook, if there is nothing to tell of it any more."""
    hook = unit.local.pending.hook if unit.local.pending else None
    if hook is None or not hook.secret:
        return frozenset()
    reader = secret_readers.Reader(unit.model, unit.name)
    secret = secret_readers.reach(state, reader, hook.secret)
    if secret is not None and secret_readers.readable(state, secret, reader):
        return frozenset()
    return frozenset({hook.secret})


def _config_hash(application: applications.Application, unit: units.Unit, charm: Charm) -> str:
    settings = {
        name: application.config.get(name, option.default)
        for name, option in charm.options.items()
    }
    seen = [settings, application.trust, unit.address, application.address]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def _relations(state: State, unit: units.Unit, charm: Charm) -> dict[int, RemoteRelation]:
    found: dict[int, RemoteRelation] = {}
    for relation in relations.every(state, unit.model, unit.application):
        here, other = relation.end(unit.application), relation.other(unit.application)
        if here.endpoint not in charm.endpoints:
            # A refresh to a charm without that endpoint is refused; this is an old pod's.
            continue
        found[relation.id] = RemoteRelation(
            endpoint=here.endpoint,
            app=other.application,
            peer=relation.peer,
            life=Life.DYING if relation.suspended else relation.life,
            members={
                name: version
                for name, version in relations.scope(state, relation).items()
                if name != unit.name and name.partition("/")[0] == other.application
            },
            app_version=relations.version(state, relation, other.application),
        )
    return found
