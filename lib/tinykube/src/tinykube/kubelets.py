"""What the API asks of the node that a pod is on: of this machine's own, or of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sandbox.execution import Execution
from tinykube import kinds, objects
from tinykube.node.client import LogOptions, LogsError, NodeLogs, Streams, VisitError
from tinykube.node.usage import Usage
from tinykube.objects import JSON
from tinykube.store import Store

_SECONDS = 10.0


class Kubelets:
    """Asks the node that a pod is on.

    Args:
        store: where the nodes are.
        own: the name of this machine's own node.
        local: its logs.
        authority: who vouches for other nodes' servers, PEM file.
        certificate, key: what is shown to them.
    """

    def __init__(
        self,
        store: Store,
        own: str,
        local: NodeLogs,
        authority: Path,
        certificate: Path,
        key: Path,
    ) -> None:
        self._store = store
        self._own = own
        self._local = local
        self._files = (authority, certificate, key)

    async def execute(
        self, pod: JSON, container: str, command: Sequence[str], wanted: Streams
    ) -> Execution:
        """See `tinykube.node.client.NodeLogs`; only pods of this machine's own node."""
        self._check(pod)
        return await self._local.execute(pod, container, command, wanted)

    async def connect(
        self, pod: JSON, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See `tinykube.node.client.NodeLogs`; only pods of this machine's own node."""
        self._check(pod)
        return await self._local.connect(pod, port)

    async def usage(self, pods: Sequence[JSON]) -> dict[tuple[str, str], Usage]:
        """See `tinykube.node.client.NodeLogs`; of other nodes' pods nothing is known."""
        return await self._local.usage([p for p in pods if p["spec"].get("nodeName") == self._own])

    async def machines(self) -> dict[str, Usage]:
        """See `tinykube.node.client.NodeLogs`; this machine alone."""
        return await self._local.machines()

    def _check(self, pod: JSON) -> None:
        node = pod["spec"].get("nodeName", "")
        if node != self._own:
            raise VisitError(
                f"pod {objects.name(pod)} is on node {node}, which lets nobody into its pods"
            )

    def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """See `tinykube.node.client.NodeLogs`."""
        node = pod["spec"].get("nodeName", "")
        if node == self._own:
            return self._local.logs(pod, container, options)
        return self._ask(node, pod, container, options)

    async def _ask(
        self, node: str, pod: JSON, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]:
        # Only here: a control plane of one node needs none of it.
        import ssl

        import httpx2

        authority, certificate, key = self._files
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(certificate, key)
        path = f"/containerLogs/{objects.namespace(pod)}/{objects.name(pod)}/{container}"
        url = f"{self._address(node)}{path}"
        timeout = httpx2.Timeout(_SECONDS, read=None)
        try:
            async with (
                httpx2.AsyncClient(verify=context, trust_env=False, timeout=timeout) as client,
                client.stream("GET", url, params=_query(options)) as answer,
            ):
                if answer.status_code != 200:
                    text = (await answer.aread()).decode("utf-8", "replace")
                    raise LogsError(text[:500] or f"node {node} answered {answer.status_code}")
                yield b""
                async for chunk in answer.aiter_bytes():
                    yield chunk
        except httpx2.HTTPError as error:
            raise LogsError(
                f"node {node} does not answer at {url}: {type(error).__name__}: {error}"
            ) from error

    def _address(self, node: str) -> str:
        found = self._store.load(kinds.NODES.key, "", node) or {}
        status = found.get("status") or {}
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        for item in status.get("addresses") or ():
            if item["type"] == "InternalIP" and endpoint.get("Port"):
                host = f"[{item['address']}]" if ":" in item["address"] else item["address"]
                return f"https://{host}:{endpoint['Port']}"
        raise LogsError(f"node {node} tells no address at which it serves logs")


def _query(options: LogOptions) -> dict[str, str]:
    query: dict[str, str] = {}
    if options.follow:
        query["follow"] = "true"
    if options.tail_lines is not None:
        query["tailLines"] = str(options.tail_lines)
    if options.limit_bytes is not None:
        query["limitBytes"] = str(options.limit_bytes)
    if options.since is not None:
        query["sinceTime"] = datetime.fromtimestamp(options.since, UTC).isoformat()
    if options.timestamps:
        query["timestamps"] = "true"
    if options.previous:
        query["previous"] = "true"
    return query
