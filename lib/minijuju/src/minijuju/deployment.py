"""Applications come, change and grow: charms, resources, storage and units, checked first."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minijuju import (
    applications,
    assumes,
    constraints,
    crossings,
    endpoints,
    model_settings,
    models,
    offers,
    options,
    relations,
    storages,
    units,
)
from minijuju.applications import Application, CharmRef
from minijuju.archive import ArchiveError
from minijuju.charm import CHARM_NAME, Charm, CharmError
from minijuju.controller import Controller
from minijuju.errors import AlreadyExistsError, BadRequestError, JujuError, NotSupportedError
from minijuju.hooks.environment import VERSION
from minijuju.house import load_charm
from minijuju.interpreters import PythonError
from minijuju.state import State
from minijuju.uniter import Life
from sandbox.errors import ImageError

MAX_UNITS = 500
"""Of one application: more is a slip of the keyboard, and each unit is a few processes here."""
MIB = 1024 * 1024

Progress = Callable[[str], None]


async def take_charm(controller: Controller, path: str, progress: Progress) -> tuple[str, Charm]:
    """Put a charm into the store; its folder there and what it declares.

    Raises:
        BadRequestError: it is no charm that can run here.
    """
    source = Path(path)
    if not source.is_absolute():
        raise BadRequestError(f"charm: expected an absolute path, got {path!r}")
    try:
        await asyncio.to_thread(Charm.load, source)
        unpacked = await asyncio.to_thread(controller.charms.add, source, progress=progress)
        charm = load_charm(str(unpacked.path))
    except (CharmError, ArchiveError, PythonError, ImageError) as error:
        raise BadRequestError(str(error)) from error
    if charm.subordinate:
        raise NotSupportedError("subordinate charms are not valid on Kubernetes")
    return str(unpacked.path), charm


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in a charm store a charm is from."""

    channel: str
    revision: int


def charm_ref(
    controller: Controller,
    model: str,
    path: str,
    source: str,
    charm: Charm,
    origin: Origin | None,
) -> CharmRef:
    """A reference to a charm: with its revision in the store, or the next one of a local name."""
    base = str(charm.bases[0]) if charm.bases else "ubuntu@24.04"
    if origin is not None:
        return CharmRef(charm.name, path, source, origin.revision, base, origin.channel)
    revision = controller.state.number(f"{model}/charm/{charm.name}")
    return CharmRef(charm.name, path, source, revision, base)


def check_assumes(charm: Charm) -> None:
    """See that the model has what the charm assumes.

    Raises:
        BadRequestError: it has not; says what is lacking, as Juju does.
    """
    # The version of the cluster's API is not known before a charm asks it.
    features = {"juju": assumes.version(VERSION), "k8s-api": None}
    try:
        lacking = assumes.unmet(assumes.parse(charm.assumes), features)
    except assumes.AssumesError as error:
        raise BadRequestError(f"charm {charm.name!r}: assumes: {error}") from error
    if lacking:
        listed = "\n".join(f"  {line}" for line in lacking)
        raise BadRequestError(f"Charm cannot be deployed because:\n{listed}")


def check_constraints(text: str) -> dict[str, constraints.Constraint]:
    """Constraints as they are kept.

    Raises:
        BadRequestError: they cannot be understood.
    """
    try:
        return constraints.parse(text)
    except constraints.ConstraintError as error:
        raise BadRequestError(str(error)) from error


