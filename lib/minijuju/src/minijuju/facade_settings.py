"""What can be asked about settings: of models, of the defaults of models, of applications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minijuju import applications, deployment, model_settings, models, status
from minijuju.errors import BadRequestError
from minijuju.facade_base import FacadeBase
from minijuju.house import load_charm
from minijuju.rpc import Reply

HOSTNAME = "juju-external-hostname"


class SettingsMethods(FacadeBase):
    """Configuration, constraints, exposing and notes."""

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
            models.changed_config(self.state, found, set, reset)
            await self._try_networks(reply, set)
            models.set_config(self.state, found, set, reset)
            _warn(reply, [*set, *reset])
            found = models.named(self.state, model)
        return model_settings.config_document(self.state, found)

    async def model_defaults(
        self,
        reply: Reply,
        set: dict[str, Any] = {},  # noqa: A002, B006 - the wire's name; never changed
        reset: list[str] = [],  # noqa: B006 - never changed
    ) -> dict[str, Any]:
        """Read or change what models that are added get."""
        if set or reset:
            await self._try_networks(reply, set)
            with self.state.transaction():
                model_settings.set_defaults(self.state, set, reset)
            _warn(reply, [*set, *reset])
        return model_settings.defaults_document(self.state)

    async def model_constraints(self, reply: Reply, model: str) -> str:
        """What a model's applications get where they say nothing else."""
        return model_settings.constraints_text(self.state, models.named(self.state, model))

    async def set_model_constraints(self, reply: Reply, model: str, constraints: str) -> None:
        """Replace a model's constraints."""
        found = self._alive(model)
        parsed = deployment.check_constraints(constraints)
        with self.state.transaction():
            model_settings.set_constraints(self.state, found, parsed)

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
        own, plain = deployment.split_config(charm, settings)
        trust = plain.pop("trust", None) if "trust" not in charm.options else None
        if trust is not None and str(trust).lower() not in ("true", "false"):
            raise BadRequestError(f'option "trust" expected bool, got {trust!r}')
        back = [key for key in reset if key in charm.options]
        for key in reset:
            if key not in charm.options and key not in ("trust", *applications.APPLICATION_KEYS):
                raise BadRequestError(f'unknown option "{key}"')
        checked = deployment.check_config(charm, plain)
        after = {key: value for key, value in one.config.items() if key not in back}
        kept = {key: value for key, value in one.settings.items() if key not in reset}
        with self.state.transaction():
            applications.update(
                self.state, one, config={**after, **checked}, settings={**kept, **own}
            )
        if trust is not None or ("trust" in reset and "trust" not in charm.options):
            await self._trust(found, one, trusted=str(trust).lower() == "true")

    async def trust(
        self, reply: Reply, model: str, application: str, remove: bool = False
    ) -> None:
        """Trust an application with the cluster, or no longer."""
        found = self._alive(model)
        one = applications.get(self.state, found.uuid, application)
        await self._trust(found, one, trusted=not remove)

    async def _trust(
        self, model: models.Model, application: applications.Application, *, trusted: bool
    ) -> None:
        # The cluster first: the hook that follows shall find the rights it is told of.
        await self.controller.access.trust(
            model.name, model.uuid, application.name, trusted=trusted
        )
        with self.state.transaction():
            applications.update(self.state, application, trust=trusted)

    async def set_constraints(
        self, reply: Reply, model: str, application: str, constraints: str
    ) -> None:
        """Replace an application's constraints; another `mem` gives its units new pods."""
        found = self._alive(model)
        parsed = deployment.check_constraints(constraints)
        with self.state.transaction():
            one = self._living(found, application)
            version = one.charm_version + (parsed.get("mem") != one.constraints.get("mem"))
            applications.update(self.state, one, constraints=parsed, charm_version=version)

    async def expose(self, reply: Reply, model: str, application: str) -> None:
        """Note that an application shall be reachable from outside."""
        found = self._alive(model)
        with self.state.transaction():
            one = self._living(found, application)
            if not one.settings.get(HOSTNAME):
                raise BadRequestError(
                    f'cannot expose a container application without a "{HOSTNAME}" value set, '
                    f"run\njuju config {application} {HOSTNAME}=<value>"
                )
            applications.update(self.state, one, exposed=True)

    async def unexpose(self, reply: Reply, model: str, application: str) -> None:
        """Take that back."""
        found = self._alive(model)
        with self.state.transaction():
            applications.update(self.state, self._living(found, application), exposed=False)

    async def annotate(
        self, reply: Reply, model: str, application: str, annotations: dict[str, str]
    ) -> None:
        """Add notes to an application; an empty text takes one away."""
        found = self._alive(model)
        with self.state.transaction():
            one = self._living(found, application)
            both = {**one.annotations, **annotations}
            left = {key: value for key, value in both.items() if value}
            applications.update(self.state, one, annotations=left)


def _warn(reply: Reply, keys: Iterable[str]) -> None:
    for text in models.strangers(keys):
        reply.progress(text)
