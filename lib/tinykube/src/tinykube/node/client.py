"""What the node needs from a control plane, and what a control plane needs from the node.

Objects are the API's own JSON as dictionaries. The daemon serves the node in its own process; the
same protocol over HTTP serves a control plane elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sandbox.execution import Execution
from tinykube.node.usage import Usage

JSON = dict[str, Any]

Kind = Literal[
    "Secret", "ConfigMap", "PersistentVolumeClaim", "PersistentVolume", "ServiceAccount"
]


class NotFoundError(LookupError):
    """The API has no such object; the message is the API's own (`secrets "x" not found`)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where pods reach the API: what KUBERNETES_SERVICE_HOST and _PORT say, and its CA as PEM."""

    host: str
    port: int
    ca: str


@dataclass(frozen=True, slots=True)
class PodEvent:
    """One line of the watch on the pods bound to a node.

    Attributes:
        type: `ADDED`, `MODIFIED` or `DELETED`, or `SYNCED` once, after every pod that existed
            when the watch began has been reported as `ADDED`.
        pod: the pod as the event left it; empty for `SYNCED`.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]
    pod: JSON


class NodeClient(Protocol):
    """The control plane as the node sees it. Every method may raise OSError: it is tried again."""

    @property
    def endpoint(self) -> Endpoint:
        """The API's address for pods."""
        ...

    async def register(self, node: JSON) -> None:
        """Create the Node, or bring an existing one's labels and status up to `node`."""
        ...

    async def heartbeat(self, name: str, seconds: int) -> None:
        """Renew the node's Lease `name` in kube-node-lease, valid for `seconds`."""
        ...

    def watch_pods(self, node: str) -> AsyncIterator[PodEvent]:
        """Follow the pods whose `spec.nodeName` is `node`.

        Ends or raises when the watch is lost; the node then calls it again and takes what it
        does not see before `SYNCED` for deleted. A pod with `metadata.deletionTimestamp` is to
        be ended by the node, which then calls `remove_pod`.
        """
        ...

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JSON:
        """Read one object. Raises NotFoundError."""
        ...

    async def token(
        self, namespace: str, account: str, pod: JSON, audiences: Sequence[str], seconds: int
    ) -> str:
        """Issue a token of a service account, bound to `pod`. Raises NotFoundError."""
        ...

    async def patch_status(self, namespace: str, name: str, uid: str, status: JSON) -> bool:
        """Replace the top-level keys of the pod's `status` by those of `status`.

        Returns False when there is no pod of this name and uid any more.
        """
        ...

    async def remove_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete the pod for good (grace period 0, precondition uid): its containers have ended.

        A pod that is gone already, or another uid, is no error.
        """
        ...

    async def create_event(
        self, pod: JSON, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event about the pod, of component `kubelet`; counting is the API's."""
        ...


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The query of `GET .../pods/NAME/log`; times are seconds since the epoch.

    `previous` asks for the run before the current one, as the pod's status names it.
    """

    follow: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: float | None = None
    timestamps: bool = False
    previous: bool = False


class NodeLogs(Protocol):
    """What the API server asks of the node (`tinykube.node.agent.Agent` has it)."""

    async def execute(
        self, pod: JSON, container: str, command: Sequence[str], wanted: Streams
    ) -> Execution:
        """Run a command in a container. Raises VisitError when it does not run."""
        ...

    async def usage(self, pods: Sequence[JSON]) -> dict[tuple[str, str], Usage]:
        """What the running containers of pods use, by the pod's uid and the container's name."""
        ...

    async def machines(self) -> dict[str, Usage]:
        """What the whole machines use, by the names of their nodes."""
        ...

    async def connect(
        self, pod: JSON, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port that the pod listens on. Raises VisitError when it does not."""
        ...

    def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Stream a container's log; it has no lines yet while the container is waiting.

        The first chunk comes at once, empty if there is nothing yet.

        Raises LogsError (before the first chunk) with the message of the API's 400 when the
        container has not started.
        """
        ...


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams of a command its caller wants; with a terminal, both outputs are one."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    terminal: bool = False


class VisitError(Exception):
    """A container cannot be entered, or a port not reached; the message says why."""


class LogsError(Exception):
    """The log cannot be read now: `container "x" in pod "y" is waiting to start: ...`."""
