"""What the controller tells of a model, in the shapes of Juju's own JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from minijuju import (
    applications,
    models,
    offers,
    relations,
    secret_documents,
    secrets,
    statuses,
    storages,
    units,
)
from minijuju.applications import APPLICATION_KEYS, Application
from minijuju.archive import UnpackedCharm
from minijuju.charm import Charm
from minijuju.constraints import POOL
from minijuju.hooks.environment import VERSION
from minijuju.hooks.unit import port_text
from minijuju.house import House, load_charm
from minijuju.state import State
from minijuju.statuses import Status
from minijuju.uniter import Life
from minijuju.vault import Vault

CONTROLLER = "minijuju"


def since(moment: float) -> str:
    """A time as `juju status --format json` has it."""
    return time.strftime("%d %b %Y %H:%M:%SZ", time.gmtime(moment))


def _shown(status: Status) -> dict[str, Any]:
    shown: dict[str, Any] = {"current": status.status}
    if status.message:
        shown["message"] = status.message
    if status.since:
        shown["since"] = since(status.since)
    return shown


def unit_statuses(state: State, model: str, unit: str) -> tuple[Status, Status]:
    """What is shown as a unit's workload and agent."""
    workload = statuses.get(state, model, unit, "workload") or Status("unknown")
    agent = statuses.get(state, model, unit, "agent") or Status("unknown")
    return statuses.displayed(workload, agent)


def application_status(
    state: State, application: Application, workloads: Iterable[Status] | None = None
) -> Status:
    """What the leader set, else the gravest of the units'; with no units, unknown.

    `workloads` are the units', if they have been read already.
    """
    chosen = statuses.get(state, application.model, application.name, "application")
    if chosen is not None:
        return chosen
    if workloads is None:
        members = units.every(state, application.model, application.name)
        workloads = [unit_statuses(state, unit.model, unit.name)[0] for unit in members]
    return statuses.derived(workloads)


def model_status(model: models.Model) -> dict[str, Any]:
    """The model's own status."""
    current = "available" if model.life is Life.ALIVE else "destroying"
    return {"current": current, "since": since(model.created)}


def document(house: House, model: models.Model) -> dict[str, Any]:
    """The document of `juju status`."""
    state = house.state
    joined = relations.every(state, model.uuid)
    shown: dict[str, Any] = {
        "model": {
            "name": model.name,
            "type": "caas",
            "controller": CONTROLLER,
            "cloud": models.CLOUD,
            "version": VERSION,
            "model-status": model_status(model),
            "sla": "unsupported",
        },
        "machines": {},
        "applications": {
            application.name: _application(state, application, joined)
            for application in applications.every(state, model.uuid)
        },
        "application-endpoints": {
            saas.name: _saas(state, saas, joined) for saas in offers.consumed(state, model.uuid)
        },
        "offers": {offer.name: _offer(state, offer) for offer in offers.every(state, model.uuid)},
        "relations": [_pair(relation) for relation in joined],
        "storage": storage(state, model.uuid),
        "controller": {"timestamp": time.strftime("%H:%M:%SZ", time.gmtime())},
    }
    for key in ("application-endpoints", "offers"):
        if not shown[key]:
            del shown[key]
    return shown


def _offered(state: State, offer: offers.Offer) -> dict[str, dict[str, str]]:
    return {
        name: {"interface": meta.interface, "role": meta.role}
        for name, meta in offers.endpoints(state, offer).items()
    }


def _saas(state: State, saas: offers.Saas, joined: list[relations.Relation]) -> dict[str, Any]:
    """What a model consumes, as its status has it."""
    model = models.get(state, saas.offering)
    offer = offers.find(state, saas.offering, saas.offer)
    ends: dict[str, list[str]] = {}
    for relation in joined:
        if any(end.application == saas.name for end in relation.ends):
            end, other = relation.end(saas.name), relation.other(saas.name)
            ends.setdefault(end.endpoint, []).append(other.application)
    shown: dict[str, Any] = {
        "url": offers.url(model, saas.offer) if model else saas.offer,
        "relations": ends,
    }
    if saas.life is not Life.ALIVE:
        shown["life"] = "dying"
    if offer is None:
        gone = {"current": "terminated", "message": "offer has been removed"}
        return {**shown, "endpoints": {}, "application-status": gone}
    application = applications.get(state, offer.model, offer.application)
    return {
        **shown,
        "endpoints": _offered(state, offer),
        "application-status": _shown(application_status(state, application)),
    }


def _offer(state: State, offer: offers.Offer) -> dict[str, Any]:
    """An offer, as its model's status has it."""
    used = offers.connections(state, offer)
    application = applications.get(state, offer.model, offer.application)
    alive = [half for _, half in used if half.life is Life.ALIVE]
    return {
        "application": offer.application,
        "charm": application.charm.url,
        "total-connected-count": len(used),
        "active-connected-count": len(alive),
        "endpoints": _offered(state, offer),
    }


