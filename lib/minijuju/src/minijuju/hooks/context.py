"""One run of charm code: what it may see, and the writes it asks for.

Writes gather in the context and are flushed in one database transaction when the run ended well;
the facts file names those that happen at once instead. Reads see the context's own writes.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minijuju import (
    applications,
    models,
    relations,
    secret_readers,
    secrets,
    storages,
    tasks,
    units,
)
from minijuju.charm import Charm
from minijuju.errors import JujuError
from minijuju.hooks.parser import UsageError
from minijuju.runtime import ClusterAccess
from minijuju.state import State
from minijuju.uniter import Hook, Life, Local
from minijuju.vault import Vault

MAX_STATE = 2 * 1024 * 1024
"""Bytes of what a unit's charm may keep with the controller: Juju's max-charm-state-size."""


class CommandError(JujuError):
    """A hook command was refused; the charm sees `ERROR` and the text."""


@dataclass(slots=True)
class SecretDraft:
    """A secret that is made or changed in this run; None means as before."""

    content: dict[str, str] | None = None
    label: str | None = None
    description: str | None = None
    rotation: str | None = None
    expires: float | None = None
    owner_kind: str = ""
    owner: str = ""


@dataclass(slots=True)
class Writes:
    """What a run asked for and is not done yet.

    `dropped` are secrets that it made and removed, `refreshed` those whose latest revision it
    wants to follow: should it make that revision itself, it follows it afterwards.
    """

    bags: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    charm_state: dict[str, str | None] = field(default_factory=dict)
    ports: list[tuple[bool, dict[str, Any]]] = field(default_factory=list)
    storages: dict[str, int] = field(default_factory=dict)
    created: dict[str, SecretDraft] = field(default_factory=dict)
    changed: dict[str, SecretDraft] = field(default_factory=dict)
    grants: list[tuple[bool, str, int | None, str]] = field(default_factory=list)
    removed: list[tuple[str, int | None]] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    refreshed: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Context:
    """One run.

    Attributes:
        id: the unguessable token that hook commands present.
        local: the unit's progress at the start of the run.
        charm: what the charm declares.
        hook: what runs; None for an action or a command line.
        task: the action or command line; None for a hook.
        folder: the unit's hooks folder on this machine.
        log: takes level, module and text.
        access: the way to Kubernetes; None without it.
        results, failure: what action-set and action-fail said.
        wrote_secrets: revisions this run made, by id; set by `flush`.
        wrote_peers: versions of the peer application databags this run wrote; set by `flush`.
    """

    id: str
    state: State
    vault: Vault
    model: models.Model
    unit: str
    charm: Charm
    local: Local
    hook: Hook | None
    task: tasks.Task | None
    folder: Path
    storage_base: Path
    log: Callable[[str, str, str], None]
    access: ClusterAccess | None = None
    writes: Writes = field(default_factory=Writes)
    results: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    wrote_secrets: dict[str, int] = field(default_factory=dict)
    wrote_peers: dict[int, int] = field(default_factory=dict)
    config: dict[str, Any] | None = None

    @property
    def application_name(self) -> str:
        """The unit's application."""
        return self.unit.partition("/")[0]

    def application(self) -> applications.Application:
        """The application as it is now."""
        return applications.get(self.state, self.model.uuid, self.application_name)

    def own(self) -> units.Unit:
        """The unit as it is now."""
        return units.get(self.state, self.model.uuid, self.unit)

    def leader(self) -> bool:
        """Whether the unit leads."""
        return self.application().leader == self.unit

    def settings(self) -> dict[str, Any]:
        """The application's configuration with defaults, as of the first look in this run."""
        if self.config is None:
            chosen = self.application().config
            self.config = {
                name: chosen.get(name, option.default)
                for name, option in self.charm.options.items()
                if chosen.get(name, option.default) is not None
            }
        return self.config

    # Relations.

    def known_relations(self) -> list[relations.Relation]:
        """The relations this unit takes part in."""
        return [
            relation
            for relation in relations.every(self.state, self.model.uuid, self.application_name)
            if relations.in_scope(self.state, relation, self.unit)
        ]

    def relation(self, text: str) -> relations.Relation:
        """The relation `endpoint:3` or `3`, else the hook's own.

        Raises:
            UsageError: none is named, and the hook has none.
            CommandError: there is no such relation.
        """
        if not text:
            number = self.hook.relation if self.hook else -1
            if number < 0:
                raise UsageError("no relation id specified")
        else:
            digits = text.rpartition(":")[2]
            if not digits.isdecimal() or len(digits) > 18:
                raise CommandError(f'invalid value "{text}" for option -r: relation not found')
            number = int(digits)
        for relation in self.known_relations():
            if relation.id == number:
                return relation
        raise CommandError(f'invalid value "{text or number}" for option -r: relation not found')

    def members(self, relation: relations.Relation) -> list[str]:
        """The remote units that the charm has been told of, as of this hook."""
        known = self.local.relations.get(relation.id)
        found = set(known.members) if known else set()
        if self.hook and self.hook.relation == relation.id and self.hook.remote_unit:
            if self.hook.kind in ("relation-departed", "relation-broken"):
                found.discard(self.hook.remote_unit)
            else:
                found.add(self.hook.remote_unit)
        return sorted(found)

    def bag(self, relation: relations.Relation, entity: str) -> dict[str, str]:
        """A databag as this run sees it.

        Raises:
            relations.BagError: the unit may not read it, or there is none.
        """
        leader = self.leader()
        relations.check_read(relation, self.unit, leader=leader, entity=entity)
        found = relations.bag(self.state, relation.model, relation.id, entity)
        if found is None:
            if "/" in entity and entity != self.unit:
                raise relations.BagError(
                    f'cannot read settings for unit "{entity}" in relation "{relation.key}":'
                    " settings not found"
                )
            found = {}
        found.update(self.writes.bags.get((relation.id, entity), {}))
        return {key: value for key, value in found.items() if value != ""}

    # Secrets.

    @property
    def reader(self) -> secret_readers.Reader:
        """The unit as one who reads secrets."""
        return secret_readers.Reader(self.model.uuid, self.unit)

    def manages(self, secret: secrets.Secret) -> bool:
        """Whether the unit may change the secret."""
        near = secret.model == self.model.uuid
        return near and secrets.manages(secret, self.unit, leader=self.leader())

    # The end of the run.

    def flush(self) -> None:
        """Do what the run asked for; call inside a transaction.

        Raises:
            JujuError: something is not allowed or not there any more; the caller rolls back.
        """
        self._flush_bags()
        self._flush_unit()
        self._flush_storages()
        self._flush_secrets()

    def _flush_bags(self) -> None:
        leader = self.leader()
        for (number, entity), changes in self.writes.bags.items():
            relations.check_write(leader=leader, application="/" not in entity)
            fresh = relations.change(self.state, self.model.uuid, number, entity, changes)
            relation = relations.find(self.state, self.model.uuid, number)
            if relation and relation.peer and "/" not in entity:
                self.wrote_peers[number] = fresh

    def _flush_unit(self) -> None:
        if self.writes.charm_state:
            after = dict(self.own().charm_state)
            for key, value in self.writes.charm_state.items():
                if value is None:
                    after.pop(key, None)
                else:
                    after[key] = value
            size = sum(len(key.encode()) + len(value.encode()) for key, value in after.items())
            if size > MAX_STATE:
                raise CommandError(f"max allowed size ({MAX_STATE}) exceeded")
            units.update(self.state, self.model.uuid, self.unit, charm_state=after)
        if self.writes.ports:
            units.update(self.state, self.model.uuid, self.unit, ports=self.ports())
            self.state.touch(self.model.uuid)

    def ports(self) -> list[dict[str, Any]]:
        """The open ports as this run sees them."""
        found = [dict(port) for port in self.own().ports]
        for opened, port in self.writes.ports:
            if opened and port not in found:
                found.append(port)
            elif not opened:
                whole = not port["endpoint"]
                found = [
                    one
                    for one in found
                    if one != port and not (whole and {**one, "endpoint": ""} == port)
                ]
        return sorted(found, key=lambda port: (port["protocol"], port["from"], port["endpoint"]))

    def _flush_storages(self) -> None:
        for name, count in self.writes.storages.items():
            directive = self.application().storage.get(name, {})
            for _ in range(count):
                storages.add(
                    self.state,
                    self.model.uuid,
                    name,
                    self.unit,
                    self.storage_base,
                    int(directive.get("size", 0)),
                )

    def _flush_secrets(self) -> None:
        leader = self.leader()
        for identity, draft in self.writes.created.items():
            if draft.owner_kind == "application" and not leader:
                raise secrets.SecretError(f'cannot create secret "{identity}": not the leader')
            made = secrets.create(
                self.state,
                self.vault,
                self.model.uuid,
                identity,
                owner_kind=draft.owner_kind,
                owner=draft.owner,
                content=draft.content or {},
                label=draft.label or "",
                description=draft.description or "",
                rotation=draft.rotation or "",
                expires=draft.expires,
            )
            self.wrote_secrets[identity] = made.latest
        for identity, draft in self.writes.changed.items():
            after = secrets.change(
                self.state,
                self.vault,
                self._managed(identity),
                content=draft.content,
                label=draft.label,
                description=draft.description,
                rotation=draft.rotation,
                expires=draft.expires,
            )
            if draft.content is not None:
                self.wrote_secrets[identity] = after.latest
        for identity in self.writes.refreshed & self.wrote_secrets.keys():
            latest = self.wrote_secrets[identity]
            secret_readers.track(self.state, self._managed(identity), self.reader, latest)
        for given, identity, number, subject in self.writes.grants:
            secret = self._managed(identity)
            if not given:
                secret_readers.revoke(self.state, secret, subject)
            elif number is not None and relations.find(self.state, self.model.uuid, number):
                secret_readers.grant(self.state, secret, number, subject)
            else:
                raise secrets.SecretError(f"relation {number} not found")
        for identity, revision in self.writes.removed:
            secrets.remove(self.state, self._managed(identity), revision)

    def _managed(self, identity: str) -> secrets.Secret:
        """A secret that the unit still manages."""
        secret = secrets.find(self.state, self.model.uuid, identity)
        if secret is None:
            raise secrets.SecretError(f'secret "{identity}" not found')
        if not self.manages(secret):
            raise secrets.SecretError(f'secret "{identity}": permission denied: not the leader')
        return secret

    def after(self, local: Local) -> Local:
        """The unit's progress with what it need not be told, as it did it itself."""
        known = {
            number: dataclasses.replace(
                known, app_version=max(known.app_version, self.wrote_peers.get(number, 0))
            )
            for number, known in local.relations.items()
        }
        return dataclasses.replace(local, relations=known)