def split_config(charm: Charm, config: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The settings that are the application's own, and those that are the charm's."""
    own = {
        key: str(value)
        for key, value in config.items()
        if key in applications.APPLICATION_KEYS and key not in charm.options
    }
    return own, {key: value for key, value in config.items() if key not in own}


def check_config(charm: Charm, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that fit the charm's options.

    Raises:
        BadRequestError: an unknown option, or a value of another type.
    """
    try:
        return dict(options.coerce_all(charm.options, config))
    except options.OptionError as error:
        raise BadRequestError(str(error)) from error


async def take_resources(
    controller: Controller,
    charm: Charm,
    given: Mapping[str, str],
    known: Mapping[str, Mapping[str, Any]],
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """Build or copy what is given; with what was there before, everything containers need.

    Raises:
        BadRequestError: a resource is unknown, missing, or cannot be used here.
    """
    found = {name: dict(value) for name, value in known.items() if name in charm.resources}
    for name, value in given.items():
        declared = charm.resources.get(name)
        if declared is None:
            names = ", ".join(sorted(charm.resources)) or "none"
            raise BadRequestError(
                f"charm {charm.name!r} has no resource {name!r} (it has: {names})"
            )
        if declared.type == "file":
            path = await asyncio.to_thread(_take_file, controller.data / "resources", name, value)
            found[name] = {"type": "file", "path": path, "source": value}
        else:
            reference = await _take_image(controller, name, value, progress)
            found[name] = {"type": "oci-image", "reference": reference, "source": value}
    for container in charm.containers.values():
        if container.resource and container.resource not in found:
            raise BadRequestError(
                f"container {container.name!r} needs the resource {container.resource!r};"
                f" name a process image: --resource {container.resource}=FOLDER"
            )
    return found


async def _take_image(controller: Controller, name: str, value: str, progress: Progress) -> str:
    if value.startswith("process.local/"):
        if await asyncio.to_thread(controller.images.get, value) is None:
            raise BadRequestError(f"resource {name!r}: the image {value} is not in the store")
        return value
    folder = Path(value)
    if not folder.is_absolute() or not await asyncio.to_thread(folder.is_dir):
        raise BadRequestError(
            f"resource {name!r}: {value} is an image of a registry, which cannot run on this"
            f" machine; name the folder of a process image: --resource {name}=FOLDER, or in the"
            " images.yaml of a charm store"
        )
    try:
        image = await asyncio.to_thread(controller.images.build, folder, progress=progress)
    except ImageError as error:
        raise BadRequestError(f"resource {name!r}: {error}") from error
    return image.reference


def _take_file(store: Path, name: str, value: str) -> str:
    source = Path(value)
    if not source.is_absolute() or not source.is_file():
        raise BadRequestError(f"resource {name!r}: {value} is no file")
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = store / digest
    if not target.exists():
        new = store / f"{digest}.{os.getpid()}.new"
        shutil.copyfile(source, new)
        new.replace(target)
    return str(target)


def check_storage(charm: Charm, given: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """How many of which size a unit gets of each storage.

    Raises:
        BadRequestError: an unknown storage, a malformed directive or a count that is not allowed.
    """
    found: dict[str, dict[str, int]] = {}
    unknown = sorted(set(given) - set(charm.storage))
    if unknown:
        raise BadRequestError(f'charm "{charm.name}" has no store called "{unknown[0]}"')
    for name, declared in charm.storage.items():
        if declared.type != "filesystem":
            raise NotSupportedError(f"storage {name!r}: block storage is not supported")
        count, size = declared.minimum, 1024
        if name in given:
            try:
                directive = constraints.parse_storage(given[name])
                constraints.check_storage(declared, directive)
            except constraints.ConstraintError as error:
                raise BadRequestError(str(error)) from error
            count = directive.count if directive.count is not None else max(count, 1)
            size = directive.size if directive.size is not None else size
        found[name] = {"count": count, "size": size * MIB}
    return found


async def deploy(
    controller: Controller,
    model: models.Model,
    name: str,
    path: str,
    *,
    config: Mapping[str, Any],
    resources: Mapping[str, str],
    num_units: int,
    trust: bool,
    storage: Mapping[str, str],
    limits: str,
    progress: Progress,
    origin: Origin | None = None,
    force: bool = False,
) -> Application:
    """Add an application with its units.

    Raises:
        JujuError: something about it is wrong; nothing was added.
    """
    if not CHARM_NAME.fullmatch(name) or len(name) > 50:
        raise BadRequestError(f"invalid application name {name!r}")
    check_count(num_units)
    _absent(controller, model, name)
    place, charm = await take_charm(controller, path, progress)
    if not force:
        check_assumes(charm)
    own, plain = split_config(charm, config)
    settings = check_config(charm, plain)
    wanted = check_storage(charm, storage)
    parsed = {
        **model_settings.model_constraints(controller.state, model.uuid),
        **check_constraints(limits),
    }
    attached = await take_resources(controller, charm, resources, {}, progress)
    subnet = controller.subnet()
    with controller.state.transaction():
        alive = models.get(controller.state, model.uuid)
        if alive is None or alive.life is not Life.ALIVE:
            raise BadRequestError(f"model {model.name!r} is being destroyed")
        _absent(controller, model, name)
        application = applications.add(
            controller.state,
            model.uuid,
            name,
            charm=charm_ref(controller, model.uuid, place, path, charm, origin),
            config=settings,
            trust=trust,
            resources=attached,
            storage=wanted,
            constraints=parsed,
            address=subnet.service(controller.addresses()),
        )
        if own:
            applications.update(controller.state, application, settings=own)
        for peer in charm.peers.values():
            end = relations.End(name, peer.name, "peer")
            relations.add(controller.state, model.uuid, peer.interface, (end,))
        scale(controller, application, num_units)
    return application


def _absent(controller: Controller, model: models.Model, name: str) -> None:
    if applications.find(controller.state, model.uuid, name) is not None:
        raise AlreadyExistsError(
            f'cannot add application "{name}": application already exists\ndeploy application'
            f" using an alias name: juju deploy CHARM NAME, or use refresh"
        )
    if offers.saas(controller.state, model.uuid, name) is not None:
        raise AlreadyExistsError(
            f'cannot add application "{name}": saas application with same name already exists'
        )


def check_count(count: int) -> None:
    """See that a number of units makes sense.

    Raises:
        BadRequestError: it does not.
    """
    if not 0 <= count <= MAX_UNITS:
        raise BadRequestError(f"expected 0 to {MAX_UNITS} units, got {count}")


def scale(controller: Controller, application: Application, count: int) -> None:
    """Add units, or let the highest numbers go; call inside a transaction."""
    state, model = controller.state, application.model
    members = units.every(state, model, application.name)
    alive = [unit for unit in members if unit.life is Life.ALIVE]
    for unit in alive[count:]:
        units.update(state, model, unit.name, life=Life.DYING)
    taken = {unit.number for unit in members}
    number = 0
    missing = count - len(alive)
    while missing > 0:
        if number not in taken:
            _add_unit(controller, application, number)
            missing -= 1
        number += 1
    applications.update(state, application, scale=count)


def _add_unit(controller: Controller, application: Application, number: int) -> None:
    from minijuju import statuses

    state, model = controller.state, application.model
    address = controller.subnet().workload(controller.addresses())
    unit = units.add(state, application, number, address)
    put = (state, model, unit.name)
    statuses.put(*put, "workload", "waiting", "installing agent")
    statuses.put(*put, "agent", "allocating")
    base = controller.house.storage_folder(model)
    for name, directive in application.storage.items():
        for _ in range(int(directive["count"])):
            if not storages.reattach(state, model, name, application.name, unit.name):
                storages.add(state, model, name, unit.name, base, int(directive["size"]))


async def refresh(
    controller: Controller,
    model: models.Model,
    name: str,
    *,
    path: str,
    resources: Mapping[str, str],
    config: Mapping[str, Any],
    trust: bool | None,
    progress: Progress,
    origin: Origin | None = None,
    force: bool = False,
    storage: Mapping[str, str] | None = None,
) -> Application:
    """Give an application another charm or other resources; every unit gets a new pod.

    Without a charm, a resource or a setting only the channel that is followed changes.

    Raises:
        JujuError: something about it is wrong; nothing was changed.
    """
    state = controller.state
    application = applications.get(state, model.uuid, name)
    if path:
        place, charm = await take_charm(controller, path, progress)
    else:
        place, charm = application.charm.path, load_charm(application.charm.path)
    if path and not force:
        check_assumes(charm)
    if charm.name != application.charm.name:
        raise BadRequestError(
            f"cannot refresh {name!r}: the charm is {application.charm.name!r}, the new one"
            f" {charm.name!r}"
        )
    attached = await take_resources(controller, charm, resources, application.resources, progress)
    with state.transaction():
        application = applications.get(state, model.uuid, name)
        if origin and not (path or resources or config or storage):
            same = replace(application.charm, channel=origin.channel)
            applications.update(state, application, charm=same)
            return applications.get(state, model.uuid, name)
        kept = {key: value for key, value in application.config.items() if key in charm.options}
        settings = {**kept, **check_config(charm, config)}
        _check_endpoints(controller, application, charm)
        had = load_charm(application.charm.path)
        _check_storage_change(controller, application, had, charm)
        wanted = check_storage(charm, storage or {})
        for store, directive in application.storage.items():
            if store in wanted and store not in (storage or {}):
                if directive["count"] < charm.storage[store].minimum:
                    raise BadRequestError(
                        f'charm "{charm.name}" store "{store}": {charm.storage[store].minimum} '
                        f"instances required, {directive['count']} specified: say --storage"
                    )
                wanted[store] = {**wanted[store], **directive}
        changed: dict[str, Any] = {
            "config": settings,
            "resources": attached,
            "storage": wanted,
            "charm_version": application.charm_version + 1,
        }
        if path:
            changed["charm"] = charm_ref(controller, model.uuid, place, path, charm, origin)
        if trust is not None:
            changed["trust"] = trust
        applications.update(state, application, **changed)
        _add_peers(controller, application, charm)
        _add_storages(controller, application, wanted, had, charm)
    return applications.get(state, model.uuid, name)


def _check_endpoints(controller: Controller, application: Application, charm: Charm) -> None:
    """A charm must keep the endpoints that are in use."""
    for relation in relations.every(controller.state, application.model, application.name):
        end = relation.end(application.name)
        if relation.peer:
            continue
        declared = charm.endpoints.get(end.endpoint)
        if declared is None or declared.interface != relation.interface:
            raise BadRequestError(
                f"cannot refresh {application.name!r}: would break relation {relation.key!r}"
            )


def _add_peers(controller: Controller, application: Application, charm: Charm) -> None:
    state, model = controller.state, application.model
    known = {
        relation.end(application.name).endpoint: relation
        for relation in relations.every(state, model, application.name)
        if relation.peer
    }
    for peer in charm.peers.values():
        if peer.name not in known:
            end = relations.End(application.name, peer.name, "peer")
            relations.add(state, model, peer.interface, (end,))
    for name, relation in known.items():
        if name not in charm.peers:
            relations.remove(state, relation)


def _check_storage_change(
    controller: Controller, application: Application, had: Charm, charm: Charm
) -> None:
    """A charm must keep the storage that is in use, where it is."""
    held = {
        storage.name
        for unit in units.every(controller.state, application.model, application.name)
        for storage in storages.every(controller.state, application.model, unit.name)
    }
    try:
        constraints.check_storage_change(had.storage, charm.storage, held)
    except constraints.ConstraintError as error:
        raise BadRequestError(f"cannot refresh {application.name!r}: {error}") from error


def _add_storages(
    controller: Controller,
    application: Application,
    wanted: Mapping[str, Mapping[str, int]],
    had: Charm,
    charm: Charm,
) -> None:
    """Give units that are there what the new charm has and the old had not.

    That is all of a storage that comes, and of another what its least number lacks.
    """
    state, model = controller.state, application.model
    base = controller.house.storage_folder(model)
    for unit in units.every(state, model, application.name):
        held = [storage.name for storage in storages.every(state, model, unit.name)]
        for name, directive in wanted.items():
            least = charm.storage[name].minimum if name in had.storage else directive["count"]
            for _ in range(least - held.count(name)):
                storages.add(state, model, name, unit.name, base, directive["size"])


def integrate(controller: Controller, model: models.Model, first: str, second: str) -> Any:
    """Relate two applications, or one with an offer of another model; the relation.

    Raises:
        JujuError: they cannot be related, or are already.
    """
    state = controller.state
    with state.transaction():
        sides = [_consumed(state, model, side) for side in (first, second)]
        joined = {
            application.name: load_charm(application.charm.path)
            for application in applications.every(state, model.uuid)
            if application.life is Life.ALIVE
        }
        remote = {
            saas.name: saas
            for saas in offers.consumed(state, model.uuid)
            if saas.life is Life.ALIVE and saas.name in {side.partition(":")[0] for side in sides}
        }
        if len(remote) == 2:
            raise BadRequestError("cannot add relation between two saas applications")
        joined |= {name: offers.as_charm(state, saas) for name, saas in remote.items()}
        provider, requirer = resolve(joined, *sides)
        ends = (
            relations.End(provider.application, provider.meta.name, "provider"),
            relations.End(requirer.application, requirer.meta.name, "requirer"),
        )
        existing = relations.every(state, model.uuid)
        for relation in existing:
            if set(relation.ends) == set(ends):
                there = "already exists"
                if relation.life is not Life.ALIVE:
                    there = "is dying, but not yet removed (already exists)"
                raise AlreadyExistsError(
                    f'cannot add relation "{relation.key}": relation {relation.key} {there}'
                )
        for side in (provider, requirer):
            if side.application not in remote:
                _check_limit(side, existing)
        made = relations.add(state, model.uuid, provider.meta.interface, ends)
        for saas in remote.values():
            _cross(state, made, saas)
        return made


def _consumed(state: State, model: models.Model, side: str) -> str:
    """One side of a relation; an offer's address is consumed under the offer's name."""
    if not offers.is_url(side):
        return side
    offering, offer = offers.at(state, side)
    if offering.uuid == model.uuid:
        _, _, endpoint = offers.parse_url(side)
        return f"{offer.application}:{endpoint}" if endpoint else offer.application
    found = offers.consume(state, model, offer, offer.name)
    _, _, endpoint = offers.parse_url(side)
    return f"{found.name}:{endpoint}" if endpoint else found.name


def _check_limit(side: endpoints.Endpoint, existing: Sequence[relations.Relation]) -> None:
    count = sum(
        any(
            end.application == side.application and end.endpoint == side.meta.name
            for end in relation.ends
        )
        for relation in existing
    )
    if side.meta.limit is not None and count >= side.meta.limit:
        raise BadRequestError(
            f"establishing a new relation for {side} would exceed its maximum relation limit"
            f" of {side.meta.limit}"
        )


def _cross(state: State, half: relations.Relation, saas: offers.Saas) -> None:
    """Make the half of a relation that is in the offering model."""
    offer = offers.find(state, saas.offering, saas.offer)
    if offer is None:
        raise BadRequestError(f'the offer "{saas.offer}" of saas "{saas.name}" is gone')
    theirs, ours = half.end(saas.name), half.other(saas.name)
    charm = load_charm(applications.get(state, offer.model, offer.application).charm.path)
    side = endpoints.Endpoint(offer.application, charm.endpoints[theirs.endpoint])
    _check_limit(side, relations.every(state, offer.model))
    proxy = crossings.proxy(state, half.model, ours.application, offer.model)
    proxy = proxy or f"remote-{uuid.uuid4().hex}"
    ends = tuple(
        relations.End(
            offer.application if end == theirs else proxy,
            end.endpoint,
            end.role,
        )
        for end in half.ends
    )
    there = relations.add(state, offer.model, half.interface, ends)
    crossings.join(
        state,
        (half.model, half.id, ours.application),
        (there.model, there.id, offer.application),
        crossings.Aliases(consumer=proxy, offered=saas.name),
    )


def resolve(
    charms: Mapping[str, Charm], first: str, second: str
) -> tuple[endpoints.Endpoint, endpoints.Endpoint]:
    """The two ends that a user means; the provider first.

    Raises:
        BadRequestError: there are none, or several.
    """
    try:
        return endpoints.resolve(first, second, charms)
    except endpoints.EndpointError as error:
        raise BadRequestError(str(error)) from error


def find_relation(
    controller: Controller, model: models.Model, first: str, second: str
) -> relations.Relation:
    """The relation between two applications, which may be named with their endpoints.

    Raises:
        JujuError: there is none, or there are several.
    """

    def fits(relation: relations.Relation) -> bool:
        if relation.peer:
            return False
        ends = {(end.application, end.endpoint) for end in relation.ends}
        sides = [side.partition(":") for side in (first, second)]

        def on(side: tuple[str, str, str], end: tuple[str, str]) -> bool:
            return side[0] == end[0] and side[2] in ("", end[1])

        one, other = tuple(ends)
        return (on(sides[0], one) and on(sides[1], other)) or (
            on(sides[0], other) and on(sides[1], one)
        )

    found = [one for one in relations.every(controller.state, model.uuid) if fits(one)]
    if not found:
        from minijuju.errors import NotFoundError

        raise NotFoundError(f'relation "{first} {second}" not found')
    if len(found) > 1:
        keys = "; ".join(relation.key for relation in found)
        raise BadRequestError(f'ambiguous relation: "{first} {second}" could refer to {keys}')
    return found[0]


__all__ = [
    "JujuError",
    "check_config",
    "check_count",
    "deploy",
    "find_relation",
    "integrate",
    "refresh",
    "scale",
]
