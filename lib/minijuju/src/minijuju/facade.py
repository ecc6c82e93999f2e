"""The methods of the controller, one for each thing that a user may ask for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minijuju import (
    applications,
    deployment,
    logs,
    models,
    relations,
    schema,
    secrets,
    status,
    statuses,
    tasks,
    units,
    user_secrets,
)
from minijuju.controller import Controller
from minijuju.errors import BadRequestError, JujuError, NotFoundError, TimedOutError
from minijuju.hooks.environment import VERSION
from minijuju.house import load_charm
from minijuju.models import Model
from minijuju.rpc import Method, Reply
from minijuju.uniter import Life, Resolved, Step

RUN_TIMEOUT = 60.0
REMOVE_TIMEOUT = 120.0


class Facade:
    """Everything that can be asked of a controller.

    Args:
        controller: the controller.
        done: set when the controller shall end.
    """

    def __init__(self, controller: Controller, done: asyncio.Event) -> None:
        self.controller = controller
        self.state = controller.state
        self.house = controller.house
        self.stop_pods = False
        self._done = done

    def methods(self) -> dict[str, Method]:
        """Every method by name."""
        names = [name for name in dir(self) if not name.startswith("_")]
        return {
            name: getattr(self, name)
            for name in names
            if name != "methods" and asyncio.iscoroutinefunction(getattr(self, name))
        }

    def _alive(self, name: str) -> Model:
        model = models.named(self.state, name)
        if model.life is not Life.ALIVE:
            raise BadRequestError(f"model {model.name!r} is being destroyed")
        return model

    async def _until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `holds()` is true."""
        deadline = time.monotonic() + seconds
        with self.controller.changes() as event:
            while not holds():
                event.clear()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimedOutError(f"timed out waiting for {what}")
                try:
                    async with asyncio.timeout(left):
                        await event.wait()
                except TimeoutError:
                    continue

    # The controller.

    async def ping(self, reply: Reply) -> dict[str, Any]:
        """Whether it is there."""
        return {"pid": os.getpid()}

    async def version(self, reply: Reply) -> dict[str, str]:
        """The version of Juju that it behaves as."""
        return {"version": VERSION}

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
        model = models.add(self.state, name, config)
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
        self, reply: Reply, model: str, force: bool = False, destroy_storage: bool = False
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
            REMOVE_TIMEOUT,
            f"the model {found.name} to be gone; see juju status, and try --force",
        )

    async def model_config(
        self,
        reply: Reply,
        model: str,
        set: dict[str, Any] = {},  # noqa: A002, B006 - the wire's name; never changed
        reset: list[str] = [],  # noqa: B006 - never changed
    ) -> dict[str, Any]:
        """Read or change a model's configuration."""
        found = models.named(self.state, model)
        if set or reset:
            models.set_config(self.state, found, set, reset)
            found = models.named(self.state, model)
        return {
            key: {
                "Value": found.setting(key),
                "Source": "model" if key in found.config else "default",
            }
            for key in models.DEFAULTS
        }

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
    ) -> dict[str, Any]:
        """Add an application with its units."""
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
            progress=reply.progress,
        )
        if trust is not None:
            await self.controller.access.trust(found.name, found.uuid, application, trusted=trust)
        return {"application": made.name, "charm": made.charm.url}

    async def status(self, reply: Reply, model: str) -> dict[str, Any]:
        """The model as `juju status` shows it."""
        return status.document(self.house, models.named(self.state, model))

    async def config_get(self, reply: Reply, model: str, application: str) -> dict[str, Any]:
        """An application's configuration."""
        found = models.named(self.state, model)
        return status.config(self.state, applications.get(self.state, found.uuid, application))

    async def config_set(
        self,
        reply: Reply,
        model: str,
        application: str,
        settings: dict[str, Any] = {},  # noqa: B006 - never changed
        reset: list[str] = [],  # noqa: B006 - never changed
    ) -> None:
        """Change an application's configuration."""
        found = self._alive(model)
        one = applications.get(self.state, found.uuid, application)
        charm = load_charm(one.charm.path)
        plain = dict(settings)
        trust = plain.pop("trust", None) if "trust" not in charm.options else None
        back = [key for key in reset if key != "trust" or "trust" in charm.options]
        for key in back:
            if key not in charm.options:
                raise BadRequestError(f'unknown option "{key}"')
        checked = deployment.check_config(charm, plain)
        after = {key: value for key, value in one.config.items() if key not in back}
        with self.state.transaction():
            applications.update(self.state, one, config={**after, **checked})
        if trust is not None or len(back) != len(reset):
            wanted = str(trust).lower() == "true" if trust is not None else False
            if trust is not None and str(trust).lower() not in ("true", "false"):
                raise BadRequestError(f'option "trust" expected bool, got {trust!r}')
            await self._trust(found, one, trusted=wanted)

    async def trust(
        self, reply: Reply, model: str, application: str, remove: bool = False
    ) -> None:
        """Trust an application with the cluster, or no longer."""
        found = self._alive(model)
        one = applications.get(self.state, found.uuid, application)
        await self._trust(found, one, trusted=not remove)

    async def _trust(
        self, model: Model, application: applications.Application, *, trusted: bool
    ) -> None:
        # The cluster first: the hook that follows shall find the rights it is told of.
        await self.controller.access.trust(
            model.name, model.uuid, application.name, trusted=trusted
        )
        with self.state.transaction():
            applications.update(self.state, application, trust=trusted)

    async def scale_application(
        self, reply: Reply, model: str, application: str, scale: int
    ) -> None:
        """Set how many units there are."""
        found = self._alive(model)
        deployment.check_count(scale)
        with self.state.transaction():
            one = self._living(found, application)
            deployment.scale(self.controller, one, scale)

    def _living(self, model: Model, name: str) -> applications.Application:
        application = applications.get(self.state, model.uuid, name)
        if application.life is not Life.ALIVE:
            raise BadRequestError(f"application {name!r} is being removed")
        return application

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
                self._remove_application(one, destroy_storage=destroy_storage, force=force)

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
        """Take a relation away; with force without waiting for its units."""
        if len(endpoints) != 2:
            raise BadRequestError(f"expected two endpoints, got {len(endpoints)}")
        found = models.named(self.state, model)
        relation = deployment.find_relation(self.controller, found, *endpoints)
        with self.state.transaction():
            relations.set_dying(self.state, relation)
            if force:
                relations.remove(self.state, relation)

    # Tasks.

    async def run(
        self,
        reply: Reply,
        model: str,
        units: list[str],
        action: str,
        params: dict[str, Any] = {},  # noqa: B006 - never changed
        timeout: float = RUN_TIMEOUT,  # noqa: ASYNC109 - the wire's name
    ) -> dict[str, Any]:
        """Run an action on units and wait for the results."""
        found = models.named(self.state, model)
        asked = []
        for name in units:
            unit = _get_unit(self.state, found, name)
            application = applications.get(self.state, found.uuid, unit.application)
            declared = load_charm(application.charm.path).actions.get(action)
            if declared is None:
                raise NotFoundError(f'action "{action}" not defined on unit "{name}" (not found)')
            try:
                asked.append((name, schema.complete(declared.schema, params)))
            except schema.SchemaError as error:
                raise BadRequestError(f'action "{action}": {error}') from error
        return await self._tasks(found, asked, "action", action, timeout, None)

    async def exec(
        self,
        reply: Reply,
        model: str,
        units: list[str],
        command: list[str],
        timeout: float = 300.0,  # noqa: ASYNC109 - the wire's name
    ) -> dict[str, Any]:
        """Run a command line in the charm container of units and wait for the results."""
        if not command:
            raise BadRequestError("no command given")
        found = models.named(self.state, model)
        asked = [(_get_unit(self.state, found, name).name, {"argv": command}) for name in units]
        return await self._tasks(found, asked, "exec", "juju-exec", timeout + 5, timeout)

    async def _tasks(
        self,
        model: Model,
        asked: Sequence[tuple[str, Mapping[str, Any]]],
        kind: str,
        name: str,
        seconds: float,
        limit: float | None,
    ) -> dict[str, Any]:
        with self.state.transaction():
            made = [
                tasks.add(self.state, model.uuid, unit, kind, name, params, limit)
                for unit, params in asked
            ]

        def current() -> list[tasks.Task]:
            return [tasks.get(self.state, model.uuid, task.id) for task in made]

        await self._until(
            lambda: all(task.status not in tasks.OPEN for task in current()),
            seconds,
            f"results from: {', '.join(f'unit {task.unit}' for task in made)}",
        )
        return {task.unit: tasks.document(task) for task in current()}

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
        if agent is None or agent.runtime is None:
            raise JujuError(f"unit {name!r} has no pod yet")
        try:
            argv, env = agent.runtime.ssh_argv(container, command)
        except KeyError:
            raise NotFoundError(f"unit {name!r} has no container {container!r}") from None
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
        self, reply: Reply, model: str, entity: str, limit: int = 20
    ) -> list[dict[str, Any]]:
        """The last statuses of a unit or application."""
        found = models.named(self.state, model)
        return [
            {
                "type": kind,
                "status": one.status,
                "message": one.message,
                "since": status.since(one.since),
            }
            for kind, one in statuses.history(self.state, found.uuid, entity, limit)
        ]

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
    ) -> None:
        """Send the log's records: the last `limit`, or with `replay` all, then what comes."""
        if level and level.upper() not in logs.LEVELS:
            raise BadRequestError(
                f"level: expected one of {', '.join(logs.LEVELS)}, got {level!r}"
            )
        log = self.house.log(models.named(self.state, model).uuid)
        end = log.end()
        known = await asyncio.to_thread(log.read)

        def wanted(record: dict[str, Any]) -> bool:
            return logs.matches(record, level=level, include=include, exclude=exclude)

        chosen = [record for record in known if wanted(record)]
        for record in chosen if replay or not limit else chosen[-limit:]:
            await reply.item(record)
        if not tail:
            return
        last = known[-1]["timestamp"] if known else 0.0
        async for record in log.follow(end):
            if record["timestamp"] > last and wanted(record):
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
                shown = secrets.document(
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
        """Add a user's secret; its URI."""
        found = self._alive(model)
        with self.state.transaction():
            made = user_secrets.add(
                self.state,
                self.house.vault,
                found.uuid,
                owner=found.name,
                name=name,
                content=content,
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
    ) -> None:
        """Change a user's secret; its readers hear of new content by secret-changed."""
        found = self._alive(model)
        if content is not None:
            secrets.check_content(content)
        with self.state.transaction():
            one = user_secrets.find(self.state, found.uuid, secret)
            secrets.change(
                self.state, self.house.vault, one, content=content, label=name, description=info
            )

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
