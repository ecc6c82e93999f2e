"""What the handlers work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinykube.node.client import NodeLogs
from tinykube.registry import Registry
from tinykube.store import Store
from tinykube.tokens import Tokens
from tinykube.watch import Hub


@dataclass(frozen=True, slots=True)
class Context:
    """The parts behind the API.

    Attributes:
        registry: the operations.
        hub: the watches.
        tokens: issues and verifies tokens.
        logs: where the containers' logs are.
        address: what discovery gives as the server's address, `127.0.0.1:16443`.
        health: names what is wrong; nothing if all is well.
    """

    registry: Registry
    hub: Hub
    tokens: Tokens
    logs: NodeLogs
    address: str
    health: Callable[[], list[str]] = list

    @property
    def store(self) -> Store:
        """Where the objects are."""
        return self.registry.store
