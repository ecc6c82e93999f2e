"""What can be asked about what applications keep and are given: storage and resources."""

from __future__ import annotations

from typing import Any

from minijuju import applications, models, status, storages
from minijuju.errors import BadRequestError, NotFoundError
from minijuju.facade_base import FacadeBase
from minijuju.house import load_charm
from minijuju.rpc import Reply


class StoreMethods(FacadeBase):
    """Storage and resources."""

    async def storage(self, reply: Reply, model: str) -> dict[str, Any]:
        """A model's storage, as in its status."""
        return status.storage(self.state, models.named(self.state, model).uuid)

    async def remove_storage(self, reply: Reply, model: str, storage: list[str]) -> None:
        """Destroy storage that no unit has."""
        found = models.named(self.state, model)
        known = {one.id: one for one in storages.every(self.state, found.uuid)}
        for name in storage:
            if name not in known:
                raise NotFoundError(f'storage "{name}" not found')
            if known[name].attached:
                raise BadRequestError(
                    f"storage {name} is attached to {known[name].unit}; on Kubernetes it cannot "
                    f"be detached: remove the unit first"
                )
        with self.state.transaction():
            for name in storage:
                self.controller.destroy_storage(known[name], known[name].unit.removeprefix("~"))

    async def resources(self, reply: Reply, model: str, application: str) -> list[dict[str, Any]]:
        """The resources of an application: what the charm says, and what was given."""
        found = models.named(self.state, model)
        one = applications.get(self.state, found.uuid, application)
        shown = []
        for name, declared in sorted(load_charm(one.charm.path).resources.items()):
            given = one.resources.get(name)
            entry = {
                "name": name,
                "type": declared.type,
                "path": declared.filename,
                "description": declared.description,
                "origin": "upload" if given else "",
                "source": given["source"] if given else "",
            }
            shown.append(entry)
        return shown
