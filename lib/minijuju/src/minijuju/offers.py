"""Offers of applications' endpoints to other models, and what models consume (SAAS)."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from minijuju import applications, models, relations
from minijuju.applications import Application
from minijuju.charm import Charm, EndpointMeta
from minijuju.errors import AlreadyExistsError, BadRequestError, NotFoundError
from minijuju.house import load_charm
from minijuju.state import State
from minijuju.uniter import Life

_URL = re.compile(
    r"(?:(?P<controller>[^:/.\s]+):)?(?:(?P<user>[^/:.\s]+)/)?(?P<model>[^/:.\s]+)"
    r"\.(?P<offer>[^/:.\s]+)(?::(?P<endpoint>[^/:\s]+))?"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """Endpoints of an application that other models may relate to."""

    model: str
    name: str
    application: str
    endpoints: tuple[str, ...]
    created: float


@dataclass(frozen=True, slots=True)
class Saas:
    """What a model consumes: an offer under a name of the model's own."""

    model: str
    name: str
    offering: str
    offer: str
    life: Life
    created: float


def parse_url(text: str) -> tuple[str, str, str]:
    """Model, offer and, maybe, endpoint of `[controller:][user/]model.offer[:endpoint]`.

    Raises:
        BadRequestError: it is no such address.
    """
    found = _URL.fullmatch(text)
    if not found:
        raise BadRequestError(
            f'application offer URL has invalid form, must be [<user/]<model>.<appname>: "{text}"'
        )
    return found["model"], found["offer"], found["endpoint"] or ""


def is_url(text: str) -> bool:
    """Whether one side of a relation names an offer and not an application of the model."""
    return _URL.fullmatch(text) is not None


def url(model: models.Model, offer: str) -> str:
    """An offer's address."""
    return f"admin/{model.name}.{offer}"


def _offer(row: sqlite3.Row) -> Offer:
    endpoints = tuple(json.loads(row["endpoints"]))
    return Offer(row["model"], row["name"], row["application"], endpoints, row["created"])


def _saas(row: sqlite3.Row) -> Saas:
    return Saas(
        row["model"], row["name"], row["offering"], row["offer"], Life(row["life"]), row["created"]
    )


def every(state: State, model: str) -> list[Offer]:
    """The offers of a model by name."""
    return [
        _offer(row)
        for row in state.rows("SELECT * FROM offer WHERE model = ? ORDER BY name", model)
    ]


def find(state: State, model: str, name: str) -> Offer | None:
    """The offer, or None."""
    row = state.row("SELECT * FROM offer WHERE model = ? AND name = ?", model, name)
    return _offer(row) if row else None


def at(state: State, address: str) -> tuple[models.Model, Offer]:
    """The offer at an address, and its model.

    Raises:
        NotFoundError: there is none.
    """
    name, offer, _ = parse_url(address)
    try:
        model = models.named(state, name)
    except NotFoundError:
        raise NotFoundError(f'application offer "{address}" not found') from None
    found = find(state, model.uuid, offer)
    if found is None:
        raise NotFoundError(f'application offer "{address}" not found')
    return model, found


def add(state: State, application: Application, name: str, endpoints: tuple[str, ...]) -> Offer:
    """Offer endpoints; an offer of that name gets these endpoints. Call inside a transaction.

    Raises:
        BadRequestError: the application has no such endpoint, or another one has the name.
    """
    known = load_charm(application.charm.path).endpoints
    for endpoint in endpoints:
        meta = known.get(endpoint)
        if meta is None or meta.role == "peer":
            raise BadRequestError(
                f'getting relation endpoint for relation "{endpoint}" and application '
                f'"{application.name}": application "{application.name}" has no "{endpoint}" '
                "relation"
            )
    before = find(state, application.model, name)
    if before and before.application != application.name:
        raise AlreadyExistsError(
            f'application offer "{name}" already exists, for "{before.application}"'
        )
    state.execute(
        "INSERT INTO offer VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET endpoints = excluded.endpoints",
        application.model,
        name,
        application.name,
        json.dumps(list(endpoints)),
        time.time(),
    )
    state.touch(application.model)
    return Offer(application.model, name, application.name, endpoints, time.time())


def remove(state: State, offer: Offer) -> None:
    """Offer it no longer; call inside a transaction."""
    state.execute("DELETE FROM offer WHERE model = ? AND name = ?", offer.model, offer.name)
    state.touch(offer.model)