def offer_details(state: State, offer: offers.Offer) -> dict[str, Any]:
    """One entry of `juju find-offers` and `juju show-offer`."""
    application = applications.get(state, offer.model, offer.application)
    return {
        "description": load_charm(application.charm.path).description,
        "access": "admin",
        "endpoints": _offered(state, offer),
        "users": {"admin": {"display-name": "admin", "access": "admin"}},
    }


def offer_document(state: State, model: models.Model, offer: offers.Offer) -> dict[str, Any]:
    """One entry of `juju offers`."""
    application = applications.get(state, offer.model, offer.application)
    shown: dict[str, Any] = {
        "application": offer.application,
        "store": CONTROLLER,
        "charm": application.charm.url,
        "offer-url": offers.url(model, offer.name),
        "endpoints": _offered(state, offer),
        "users": {"admin": {"display-name": "admin", "access": "admin"}},
    }
    used = offers.connections(state, offer)
    if used:
        shown["connections"] = [
            {
                "source-model-uuid": here.model,
                "username": "admin",
                "relation-id": there.id,
                "endpoint": there.end(offer.application).endpoint,
                "status": {
                    "current": there.status,
                    **({"message": there.message} if there.message else {}),
                    "since": since(there.created),
                },
            }
            for here, there in used
        ]
    return shown


def _pair(relation: relations.Relation) -> dict[str, str]:
    by_role = {end.role: f"{end.application}:{end.endpoint}" for end in relation.ends}
    if relation.peer:
        provider = requirer = by_role["peer"]
    else:
        provider, requirer = by_role["provider"], by_role["requirer"]
    return {
        "provider": provider,
        "requirer": requirer,
        "interface": relation.interface,
        "type": "peer" if relation.peer else "regular",
        "message": _progress(relation),
    }


def _progress(relation: relations.Relation) -> str:
    if relation.status == "joined":
        return ""
    if relation.status == "dying":
        return "removing"
    return f"suspended {relation.message}".rstrip()


def _application(
    state: State, application: Application, joined: list[relations.Relation]
) -> dict[str, Any]:
    name = application.name
    base, _, channel = application.charm.base.partition("@")
    ends: dict[str, list[dict[str, str]]] = {}
    for relation in joined:
        for end in relation.ends:
            if end.application == name:
                ends.setdefault(end.endpoint, []).append(
                    {
                        "related-application": relation.other(name).application,
                        "interface": relation.interface,
                        "scope": "global",
                    }
                )
    charm = load_charm(application.charm.path)
    members = units.every(state, application.model, name)
    told = {unit.name: unit_statuses(state, unit.model, unit.name) for unit in members}
    gravest = application_status(state, application, [workload for workload, _ in told.values()])
    shown = {
        "charm": application.charm.url if application.charm.local else application.charm.name,
        "charm-origin": "local" if application.charm.local else "charmhub",
        "charm-name": application.charm.name,
        "charm-rev": application.charm.revision,
        "base": {"name": base, "channel": channel},
        "scale": application.scale,
        "provider-id": application.name,
        "address": application.address,
        "exposed": application.exposed,
        "application-status": _shown(gravest),
        "relations": ends,
        "endpoint-bindings": {"": "alpha", **dict.fromkeys(charm.endpoints, "alpha")},
        "units": {unit.name: _unit(application, unit, *told[unit.name]) for unit in members},
    }
    if application.charm.channel:
        shown["charm-channel"] = application.charm.channel
    if application.life is not Life.ALIVE:
        shown["life"] = "dying"
    if application.version:
        shown["version"] = application.version
    return shown


def _unit(
    application: Application, unit: units.Unit, workload: Status, agent: Status
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "workload-status": _shown(workload),
        "juju-status": {**_shown(agent), "version": VERSION},
        "address": unit.address,
        "provider-id": unit.name.replace("/", "-"),
    }
    if application.leader == unit.name:
        shown["leader"] = True
    if unit.life is not Life.ALIVE:
        shown["juju-status"]["life"] = "dying"
    ports = sorted({port_text(port) for port in unit.ports})
    if ports:
        shown["open-ports"] = ports
    return shown


def storage(state: State, model: str) -> dict[str, Any]:
    """A model's storage, by its uuid."""
    found = storages.every(state, model)
    if not found:
        return {}
    details: dict[str, Any] = {}
    filesystems: dict[str, Any] = {}
    for one in found:
        status = {
            "current": "attached" if one.attached else "detached",
            "since": since(one.created),
        }
        units_ = {one.unit: {"life": one.life.value}} if one.attached else {}
        details[one.id] = {
            "kind": "filesystem",
            "life": one.life.value,
            "status": status,
            "persistent": True,
            "attachments": {"units": units_},
        }
        filesystems[one.id.rpartition("/")[2]] = {
            "provider-id": one.claim,
            "storage": one.id,
            "attachments": {"containers": {}, "units": units_},
            "pool": POOL,
            "size": one.size // (1024 * 1024),
            "life": one.life.value,
            "status": status,
        }
    return {"storage": details, "filesystems": filesystems}


