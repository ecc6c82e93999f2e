"""What the parts of the facade share: the controller, and waiting for a change of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from minijuju import applications, models, unit_networks
from minijuju.controller import Controller
from minijuju.errors import BadRequestError, TimedOutError
from minijuju.models import Model
from minijuju.rpc import Reply
from minijuju.uniter import Life


class FacadeBase:
    """Has a controller.

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

    def _alive(self, name: str) -> Model:
        model = models.named(self.state, name)
        if model.life is not Life.ALIVE:
            raise BadRequestError(f"model {model.name!r} is being destroyed")
        return model

    def _living(self, model: Model, name: str) -> applications.Application:
        application = applications.get(self.state, model.uuid, name)
        if application.life is not Life.ALIVE:
            raise BadRequestError(f"application {name!r} is being removed")
        return application

    async def _try_networks(self, reply: Reply, config: Mapping[str, Any]) -> None:
        """See that units can have what a model's configuration promises them, and say what not.

        Raises:
            BadRequestError: they cannot on this machine.
        """
        if config.get("unit-network") == "isolated":
            await asyncio.to_thread(unit_networks.check)
            reply.progress(unit_networks.limits())

    async def _until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `holds()` is true; for ever if the number of seconds is negative.

        Raises:
            TimedOutError: it took longer.
        """
        deadline = time.monotonic() + (seconds if seconds >= 0 else math.inf)
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
