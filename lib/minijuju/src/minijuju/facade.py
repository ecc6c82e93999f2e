"""The methods of the controller, one for each thing that a user may ask for."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from minijuju import (
    applications,
    backup,
    deployment,
    logs,
    model_settings,
    models,
    offers,
    relations,
    secret_documents,
    secret_readers,
    secrets,
    status,
    statuses,
    units,
    user_secrets,
)
from minijuju.errors import BadRequestError, JujuError, NotFoundError
from minijuju.facade_offers import OfferMethods
from minijuju.facade_settings import SettingsMethods
from minijuju.facade_stores import StoreMethods
from minijuju.facade_tasks import TaskMethods
from minijuju.hooks.environment import VERSION
from minijuju.models import Model
from minijuju.rpc import Method, Reply
from minijuju.state import COPY
from minijuju.uniter import Life, Resolved, Step
from sandbox.errors import SandboxError

REMOVE_TIMEOUT = 120.0
# Kinds of statuses by the names that Juju shows.
_KINDS = {"agent": "juju-unit"}


class Facade(SettingsMethods, TaskMethods, StoreMethods, OfferMethods):
    """Everything that can be asked of a controller."""

    def methods(self) -> dict[str, Method]:
        """Every method by name."""
        names = [name for name in dir(self) if not name.startswith("_")]
        return {
            name: getattr(self, name)
            for name in names
            if name != "methods" and asyncio.iscoroutinefunction(getattr(self, name))
        }

    # The controller.

    async def ping(self, reply: Reply) -> dict[str, Any]:
        """Whether it is there."""
        return {"pid": os.getpid()}

    async def version(self, reply: Reply) -> dict[str, str]:
        """The version of Juju that it behaves as."""
        return {"version": VERSION}

    async def controller_info(self, reply: Reply) -> dict[str, Any]:
        """What the controller is, and the models it has."""
        every = models.every(self.state)
        return {
            "uuid": self.state.meta("controller-uuid"),
            "version": VERSION,
            "created": status.since(self.controller.created),
            "backup": {
                "file": str(self.controller.data / COPY),
                "written": backup.age(self.controller.data / COPY),
                "problem": self.controller.backup_problem,
            },
            "models": {
                model.name: {
                    "model-uuid": model.uuid,
                    "unit-count": len(units.every(self.state, model.uuid)),
                }
                for model in every
            },
        }

    async def shutdown(self, reply: Reply) -> dict[str, Any]:
        """End the controller and all pods; the caller waits for the process to end."""
        self.stop_pods = True
        # A little later, so that this answer is on its way first.
        asyncio.get_running_loop().call_later(0.05, self._done.set)
        return {"pid": os.getpid()}

    # Models.

    async def add_model(
        self,
        reply: Reply,
        name: str,
        config: dict[str, Any] = {},  # noqa: B006 - never changed
    ) -> dict[str, Any]:
        """Make a model."""
        await self._try_networks(reply, config)
        model = models.add(self.state, name, config, model_settings.defaults(self.state))
        for text in models.strangers(config):
            reply.progress(text)
        return status.model_document(self.state, model)

    async def models(self, reply: Reply) -> dict[str, Any]:
        """Every model, as `juju models` has them."""
        every = models.every(self.state)
        return {"models": [status.model_document(self.state, model) for model in every]}

    async def show_model(self, reply: Reply, model: str) -> dict[str, Any]:
        """One model."""
        found = models.named(self.state, model)
        return {found.name: status.model_document(self.state, found)}

    async def destroy_model(
        self,
        reply: Reply,
        model: str,
        force: bool = False,
        destroy_storage: bool = False,
        timeout: float = REMOVE_TIMEOUT,  # noqa: ASYNC109 - the wire's name
    ) -> None:
        """Let everything in the model go, then the model; waits until it is gone."""
        found = models.named(self.state, model)
        with self.state.transaction():
            models.set_dying(self.state, found, destroy_storage=destroy_storage)
            for application in applications.every(self.state, found.uuid):
                self._remove_application(application, destroy_storage=destroy_storage, force=force)
            for relation in relations.every(self.state, found.uuid):
                if not relation.peer:
                    relations.set_dying(self.state, relation)
        await self._until(
            lambda: models.get(self.state, found.uuid) is None,
            timeout,
            f"the model {found.name} to be gone; see juju status, and try --force",
        )

    # Applications.

    async def deploy(
        self,
        reply: Reply,
        model: str,
        application: str,
        charm: str,
        config: dict[str, Any] = {},  # noqa: B006 - never changed
        resources: dict[str, str] = {},  # noqa: B006 - never changed
        num_units: int = 1,
        trust: bool = False,
        storage: dict[str, str] = {},  # noqa: B006 - never changed
        constraints: str = "",
        channel: str = "",
        revision: int = 0,
        force: bool = False,
    ) -> dict[str, Any]:
        """Add an application with its units; a channel says that the charm is a store's."""
        made = await deployment.deploy(
            self.controller,
            self._alive(model),
            application,
            charm,
            config=config,
            resources=resources,
            num_units=num_units,
            trust=trust,
            storage=storage,
            limits=constraints,
            progress=reply.progress,
            origin=_origin(channel, revision),
            force=force,
        )
        return {"application": made.name, "charm": made.charm.url}

    async def refresh(
        self,
        reply: Reply,
        model: str,
        application: str,
        path: str = "",
        resources: dict[str, str] = {},  # noqa: B006 - never changed
        config: dict[str, Any] = {},  # noqa: B006 - never changed
        trust: bool | None = None,
        storage: dict[str, str] = {},  # noqa: B006 - never changed
        channel: str = "",
        revision: int = 0,
        force: bool = False,
    ) -> dict[str, Any]:
        """Give an application another charm or other resources."""
        found = self._alive(model)
        made = await deployment.refresh(
            self.controller,
            found,
            application,
            path=path,
            resources=resources,
            config=config,
            trust=trust,
            storage=storage,
            progress=reply.progress,
            origin=_origin(channel, revision),
            force=force,
        )
        if trust is not None:
            await self.controller.access.trust(found.name, found.uuid, application, trusted=trust)
        return {"application": made.name, "charm": made.charm.url}

    async def status(self, reply: Reply, model: str) -> dict[str, Any]:
        """The model as `juju status` shows it."""
        return status.document(self.house, models.named(self.state, model))

    async def scale_application(
        self, reply: Reply, model: str, application: str, scale: int
    ) -> None:
        """Set how many units there are."""
        found = self._alive(model)
        deployment.check_count(scale)
        with self.state.transaction():
            one = self._living(found, application)
            deployment.scale(self.controller, one, scale)

    async def add_unit(self, reply: Reply, model: str, application: str, count: int = 1) -> None:
        """Add units."""
        found = self._alive(model)
        if count < 1:
            raise BadRequestError(f"must add at least one unit, not {count}")
        with self.state.transaction():
            one = self._living(found, application)
            deployment.check_count(one.scale + count)
            deployment.scale(self.controller, one, one.scale + count)

    async def remove_unit(
        self,
        reply: Reply,
        model: str,
        application: str = "",
        units: list[str] = [],  # noqa: B006 - never changed
        count: int = 1,
        destroy_storage: bool = False,
        force: bool = False,
    ) -> list[str]:
        """Remove units, the highest numbers first; the names of those that go."""
        if units:
            raise BadRequestError("on Kubernetes units are not removed by name; say how many")
        found = self._alive(model)
        if count < 1:
            raise BadRequestError(f"must remove at least one unit, not {count}")
        with self.state.transaction():
            one = self._living(found, application)
            if count > one.scale:
                raise BadRequestError(
                    f"cannot remove {count} units of {application!r}: it has {one.scale}"
                )
            before = self._alive_units(one)
            deployment.scale(self.controller, one, one.scale - count)
            going = [name for name in before if name not in self._alive_units(one)]
            # With force also those that were asked to go before and cannot.
            for unit in _units(self.state, one):
                if unit.name in going and destroy_storage:
                    _set(self.state, unit, destroy_storage=True)
                if force and unit.life is not Life.ALIVE:
                    self.controller.destroy(unit)
        return going

    def _alive_units(self, application: applications.Application) -> list[str]:
        return [unit.name for unit in _units(self.state, application) if unit.life is Life.ALIVE]

    async def remove_application(
        self,
        reply: Reply,
        model: str,
        applications: list[str],
        destroy_storage: bool = False,
        force: bool = False,
    ) -> None:
        """Let applications go with their units and relations."""
        found = models.named(self.state, model)
        with self.state.transaction():
            every = [_application(self.state, found, name) for name in applications]
            for one in every:
                if not force:
                    self._check_offers(one)
            for one in every:
                self._remove_application(one, destroy_storage=destroy_storage, force=force)

    def _check_offers(self, application: applications.Application) -> None:
        """See that nobody uses what the application offers."""
        used = [
            half
            for offer in offers.every(self.state, application.model)
            if offer.application == application.name
            for half in offers.connections(self.state, offer)
        ]
        if used:
            noun = "consumer" if len(used) == 1 else "consumers"
            raise BadRequestError(
                f'cannot destroy application "{application.name}": application is used by '
                f"{len(used)} {noun}"
            )

    def _remove_application(
        self, application: applications.Application, *, destroy_storage: bool, force: bool
    ) -> None:
        applications.update(
            self.state,
            application,
            life=Life.DYING,
            scale=0,
            destroy_storage=destroy_storage or application.destroy_storage,
        )
        for relation in relations.every(self.state, application.model, application.name):
            if not relation.peer:
                relations.set_dying(self.state, relation)
        for unit in _units(self.state, application):
            _set(self.state, unit, life=Life.DYING)
            if destroy_storage:
                _set(self.state, unit, destroy_storage=True)
            if force:
                self.controller.destroy(_unit(self.state, unit))
        if force:
            for relation in relations.every(self.state, application.model, application.name):
                for name in relations.scope(self.state, relation):
                    if name.partition("/")[0] == application.name:
                        relations.leave_scope(self.state, application.model, relation.id, name)

    # Relations.

    async def integrate(self, reply: Reply, model: str, endpoints: list[str]) -> dict[str, Any]:
        """Relate two applications."""
        if len(endpoints) != 2:
            raise BadRequestError(f"expected two endpoints, got {len(endpoints)}")
        made = deployment.integrate(self.controller, self._alive(model), *endpoints)
        return relations.document(made)

    async def remove_relation(
        self, reply: Reply, model: str, endpoints: list[str], force: bool = False
    ) -> None:
        """Take a relation away, by its ends or its number; with force without its units."""
        found = models.named(self.state, model)
        if len(endpoints) == 1 and endpoints[0].isdecimal() and len(endpoints[0]) < 10:
            known = relations.find(self.state, found.uuid, int(endpoints[0]))
            if known is None:
                raise NotFoundError(f"relation {endpoints[0]} not found")
            if known.peer:
                raise BadRequestError(f"cannot remove peer relation {known.key!r}")
            relation = known
        elif len(endpoints) == 2:
            relation = deployment.find_relation(self.controller, found, *endpoints)
        else:
            raise BadRequestError(f"expected two endpoints, got {len(endpoints)}")
        with self.state.transaction():
            relations.set_dying(self.state, relation)
            if force:
                relations.remove(self.state, relation)

    # Units.

    async def resolved(
        self, reply: Reply, model: str, units: list[str], retry: bool = True
    ) -> None:
        """Try a failed hook again, or skip it; a hook that hangs is killed first."""
        found = models.named(self.state, model)
        for name in units:
            unit = _get_unit(self.state, found, name)
            pending = unit.local.pending
            agent = self.controller.agents.get((found.uuid, name))
            hanging = agent is not None and agent.busy and pending is not None
            if not hanging and (pending is None or pending.step is not Step.FAILED):
                raise BadRequestError(f'unit "{name}" is not in an "error" state')
            with self.state.transaction():
                _set(self.state, unit, resolved=Resolved.RETRY if retry else Resolved.SKIP)
            if hanging and agent is not None:
                agent.kill()

    async def ssh(
        self,
        reply: Reply,
        model: str,
        unit: str,
        container: str = "charm",
        command: list[str] = [],  # noqa: B006 - never changed
    ) -> dict[str, Any]:
        """What a terminal has to run to be in a unit's container."""
        found = models.named(self.state, model)
        name = _get_unit(self.state, found, unit).name
        agent = self.controller.agents.get((found.uuid, name))
        if agent is None or agent.pod.runtime is None:
            raise JujuError(f"unit {name!r} has no pod yet")
        try:
            argv, env = agent.pod.runtime.ssh_argv(container, command)
        except KeyError:
            raise NotFoundError(f"unit {name!r} has no container {container!r}") from None
        except SandboxError as error:
            raise JujuError(str(error)) from error
        return {"argv": argv, "env": env}

    async def show_unit(self, reply: Reply, model: str, units: list[str]) -> dict[str, Any]:
        """Units with the data of their relations."""
        found = models.named(self.state, model)
        return {
            name: status.show_unit(self.state, found, _get_unit(self.state, found, name))
            for name in units
        }

    async def show_application(
        self, reply: Reply, model: str, applications: list[str]
    ) -> dict[str, Any]:
        """Applications in detail."""
        found = models.named(self.state, model)
        return {
            name: status.show_application(self.state, _application(self.state, found, name))
            for name in applications
        }

    async def show_status_log(
        self,
        reply: Reply,
        model: str,
        entity: str,
        limit: int = 20,
        kinds: list[str] = [],  # noqa: B006 - never changed
        since: float = 0.0,
    ) -> list[dict[str, Any]]:
        """The last statuses of a unit or application, of some kinds, since a moment."""
        found = models.named(self.state, model)
        whole = statuses.history(self.state, found.uuid, entity)
        chosen = [
            {
                "type": _KINDS.get(kind, kind),
                "status": one.status,
                "message": one.message,
                "since": status.since(one.since),
            }
            for kind, one in whole
            if one.since >= since and (not kinds or _KINDS.get(kind, kind) in kinds)
        ]
        return chosen[-limit:] if limit else []

    # Logs and secrets.

    async def debug_log(
        self,
        reply: Reply,
        model: str,
        limit: int = 0,
        tail: bool = False,
        replay: bool = False,
        level: str = "",
        include: list[str] = [],  # noqa: B006 - never changed
        exclude: list[str] = [],  # noqa: B006 - never changed
        include_modules: list[str] = [],  # noqa: B006 - never changed
        exclude_modules: list[str] = [],  # noqa: B006 - never changed
    ) -> None:
        """Send the log's records: the last `limit`, or with `replay` all, then what comes."""
        if level and level.upper() not in logs.LEVELS:
            raise BadRequestError(
                f"level: expected one of {', '.join(logs.LEVELS)}, got {level!r}"
            )
        log = self.house.log(models.named(self.state, model).uuid)
        end = log.end()
        known = await asyncio.to_thread(log.read, end)

        def wanted(record: dict[str, Any]) -> bool:
            return logs.matches(
                record, level=level, include=include, exclude=exclude
            ) and logs.of_modules(record, include_modules, exclude_modules)

        chosen = [record for record in known if wanted(record)]
        for record in chosen if replay or not limit else chosen[-limit:]:
            await reply.item(record)
        if not tail:
            return
        async for record in log.follow(end):
            if wanted(record):
                await reply.item(record)

    async def secrets(self, reply: Reply, model: str, owner: str = "") -> dict[str, Any]:
        """The model's secrets, without contents."""
        found = models.named(self.state, model)
        return status.secret_list(self.state, self.house.vault, found.uuid, owner)

    async def show_secret(
        self,
        reply: Reply,
        model: str,
        secret: str,
        reveal: bool = False,
        revision: int | None = None,
        revisions: bool = False,
    ) -> dict[str, Any]:
        """One secret, by id or label; its content only if asked for."""
        found = models.named(self.state, model)
        for one in secrets.every(self.state, found.uuid):
            if secret in (one.id, one.uri) or (one.label and secret == one.label):
                shown = secret_documents.document(
                    self.state,
                    self.house.vault,
                    one,
                    reveal=reveal,
                    revision=revision,
                    all_=revisions,
                )
                return {one.id: shown}
        raise NotFoundError(f"secret {secret!r} not found")

    async def add_secret(
        self, reply: Reply, model: str, name: str, content: dict[str, str], info: str = ""
    ) -> str:
        """Add a user's secret; its URI. Keys may end with `#base64`, as their values are then."""
        found = self._alive(model)
        with self.state.transaction():
            made = user_secrets.add(
                self.state,
                self.house.vault,
                found.uuid,
                owner=found.name,
                name=name,
                content=secrets.decoded(content),
                description=info,
            )
        return made.uri

    async def update_secret(
        self,
        reply: Reply,
        model: str,
        secret: str,
        content: dict[str, str] | None = None,
        name: str | None = None,
        info: str | None = None,
        auto_prune: bool | None = None,
    ) -> None:
        """Change a user's secret; its readers hear of new content by secret-changed."""
        found = self._alive(model)
        if content is not None:
            content = secrets.decoded(content)
            secrets.check_content(content)
        with self.state.transaction():
            one = user_secrets.find(self.state, found.uuid, secret)
            one = secrets.change(
                self.state, self.house.vault, one, content=content, label=name, description=info
            )
            if auto_prune is not None:
                user_secrets.prune(self.state, one, on=auto_prune)
            secret_readers.discard(self.state, one)

    async def grant_secret(
        self, reply: Reply, model: str, secret: str, applications: list[str]
    ) -> None:
        """Let applications read a user's secret."""
        found = self._alive(model)
        with self.state.transaction():
            one = user_secrets.find(self.state, found.uuid, secret)
            for name in applications:
                user_secrets.grant(self.state, one, _application(self.state, found, name).name)

    async def revoke_secret(
        self, reply: Reply, model: str, secret: str, applications: list[str]
    ) -> None:
        """Take that back."""
        found = self._alive(model)
        with self.state.transaction():
            one = user_secrets.find(self.state, found.uuid, secret)
            for name in applications:
                user_secrets.revoke(self.state, one, _application(self.state, found, name).name)

    async def remove_secret(
        self, reply: Reply, model: str, secret: str, revision: int | None = None
    ) -> None:
        """Remove a user's secret, or one revision of it."""
        found = self._alive(model)
        with self.state.transaction():
            one = user_secrets.find(self.state, found.uuid, secret)
            secrets.remove(self.state, one, revision)


def _origin(channel: str, revision: int) -> deployment.Origin | None:
    return deployment.Origin(channel, revision) if channel else None


# The names of parameters are the wire's, and hide the modules of the same names.


def _units(state: Any, application: applications.Application) -> list[units.Unit]:
    return units.every(state, application.model, application.name)


def _unit(state: Any, unit: units.Unit) -> units.Unit:
    return units.get(state, unit.model, unit.name)


def _get_unit(state: Any, model: Model, name: str) -> units.Unit:
    return units.get(state, model.uuid, name)


def _set(state: Any, unit: units.Unit, **values: Any) -> None:
    units.update(state, unit.model, unit.name, **values)


def _application(state: Any, model: Model, name: str) -> applications.Application:
    return applications.get(state, model.uuid, name)