def connections(state: State, offer: Offer) -> list[tuple[relations.Relation, relations.Relation]]:
    """The relations over an offer: the consuming half, and the offering half."""
    found = []
    for row in state.rows(
        "SELECT c.model, c.relation, c.other_model, c.other_relation FROM crossing c"
        " JOIN saas s ON s.model = c.model AND s.offering = ? AND s.offer = ?"
        " WHERE c.other_model = ? ORDER BY c.other_relation",
        offer.model,
        offer.name,
        offer.model,
    ):
        here = relations.find(state, row["model"], row["relation"])
        there = relations.find(state, row["other_model"], row["other_relation"])
        consumed = saas_of(state, offer, row["model"])
        if here and there and any(end.application in consumed for end in here.ends):
            found.append((here, there))
    return found


def saas_of(state: State, offer: Offer, model: str) -> set[str]:
    """The names under which a model consumes an offer."""
    rows = state.rows(
        "SELECT name FROM saas WHERE model = ? AND offering = ? AND offer = ?",
        model,
        offer.model,
        offer.name,
    )
    return {row["name"] for row in rows}


# What a model consumes.


def consumed(state: State, model: str) -> list[Saas]:
    """What a model consumes, by name."""
    return [
        _saas(row) for row in state.rows("SELECT * FROM saas WHERE model = ? ORDER BY name", model)
    ]


def saas(state: State, model: str, name: str) -> Saas | None:
    """What a model consumes under a name, or None."""
    row = state.row("SELECT * FROM saas WHERE model = ? AND name = ?", model, name)
    return _saas(row) if row else None


def consume(state: State, model: models.Model, offer: Offer, name: str) -> Saas:
    """Consume an offer under a name; once more changes nothing. Call inside a transaction.

    Raises:
        AlreadyExistsError: the name is taken.
    """
    if applications.find(state, model.uuid, name) is not None:
        raise AlreadyExistsError(
            f'cannot add saas application "{name}": application already exists'
        )
    before = saas(state, model.uuid, name)
    if before and (before.offering, before.offer) == (offer.model, offer.name):
        if before.life is not Life.ALIVE:
            raise BadRequestError(f'saas application "{name}" is being removed')
        return before
    if before:
        raise AlreadyExistsError(f'saas application "{name}" already exists')
    state.execute(
        "INSERT INTO saas VALUES (?, ?, ?, ?, ?, ?)",
        model.uuid,
        name,
        offer.model,
        offer.name,
        Life.ALIVE,
        time.time(),
    )
    state.touch(model.uuid)
    return Saas(model.uuid, name, offer.model, offer.name, Life.ALIVE, time.time())


def set_dying(state: State, found: Saas) -> None:
    """Let a SAAS go once its relations have gone; call inside a transaction."""
    state.execute(
        "UPDATE saas SET life = ? WHERE model = ? AND name = ?",
        Life.DYING,
        found.model,
        found.name,
    )
    for relation in relations.every(state, found.model, found.name):
        relations.set_dying(state, relation)
    state.touch(found.model)


def sweep(state: State, model: str) -> None:
    """Forget what goes and has no relations any more; call inside a transaction."""
    for found in consumed(state, model):
        if found.life is not Life.ALIVE and not relations.every(state, model, found.name):
            state.execute("DELETE FROM saas WHERE model = ? AND name = ?", model, found.name)
            state.touch(model)


def endpoints(state: State, offer: Offer) -> dict[str, EndpointMeta]:
    """The endpoints of an offer."""
    application = applications.get(state, offer.model, offer.application)
    known = load_charm(application.charm.path).endpoints
    return {name: known[name] for name in offer.endpoints if name in known}


def as_charm(state: State, found: Saas) -> Charm:
    """A SAAS as a charm that has the offer's endpoints, to be related to.

    Raises:
        NotFoundError: the offer is gone.
    """
    offer = find(state, found.offering, found.offer)
    if offer is None:
        raise NotFoundError(f'the offer "{found.offer}" of saas "{found.name}" is gone')
    metas = endpoints(state, offer)

    def of(role: str) -> Mapping[str, EndpointMeta]:
        return {name: meta for name, meta in metas.items() if meta.role == role}

    return Charm(name=found.name, provides=of("provider"), requires=of("requirer"))