def config(state: State, application: Application) -> dict[str, Any]:
    """The document of `juju config`."""
    charm = load_charm(application.charm.path)
    settings: dict[str, Any] = {}
    for name, option in charm.options.items():
        entry: dict[str, Any] = {"type": option.type, "description": option.description}
        if option.default is not None:
            entry["default"] = option.default
        if name in application.config:
            entry.update(value=application.config[name], source="user")
        elif option.default is not None:
            entry.update(value=option.default, source="default")
        else:
            entry["source"] = "unset"
        settings[name] = entry
    return {
        "application": application.name,
        "charm": application.charm.name,
        "application-config": {
            **{key: _own(application, key) for key in APPLICATION_KEYS},
            "trust": {
                "description": "Does this application have access to trusted credentials",
                "type": "bool",
                "default": False,
                "value": application.trust,
                "source": "user" if application.trust else "default",
            },
        },
        "settings": settings,
    }


def _own(application: Application, key: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"description": APPLICATION_KEYS[key], "type": "string"}
    if key in application.settings:
        return {**entry, "value": application.settings[key], "source": "user"}
    return {**entry, "source": "unset"}


def model_document(state: State, model: models.Model) -> dict[str, Any]:
    """A model in `juju models` and `juju show-model`."""
    return {
        "name": f"admin/{model.name}",
        "short-name": model.name,
        "model-uuid": model.uuid,
        "model-type": "caas",
        "controller-uuid": state.meta("controller-uuid"),
        "controller-name": CONTROLLER,
        "is-controller": False,
        "owner": "admin",
        "cloud": models.CLOUD,
        "type": "kubernetes",
        "life": model.life.value,
        "status": model_status(model),
        "access": "admin",
        "last-connection": "just now",
        "agent-version": VERSION,
        "unit-count": len(units.every(state, model.uuid)),
        "users": {
            "admin": {
                "display-name": "admin",
                "access": "admin",
                "last-connection": "just now",
            }
        },
    }


def show_application(state: State, application: Application) -> dict[str, Any]:
    """One entry of `juju show-application`."""
    charm = load_charm(application.charm.path)
    return {
        "charm": application.charm.name,
        "charm-rev": application.charm.revision,
        "base": application.charm.base,
        "channel": application.charm.channel,
        "constraints": dict(application.constraints),
        "principal": True,
        "exposed": application.exposed,
        "remote": False,
        "life": application.life.value,
        "charm-source": application.charm.source,
        "charm-digest": UnpackedCharm.load(application.charm_path).digest,
        "charm-version": application.charm_version,
        "resources": {name: dict(value) for name, value in application.resources.items()},
        "trust": application.trust,
        "annotations": dict(application.annotations),
        "storage": {name: dict(value) for name, value in application.storage.items()},
        "endpoint-bindings": {"": "alpha", **dict.fromkeys(charm.endpoints, "alpha")},
    }


def show_unit(state: State, model: models.Model, unit: units.Unit) -> dict[str, Any]:
    """One entry of `juju show-unit`; secrets' contents are in no databag and so not here."""
    application = applications.get(state, model.uuid, unit.application)
    charm: Charm = load_charm(application.charm.path)
    info = []
    for relation in relations.every(state, model.uuid, unit.application):
        end = relation.end(unit.application)
        if end.endpoint in charm.endpoints:
            info.append(_relation_info(state, relation, unit))
    return {
        "opened-ports": sorted({port_text(port) for port in unit.ports}),
        "charm": application.charm.url,
        "leader": application.leader == unit.name,
        "life": unit.life.value,
        "relation-info": info,
        "provider-id": unit.name.replace("/", "-"),
        "address": unit.address,
    }


def _relation_info(state: State, relation: relations.Relation, unit: units.Unit) -> dict[str, Any]:
    here, other = relation.end(unit.application), relation.other(unit.application)
    scope = relations.scope(state, relation)

    def data(entity: str) -> Mapping[str, str]:
        return relations.bag(state, relation.model, relation.id, entity) or {}

    return {
        "relation-id": relation.id,
        "endpoint": here.endpoint,
        "related-endpoint": other.endpoint,
        "application-data": data(other.application),
        "local-unit": {"in-scope": unit.name in scope, "data": data(unit.name)},
        "related-units": {
            name: {"in-scope": True, "data": data(name)}
            for name in sorted(scope)
            if name != unit.name and name.partition("/")[0] == other.application
        },
    }


def secret_list(state: State, vault: Vault, model: str, owner: str) -> dict[str, Any]:
    """The document of `juju secrets`; contents are never in it."""
    found: dict[str, Any] = {}
    for secret in secrets.every(state, model):
        if owner in ("", secret.owner, f"{secret.owner_kind}-{secret.owner}"):
            found[secret.id] = secret_documents.document(
                state, vault, secret, reveal=False, revision=None, all_=False
            )
    return found