def moment(text: str) -> float:
    """Epoch seconds of an RFC 3339 time, which may have passed, or of a duration from now.

    Raises:
        UsageError: it is neither.
    """
    now = datetime.datetime.now(datetime.UTC)
    try:
        when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        negative = text.startswith("-")
        try:
            wait = models.duration(text.removeprefix("-"), "--expire")
        except JujuError:
            raise UsageError(f'expire time or duration "{text}" not valid') from None
        if negative or not wait:
            raise UsageError(f'negative expire duration "{text}" not valid') from None
        return now.timestamp() + wait
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return when.timestamp()


def alive_units(context: Context) -> Sequence[units.Unit]:
    """The units of the context's application that are not dead."""
    return [
        unit
        for unit in units.every(context.state, context.model.uuid, context.application_name)
        if unit.life is not Life.DEAD
    ]


def text_mapping(values: Mapping[Any, Any], what: str) -> dict[str, str]:
    """Settings as strings; null deletes, as an empty string does.

    Raises:
        CommandError: a value is no scalar.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if not isinstance(key, str) or isinstance(value, dict | list):
            raise CommandError(f"{what}: expected strings, got {type(value).__name__} for {key!r}")
        if isinstance(value, bool):
            found[key] = str(value).lower()
        else:
            found[key] = "" if value is None else str(value)
    return found
