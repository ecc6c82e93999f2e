"""What a unit does next: a pure function from its state to one operation.

`Local` is what the unit has done so far (it is saved), `Remote` is what the model wants of it.
`next_operation` compares them in Juju's order of priority and `begin`, `succeed`, `fail` and
`skip` say how `Local` changes as the operation goes. Nothing in here does anything.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Life(enum.StrEnum):
    """Where a thing is between its making and its end."""

    ALIVE = "alive"
    DYING = "dying"
    DEAD = "dead"


class Step(enum.StrEnum):
    """How far the pending hook is."""

    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"


class Resolved(enum.StrEnum):
    """What `juju resolved` asked for."""

    NONE = ""
    RETRY = "retry"
    SKIP = "no-hooks"


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook with what it is about.

    `kind` is the name without endpoint, container or storage (`relation-joined`). `version` is
    what the commit records: a databag's version, or the hash that config-changed saw.
    """

    kind: str
    endpoint: str = ""
    relation: int = -1
    remote_app: str = ""
    remote_unit: str = ""
    departing_unit: str = ""
    storage: str = ""
    secret: str = ""
    revision: int = 0
    workload: str = ""
    notice_id: str = ""
    notice_type: str = ""
    notice_key: str = ""
    check: str = ""
    boot_id: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """What Juju calls it, for example `db-relation-changed` or `data-storage-attached`."""
        if self.kind.startswith("relation-"):
            return f"{self.endpoint}-{self.kind}"
        if self.kind.startswith("storage-"):
            return f"{self.storage.rpartition('/')[0]}-{self.kind}"
        if self.kind.startswith("pebble-"):
            return f"{self.workload}-{self.kind}"
        return self.kind


@dataclass(frozen=True, slots=True)
class Pending:
    """A hook that is queued, runs, or failed `attempts` times."""

    hook: Hook
    step: Step
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class LocalRelation:
    """What the unit knows of a relation: the members it has been told of, with their versions."""

    members: Mapping[str, int] = field(default_factory=dict)
    app_version: int = 0
    changed_pending: str = ""


