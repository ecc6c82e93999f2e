"""What a cluster holds of the models: units to be seen there, and what is to go from there."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any

from minijuju import applications, models, storages, unit_views
from minijuju.cluster import Access
from minijuju.errors import JujuError
from minijuju.state import State
from minijuju.uniter import Life

logger = logging.getLogger(__name__)


class Presence:
    """The models as a cluster has them; without a cluster there is nothing to do.

    Args:
        state: the database.
        access: the way to the cluster.
        changes: gives an event that is set whenever anything changes.
    """

    def __init__(
        self,
        state: State,
        access: Access,
        changes: Callable[[], AbstractContextManager[asyncio.Event]],
    ) -> None:
        self.state = state
        self.access = access
        self._changes = changes
        self._chores = asyncio.Event()
        self._shown: dict[tuple[str, str], unit_views.ApplicationView] = {}
        self._showing = asyncio.Lock()

    def work(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What is to run as long as the controller does, by name."""
        if self.access.kubeconfig is None:
            return {}
        return {
            "chores": self._do_chores(),
            "units in the cluster": self._show_units(),
            "stateful sets": self._follow_templates(),
        }

    # Chores: what is to be done in the cluster, once the database says so, until it is done.

    def plan(self, what: str, *words: str) -> None:
        """Have a chore done; call inside the transaction that makes it due."""
        if self.access.kubeconfig is not None:
            self.state.execute(
                "INSERT INTO chore (what, words) VALUES (?, ?)", what, json.dumps(words)
            )
            self._chores.set()

    async def _do_chores(self) -> None:
        pause = 1.0
        while True:
            chore = self.state.row("SELECT * FROM chore ORDER BY id LIMIT 1")
            if chore is None:
                self._chores.clear()
                await self._chores.wait()
                continue
            try:
                await self._do(chore["what"], json.loads(chore["words"]))
                self.state.execute("DELETE FROM chore WHERE id = ?", chore["id"])
            except (JujuError, sqlite3.OperationalError) as error:
                logger.warning("%s; trying again in %.0f s", error, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 300.0)
                continue
            pause = 1.0

    async def _do(self, what: str, words: list[str]) -> None:
        """One chore, unless what it is about is there again."""
        if what == "claim":
            model, uuid, application, name, unit = words
            held = storages.every(self.state, uuid, unit)
            if not any(storage.name == name for storage in held):
                await self.access.remove_claim(model, uuid, application, name, unit)
        elif what == "application":
            model, uuid, application = words
            if applications.find(self.state, uuid, application) is None:
                await self.access.remove_application(model, uuid, application)
        else:
            model, uuid = words
            await self.access.remove_model(model, uuid)

    # What the cluster shows of units, and what is changed there.

    async def show(self, key: tuple[str, str], coming: unit_views.UnitView | None = None) -> None:
        """Show an application as it is. Raises JujuError.

        Args:
            key: its model's uuid and its name.
            coming: a unit whose pod is about to start.
        """
        async with self._showing:
            view = unit_views.view(self.state, *key, coming)
            if view is None:
                self._shown.pop(key, None)
            elif self._shown.get(key) != view:
                # What is shown by half is shown again, not taken for shown.
                self._shown.pop(key, None)
                await self.access.show(view)
                self._shown[key] = view

    async def _show_units(self) -> None:
        pause = 1.0
        with self._changes() as changed:
            while True:
                changed.clear()
                failed = False
                for key in list(unit_views.every(self.state)):
                    try:
                        await self.show(key)
                    except JujuError as error:
                        failed = True
                        logger.warning("%s; trying again in %.0f s", error, pause)
                if failed:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 300.0)
                    continue
                pause = 1.0
                await changed.wait()
                # Changes come in clusters; one look at them will do.
                await asyncio.sleep(0.1)

    async def _follow_templates(self) -> None:
        pause = 1.0
        while True:
            try:
                async for template in self.access.templates():
                    pause = 1.0
                    self.follow(template)
            except (JujuError, sqlite3.OperationalError) as error:
                logger.warning("%s; trying again in %.0f s", error, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 300.0)

    def follow(self, template: unit_views.Template) -> None:
        """Give the units new pods if somebody has changed the template that they are made of."""
        known = models.every(self.state)
        model = next((one for one in known if one.name == template.model), None)
        if model is None:
            return
        found = applications.find(self.state, model.uuid, template.application)
        if found is None or found.life is not Life.ALIVE:
            return
        if template.digest == (found.template or unit_views.UNTOUCHED):
            return
        with self.state.transaction():
            applications.update(
                self.state,
                found,
                template=template.digest,
                memory=template.memory,
                charm_version=found.charm_version + 1,
            )
