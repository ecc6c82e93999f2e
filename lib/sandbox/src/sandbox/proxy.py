"""Service addresses: starts, adopts, feeds and ends the process that balances.

The balancer (`balancer.py`) is a process of its own, so that connections survive its owner's
death. Its folder holds `routes.json`, `applied.json`, `process.json` and its log.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import process
from sandbox.attendant import Attendant, Service

PROGRAM = Path(__file__).with_name("balancer.py")
_SERVICE = Service(
    name="balancer",
    command=(sys.executable, "-I", "-S", str(PROGRAM)),
    wanted="routes.json",
    patience=10.0,
)


@dataclass(frozen=True, slots=True)
class Route:
    """`listen`:`port` goes to one of the `targets` in turn. TCP only.

    Attributes:
        listen: A service's address.
        port: A port of it.
        targets: The addresses and ports that serve it; with none, clients are cut off.
    """

    listen: str
    port: int
    targets: tuple[tuple[str, int], ...]

    def document(self) -> dict[str, Any]:
        """The route as the programs that serve it read it."""
        return {
            "listen": self.listen,
            "port": self.port,
            "targets": [list(target) for target in self.targets],
        }


class Proxy:
    """The balancer in `folder`; one for each owner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attendant = Attendant(folder, _SERVICE)

    @property
    def identity(self) -> process.Identity | None:
        """The running balancer, whoever started it."""
        return self._attendant.identity

    async def apply(self, wanted: Sequence[Route]) -> dict[str, str]:
        """Bring the balancer to these routes, starting it if it does not run.

        Returns:
            By "address:port", why a route could not be listened on. It is tried again until it
            can, or until the route is gone.

        Raises:
            OSError: the balancer cannot be started, or does not answer.
        """
        answer = await self._attendant.apply({"routes": [route.document() for route in wanted]})
        failed: dict[str, str] = answer["failed"]
        return failed

    async def ended(self) -> None:
        """Wait until the balancer that runs has ended, however that came; none has ended."""
        await self._attendant.ended()

    async def stop(self) -> None:
        """End the balancer, and with it the service addresses."""
        await self._attendant.stop()