@dataclass(frozen=True, slots=True)
class Local:
    """What the unit has done; saved after every operation.

    Attributes:
        pending: the hook under way, if any.
        task: the action or command under way; empty for none.
        upgrading: a new charm is being put in place.
        boot: the incarnation of the pod that `start` last ran in.
        containers: the boot id of each container that `pebble-ready` last ran for.
        obsolete: `ID/REVISION` of each obsolete secret revision the unit was told of.
    """

    installed: bool = False
    started: bool = False
    stopped: bool = False
    removed: bool = False
    leader: bool = False
    boot: str = ""
    charm_version: int = 0
    config_hash: str = ""
    update_status: int = 0
    upgrading: bool = False
    task: str = ""
    pending: Pending | None = None
    relations: Mapping[int, LocalRelation] = field(default_factory=dict)
    storages: frozenset[str] = frozenset()
    containers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, int] = field(default_factory=dict)
    obsolete: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the database."""
        data = dataclasses.asdict(self)
        data["relations"] = {str(key): value for key, value in data["relations"].items()}
        data["storages"] = sorted(self.storages)
        data["obsolete"] = sorted(self.obsolete)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Local:
        """The reverse of `to_json`; fields that are missing get their defaults."""
        values = dict(data)
        pending = values.get("pending")
        if pending:
            values["pending"] = Pending(
                Hook(**pending["hook"]), Step(pending["step"]), pending["attempts"]
            )
        values["relations"] = {
            int(key): LocalRelation(**value) for key, value in values.get("relations", {}).items()
        }
        values["storages"] = frozenset(values.get("storages", ()))
        values["obsolete"] = frozenset(values.get("obsolete", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class RemoteRelation:
    """A relation as the model has it, seen from one unit.

    Attributes:
        app: the application at the other side (the unit's own for a peer relation).
        members: the remote units in scope and the version of each one's databag.
        app_version: the version of the remote application's databag; 0 if never written.
    """

    endpoint: str
    app: str
    peer: bool = False
    life: Life = Life.ALIVE
    members: Mapping[str, int] = field(default_factory=dict)
    app_version: int = 0


@dataclass(frozen=True, slots=True)
class Remote:
    """What the model wants of the unit.

    Attributes:
        unit: the unit's name.
        boot: the incarnation of the pod that is there now.
        config_hash: a hash over config, trust and addresses.
        workload: hooks for what the containers reported, oldest first.
        expired, rotate, changed, obsolete: secrets (with the revision) that need a hook.
        lost: secrets of the pending hook that are gone, or that the unit may read no longer.
        actions, commands: ids of the tasks that wait, oldest first.
        retry_due: the back-off of the failed hook has passed.
        update_status: counts up whenever update-status is due.
    """

    unit: str = ""
    life: Life = Life.ALIVE
    app_life: Life = Life.ALIVE
    leader: bool = False
    boot: str = ""
    charm_version: int = 0
    config_hash: str = ""
    relations: Mapping[int, RemoteRelation] = field(default_factory=dict)
    storages: Mapping[str, Life] = field(default_factory=dict)
    workload: tuple[Hook, ...] = ()
    expired: tuple[tuple[str, int], ...] = ()
    rotate: tuple[tuple[str, int], ...] = ()
    changed: Mapping[str, int] = field(default_factory=dict)
    obsolete: tuple[tuple[str, int], ...] = ()
    lost: frozenset[str] = frozenset()
    actions: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    resolved: Resolved = Resolved.NONE
    retry_due: bool = False
    update_status: int = 0


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run a hook and commit what it asked for."""

    hook: Hook


@dataclass(frozen=True, slots=True)
class SkipHook:
    """Take a hook for done without running it."""

    hook: Hook


@dataclass(frozen=True, slots=True)
class RunTask:
    """Run an action or a command."""

    task: str


@dataclass(frozen=True, slots=True)
class FailTask:
    """Fail a task that was cut off; it is never run twice."""

    task: str


@dataclass(frozen=True, slots=True)
class AcceptLeadership:
    """Note that the unit leads now; leader-elected follows."""


@dataclass(frozen=True, slots=True)
class ResignLeadership:
    """Note that the unit leads no longer; no hook tells the charm."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Replace the pod by one with the new charm; the old one runs `stop` first if it is well."""

    version: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """The unit has done all; it may be taken out of the model."""


Operation = (
    RunHook
    | SkipHook
    | RunTask
    | FailTask
    | AcceptLeadership
    | ResignLeadership
    | Upgrade
    | Terminate
)


def next_operation(local: Local, remote: Remote) -> Operation | None:
    """The one thing to do now, or None to wait until something changes."""
    if local.removed or remote.life is Life.DEAD:
        return Terminate()
    if local.task:
        return FailTask(local.task)
    if local.upgrading:
        return Upgrade(remote.charm_version)
    if local.pending is None and local.installed:
        operation = _idle(local, remote)
        if operation:
            return operation
    failed = local.pending is not None and local.pending.step is Step.FAILED
    if local.installed and (local.pending is None or failed):
        for task in (*remote.actions, *remote.commands):
            return RunTask(task)
    if local.pending is not None:
        return _pending(local, local.pending, remote)
    if local.installed:
        hook = _storage(local, remote)
        if hook:
            return RunHook(hook)
    if remote.life is Life.DYING:
        return _dying(local, remote)
    return _alive(local, remote)


def _idle(local: Local, remote: Remote) -> Operation | None:
    """What comes before tasks, storage and the rest when no hook is pending."""
    alive = remote.life is Life.ALIVE
    if alive and local.started and local.boot != remote.boot:
        return RunHook(Hook("start", version=remote.boot))
    if alive:
        for number in sorted(remote.relations):
            relation = remote.relations[number]
            if number not in local.relations and relation.life is Life.ALIVE:
                return RunHook(
                    Hook(
                        "relation-created",
                        endpoint=relation.endpoint,
                        relation=number,
                        remote_app=relation.app,
                    )
                )
    if remote.leader and not local.leader and alive:
        return AcceptLeadership()
    if local.leader and not remote.leader:
        return ResignLeadership()
    if not alive:
        return None
    for hook in remote.workload:
        if hook.kind != "pebble-ready" or local.containers.get(hook.workload) != hook.boot_id:
            return RunHook(hook)
    return _secret(local, remote)


def _secret(local: Local, remote: Remote) -> Operation | None:
    for secret, revision in remote.expired:
        return RunHook(Hook("secret-expired", secret=secret, revision=revision))
    for secret, revision in remote.rotate:
        # The hook carries no revision to the charm; the commit needs the one it started from.
        return RunHook(Hook("secret-rotate", secret=secret, version=str(revision)))
    for secret in sorted(remote.changed):
        if local.secrets.get(secret, 0) < remote.changed[secret]:
            return RunHook(
                Hook("secret-changed", secret=secret, version=str(remote.changed[secret]))
            )
    for secret, revision in remote.obsolete:
        if f"{secret}/{revision}" not in local.obsolete:
            return RunHook(Hook("secret-remove", secret=secret, revision=revision))
    return None


def _pending(local: Local, pending: Pending, remote: Remote) -> Operation | None:
    hook = pending.hook
    if hook.kind == "leader-elected" and not remote.leader:
        return SkipHook(hook)
    if hook.relation >= 0 and hook.relation not in remote.relations:
        # The relation was taken away by force: there is nothing left to tell the charm about.
        return SkipHook(hook)
    if hook.secret and hook.secret in remote.lost:
        # Cut off or failed, and meanwhile the unit may not read it: it could only fail for ever.
        return SkipHook(hook)
    if pending.step is not Step.FAILED:
        return RunHook(hook)
    if remote.charm_version != local.charm_version:
        return Upgrade(remote.charm_version)
    if remote.resolved is Resolved.SKIP:
        return SkipHook(hook)
    if remote.resolved is Resolved.RETRY or remote.retry_due:
        return RunHook(hook)
    return None


def _storage(local: Local, remote: Remote) -> Hook | None:
    for storage in sorted(remote.storages):
        gone = remote.life is not Life.ALIVE or remote.storages[storage] is not Life.ALIVE
        if storage in local.storages and gone:
            return Hook("storage-detaching", storage=storage)
        if storage not in local.storages and not gone:
            return Hook("storage-attached", storage=storage)
    return None


def _dying(local: Local, remote: Remote) -> Operation | None:
    operation = _relations(local, remote)
    if operation:
        return operation
    if not local.installed:
        return Terminate()
    if not local.stopped:
        return RunHook(Hook("stop"))
    return RunHook(Hook("remove"))


def _alive(local: Local, remote: Remote) -> Operation | None:
    if not local.installed:
        return RunHook(Hook("install"))
    if remote.charm_version != local.charm_version:
        return Upgrade(remote.charm_version)
    if local.config_hash != remote.config_hash:
        return RunHook(Hook("config-changed", version=remote.config_hash))
    operation = _relations(local, remote)
    if operation:
        return operation
    if local.update_status != remote.update_status:
        return RunHook(Hook("update-status", version=str(remote.update_status)))
    return None


def _relations(local: Local, remote: Remote) -> Operation | None:
    for number in sorted(local.relations):
        relation = remote.relations.get(number)
        if relation is None:
            # Taken away by force: forget it, as if broken had run.
            return SkipHook(Hook("relation-broken", relation=number))
        hook = _relation(number, local.relations[number], relation, remote)
        if hook:
            return RunHook(hook)
    return None


def _relation(
    number: int, known: LocalRelation, relation: RemoteRelation, remote: Remote
) -> Hook | None:
    """The next hook of one relation: what is promised, departures, the application, the units."""

    def hook(kind: str, unit: str = "", version: int = 0, departing: str = "") -> Hook:
        return Hook(
            kind,
            endpoint=relation.endpoint,
            relation=number,
            remote_app=relation.app,
            remote_unit=unit,
            departing_unit=departing,
            version=str(version) if version else "",
        )

    broken = relation.life is not Life.ALIVE or remote.life is not Life.ALIVE
    if known.changed_pending in relation.members and known.changed_pending:
        return hook(
            "relation-changed", known.changed_pending, relation.members[known.changed_pending]
        )
    for unit in sorted(known.members):
        if broken or unit not in relation.members:
            leaving = remote.life is not Life.ALIVE or remote.app_life is not Life.ALIVE
            return hook("relation-departed", unit, departing=remote.unit if leaving else unit)
    if broken:
        return None if relation.peer else hook("relation-broken")
    if relation.app_version > known.app_version:
        return hook("relation-changed", version=relation.app_version)
    for unit in sorted(relation.members):
        if unit not in known.members:
            return hook("relation-joined", unit, relation.members[unit])
        if relation.members[unit] > known.members[unit]:
            return hook("relation-changed", unit, relation.members[unit])
    return None


def begin(local: Local, operation: Operation) -> Local:
    """The state to save before the operation runs, so that a crash in it is noticed."""
    match operation:
        case RunHook(hook):
            attempts = local.pending.attempts if local.pending else 0
            return dataclasses.replace(local, pending=Pending(hook, Step.RUNNING, attempts))
        case RunTask(task):
            return dataclasses.replace(local, task=task)
        case Upgrade():
            return dataclasses.replace(local, upgrading=True)
        case _:
            return local


def fail(local: Local, operation: Operation) -> Local:
    """The state after an operation that failed."""
    match operation:
        case RunHook(hook):
            attempts = local.pending.attempts if local.pending else 0
            return dataclasses.replace(local, pending=Pending(hook, Step.FAILED, attempts + 1))
        case RunTask():
            return dataclasses.replace(local, task="")
        case _:
            return local


def succeed(local: Local, operation: Operation) -> Local:
    """The state after an operation that did what it should."""
    match operation:
        case RunHook(hook):
            return _done(dataclasses.replace(local, pending=None), hook)
        case SkipHook(hook):
            # The container still waits to be served: pebble-ready comes again with the next poll.
            if hook.kind == "pebble-ready":
                return dataclasses.replace(local, pending=None)
            return _done(dataclasses.replace(local, pending=None), hook)
        case RunTask() | FailTask():
            return dataclasses.replace(local, task="")
        case AcceptLeadership():
            queued = Pending(Hook("leader-elected"), Step.QUEUED)
            return dataclasses.replace(local, leader=True, pending=queued)
        case ResignLeadership():
            return dataclasses.replace(local, leader=False)
        case Upgrade(version):
            return _upgraded(local, version)
        case Terminate():
            return local


def _upgraded(local: Local, version: int) -> Local:
    """After the swap of the charm: a failed hook is tried again, a well unit is told."""
    changed = dataclasses.replace(local, upgrading=False, charm_version=version)
    if local.pending is not None:
        return dataclasses.replace(changed, pending=Pending(local.pending.hook, Step.QUEUED))
    if not local.installed:
        return changed
    return dataclasses.replace(
        changed, started=False, pending=Pending(Hook("upgrade-charm"), Step.QUEUED)
    )


def _done(local: Local, hook: Hook) -> Local:
    """What a finished hook leaves behind."""
    match hook.kind:
        case "install":
            return dataclasses.replace(local, installed=True)
        case "config-changed":
            # Nothing may come between config-changed and the start that it brings.
            start = None if local.started else Pending(Hook("start"), Step.QUEUED)
            return dataclasses.replace(local, config_hash=hook.version, pending=start)
        case "upgrade-charm":
            return dataclasses.replace(local, pending=Pending(Hook("config-changed"), Step.QUEUED))
        case "start":
            return dataclasses.replace(local, started=True, boot=hook.version)
        case "stop":
            return dataclasses.replace(local, stopped=True, started=False)
        case "remove":
            return dataclasses.replace(local, removed=True)
        case "update-status":
            return dataclasses.replace(local, update_status=int(hook.version))
        case "storage-attached":
            return dataclasses.replace(local, storages=local.storages | {hook.storage})
        case "storage-detaching":
            return dataclasses.replace(local, storages=local.storages - {hook.storage})
        case "pebble-ready":
            return dataclasses.replace(
                local, containers={**local.containers, hook.workload: hook.boot_id}
            )
        case "secret-changed":
            return dataclasses.replace(
                local, secrets={**local.secrets, hook.secret: int(hook.version)}
            )
        case "secret-remove":
            return dataclasses.replace(
                local, obsolete=local.obsolete | {f"{hook.secret}/{hook.revision}"}
            )
        case kind if kind.startswith("relation-"):
            return dataclasses.replace(local, relations=_related(local.relations, hook))
        case _:
            return local


def _related(relations: Mapping[int, LocalRelation], hook: Hook) -> Mapping[int, LocalRelation]:
    rest = {number: known for number, known in relations.items() if number != hook.relation}
    known = relations.get(hook.relation, LocalRelation())
    unit, version = hook.remote_unit, int(hook.version or 0)
    match hook.kind:
        case "relation-broken":
            return rest
        case "relation-joined":
            # Changed follows at once; until then the unit counts as never seen.
            members = {**known.members, unit: 0}
            known = dataclasses.replace(known, members=members, changed_pending=unit)
        case "relation-changed" if unit:
            pending = "" if known.changed_pending == unit else known.changed_pending
            members = {**known.members, unit: version}
            known = dataclasses.replace(known, members=members, changed_pending=pending)
        case "relation-changed":
            known = dataclasses.replace(known, app_version=version)
        case "relation-departed":
            members = {name: seen for name, seen in known.members.items() if name != unit}
            pending = "" if known.changed_pending == unit else known.changed_pending
            known = dataclasses.replace(known, members=members, changed_pending=pending)
    return {**rest, hook.relation: known}


def queued_hook(hook: Hook, remote: Remote) -> Hook:
    """A hook that waited, with what its commit has to record as of now."""
    match hook.kind:
        case "config-changed":
            return dataclasses.replace(hook, version=remote.config_hash)
        case "start":
            return dataclasses.replace(hook, version=remote.boot)
        case "relation-changed" if hook.relation in remote.relations:
            relation = remote.relations[hook.relation]
            seen = (
                relation.members.get(hook.remote_unit, 0)
                if hook.remote_unit
                else relation.app_version
            )
            return dataclasses.replace(hook, version=str(seen or hook.version))
        case _:
            return hook
